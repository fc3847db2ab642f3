/* WordPiece: takes the longest token from the left, again and again. A word that cannot be covered this way is unknown
 * as a whole. */
#include <stdlib.h>
#include <string.h>

#include "text/model.h"
#include "text/utf8.h"

enum { WORD_CHARACTERS_MAX = 10000 }; /* most that a file may set: a word takes quadratic time */

typedef struct WordPiece {
    char *prefix; /* prefix of tokens that do not begin a word */
    int64_t prefix_bytes;
    int64_t characters_max; /* a longer word is unknown */
} WordPiece;

static void free_word_piece(void *data) {
    WordPiece *piece = data;
    if (piece) free(piece->prefix);
    free(piece);
}

static Status read_word_piece(Model *model, const Fields *fields) {
    WordPiece *piece = model->data = calloc(1, sizeof *piece);
    CHECK_MEMORY(piece, "no memory for a tokenizer");
    const char *unknown = "", *prefix = "";
    int64_t bytes = 0;
    Status status = model_read_vocabulary(model, fields);
    if (!status) status = fields_text(fields, "unk_token", REQUIRED, &unknown, &bytes);
    model->unknown = vocabulary_find(&model->vocabulary, unknown, bytes);
    if (!status) status = fields_text(fields, "continuing_subword_prefix", REQUIRED, &prefix, &piece->prefix_bytes);
    if (!status)
        status =
            fields_count(fields, "max_input_chars_per_word", REQUIRED, WORD_CHARACTERS_MAX, &piece->characters_max);
    piece->prefix = malloc((size_t)piece->prefix_bytes + 1);
    CHECK_MEMORY(piece->prefix, "no memory for a tokenizer");
    memcpy(piece->prefix, prefix, (size_t)piece->prefix_bytes);
    return status;
}

static int64_t count_characters(const char *word, int64_t bytes) {
    int64_t count = 0;
    for (int64_t i = 0; i < bytes; i++) count += (word[i] & 0xc0) != 0x80;
    return count;
}

/* The longest token at word[start], and the end of its text in *end; -1 if there is none. `with_prefix` holds the
 * prefix and has room for the word behind it. */
static int64_t longest(const Model *model, const char *word, int64_t start, int64_t bytes, char *with_prefix,
                       int64_t *end) {
    const WordPiece *piece = model->data;
    const int64_t prefix = start > 0 ? piece->prefix_bytes : 0;
    const char *text = word + start;
    if (start > 0) {
        memcpy(with_prefix + prefix, text, (size_t)(bytes - start));
        text = with_prefix;
    }
    for (*end = bytes; *end > start; *end -= utf8_last(word + start, *end - start)) {
        const int64_t id = vocabulary_find(&model->vocabulary, text, prefix + *end - start);
        if (id >= 0) return id;
    }
    return -1;
}

static Status encode(const Model *model, ModelRoom *room, const char *word, int64_t bytes, TokenIds *ids) {
    const WordPiece *piece = model->data;
    const int64_t before = ids->count;
    bool known = count_characters(word, bytes) <= piece->characters_max;
    char *with_prefix = model_room(room, 0, piece->prefix_bytes + bytes + 1, 1);
    memcpy(with_prefix, piece->prefix, (size_t)piece->prefix_bytes);
    for (int64_t start = 0; known && start < bytes;) {
        const int64_t id = longest(model, word, start, bytes, with_prefix, &start);
        if (id >= 0) token_ids_add(ids, (uint32_t)id);
        known = id >= 0;
    }
    if (known) return OK;
    ids->count = before;
    if (model->unknown < 0) return model_no_token(room, word, bytes);
    token_ids_add(ids, (uint32_t)model->unknown);
    return OK;
}

const ModelKind word_piece_kind = {"WordPiece", read_word_piece, encode, free_word_piece};
