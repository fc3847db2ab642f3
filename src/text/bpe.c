/* Byte-pair encoding: a word starts as a list of characters. Of all pairs of neighbours, the one that was merged first
 * in training is merged first, until no pair is in the list of merges. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/merges.h"
#include "text/model.h"
#include "text/utf8.h"

typedef struct Bpe {
    Merges merges;
    char *prefix, *suffix; /* prefix of characters that do not begin a word, suffix of characters that end one */
    int64_t prefix_bytes, suffix_bytes;
    bool joins_at_marks;              /* some merge joins a WORD_MARK to a character before it */
    bool fuse_unknown, ignore_merges; /* ignore_merges: a word that is itself a token becomes that token */
} Bpe;

static void free_bpe(void *data) {
    Bpe *bpe = data;
    if (!bpe) return;
    merges_free(&bpe->merges);
    free(bpe->prefix);
    free(bpe->suffix);
    free(bpe);
}

/* An entry is "a b" or ["a", "b"]. */
static bool parts_of(const json_t *entry, const char *part[2], int64_t bytes[2]) {
    if (json_is_string(entry)) {
        const char *text = json_string_value(entry);
        const int64_t all = (int64_t)json_string_length(entry);
        const char *space = memchr(text, ' ', (size_t)all);
        if (!space || memchr(space + 1, ' ', (size_t)(text + all - space - 1))) return false;
        part[0] = text;
        part[1] = space + 1;
        bytes[0] = space - text;
        bytes[1] = text + all - part[1];
        return true;
    }
    if (json_array_size(entry) != 2) return false;
    for (size_t i = 0; i < 2; i++) {
        const json_t *text = json_array_get(entry, i);
        if (!json_is_string(text)) return false;
        part[i] = json_string_value(text);
        bytes[i] = (int64_t)json_string_length(text);
    }
    return true;
}

static bool is_mark(const char *text, int64_t bytes) {
    const int64_t mark = (int64_t)strlen(WORD_MARK);
    return bytes >= mark && memcmp(text, WORD_MARK, (size_t)mark) == 0;
}

static bool joins_at_mark(const char *const part[2], const int64_t bytes[2]) {
    const int64_t mark = (int64_t)strlen(WORD_MARK);
    return is_mark(part[1], bytes[1]) && !(bytes[0] >= mark && is_mark(part[0] + bytes[0] - mark, mark));
}

/* The merged token's text is that of both parts; the second part loses the prefix of characters inside a word. */
static Status read_merge(Model *model, const Fields *fields, const json_t *entry, int64_t rank) {
    Bpe *bpe = model->data;
    const char *part[2];
    int64_t bytes[2], id[2];
    if (!parts_of(entry, part, bytes)) return fields_refuse(fields, "merge %" PRId64 " is not two tokens", rank);
    for (int i = 0; i < 2; i++) {
        id[i] = vocabulary_find(&model->vocabulary, part[i], bytes[i]);
        if (id[i] < 0)
            return fields_refuse(fields, "merge %" PRId64 ": \"%.*s\" is not in \"vocab\"", rank,
                                 bytes[i] < 100 ? (int)bytes[i] : 100, part[i]);
    }
    bpe->joins_at_marks = bpe->joins_at_marks || joins_at_mark(part, bytes);
    if (bytes[1] < bpe->prefix_bytes) return fields_refuse(fields, "merge %" PRId64 ": no prefix", rank);
    const int64_t rest = bytes[1] - bpe->prefix_bytes;
    char *merged = malloc((size_t)(bytes[0] + rest) + 1);
    CHECK_MEMORY(merged, "no memory for a merge");
    memcpy(merged, part[0], (size_t)bytes[0]);
    memcpy(merged + bytes[0], part[1] + bpe->prefix_bytes, (size_t)rest);
    const int64_t token = vocabulary_find(&model->vocabulary, merged, bytes[0] + rest);
    free(merged);
    if (token < 0) return fields_refuse(fields, "merge %" PRId64 ": the merged token is not in \"vocab\"", rank);
    merges_add(&bpe->merges, (uint32_t)id[0], (uint32_t)id[1], (uint32_t)rank, (uint32_t)token);
    return OK;
}

static bool is_version(const json_t *entry) {
    return json_is_string(entry) && strncmp(json_string_value(entry), "#version", 8) == 0;
}

static Status read_merges(Model *model, const Fields *fields) {
    const json_t *list;
    Status status = fields_list(fields, "merges", REQUIRED, &list);
    if (status) return status;
    int64_t rank = 0;
    if (json_array_size(list) > UINT32_MAX) return fields_refuse(fields, "\"merges\" has too many entries");
    for (size_t i = 0; i < json_array_size(list) && !status; i++)
        if (!is_version(json_array_get(list, i))) status = read_merge(model, fields, json_array_get(list, i), rank++);
    return status;
}

static Status read_affix(const Fields *fields, const char *key, char **affix, int64_t *bytes) {
    const char *text = "";
    *bytes = 0;
    const Status status = fields_text(fields, key, OPTIONAL, &text, bytes);
    *affix = malloc((size_t)*bytes + 1);
    CHECK_MEMORY(*affix, "no memory for a tokenizer");
    memcpy(*affix, text, (size_t)*bytes);
    return status;
}

static Status read_unknown(Model *model, const Fields *fields) {
    const char *unknown = NULL;
    int64_t bytes = 0;
    const Status status = fields_text(fields, "unk_token", OPTIONAL, &unknown, &bytes);
    if (status || !unknown) return status;
    model->unknown = vocabulary_find(&model->vocabulary, unknown, bytes);
    return model->unknown >= 0
               ? OK
               : fields_refuse(fields, "\"unk_token\" is \"%.100s\", which is not a token of \"vocab\"", unknown);
}

static Status read_bpe(Model *model, const Fields *fields) {
    Bpe *bpe = model->data = calloc(1, sizeof *bpe);
    CHECK_MEMORY(bpe, "no memory for a tokenizer");
    const json_t *dropout = json_object_get(fields->object, "dropout");
    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
        return fields_refuse(fields, "\"dropout\" would make the tokens random; set it to null");
    Status status = model_read_vocabulary(model, fields);
    if (!status) status = read_unknown(model, fields);
    if (!status) status = read_affix(fields, "continuing_subword_prefix", &bpe->prefix, &bpe->prefix_bytes);
    if (!status) status = read_affix(fields, "end_of_word_suffix", &bpe->suffix, &bpe->suffix_bytes);
    if (!status) status = fields_flag(fields, "fuse_unk", OPTIONAL, &bpe->fuse_unknown);
    if (!status) status = fields_flag(fields, "ignore_merges", OPTIONAL, &bpe->ignore_merges);
    if (!status) status = read_merges(model, fields);
    const bool known = vocabulary_find(&model->vocabulary, WORD_MARK, (int64_t)strlen(WORD_MARK)) >= 0;
    model->cut_at_marks =
        known && !bpe->joins_at_marks && !bpe->ignore_merges && bpe->prefix_bytes == 0 && bpe->suffix_bytes == 0;
    return status;
}

/* The token of a character with its prefix and suffix. `with_affixes` has room for all three. */
static int64_t character_token(const Model *model, const char *text, int64_t bytes, bool first, bool last,
                               char *with_affixes, const char **token, int64_t *token_bytes) {
    const Bpe *bpe = model->data;
    const int64_t prefix = first ? 0 : bpe->prefix_bytes, suffix = last ? bpe->suffix_bytes : 0;
    *token = text;
    *token_bytes = prefix + bytes + suffix;
    if (prefix + suffix > 0) {
        memcpy(with_affixes, bpe->prefix, (size_t)prefix);
        memcpy(with_affixes + prefix, text, (size_t)bytes);
        memcpy(with_affixes + prefix + bytes, bpe->suffix, (size_t)suffix);
        *token = with_affixes;
    }
    return vocabulary_find(&model->vocabulary, *token, *token_bytes);
}

/* The tokens of the characters. An unknown character waits for the next known one, so that a run of unknown characters
 * can become one token. */
static void add_characters(const Model *model, ModelRoom *room, const char *word, int64_t bytes, TokenIds *ids) {
    const Bpe *bpe = model->data;
    char *with_affixes = model_room(room, 0, bpe->prefix_bytes + bpe->suffix_bytes + 4, 1);
    bool waiting = false;
    for (const char *at = word, *end = word + bytes; at < end;) {
        const char *start = at, *token;
        int64_t token_bytes;
        utf8_next(&at);
        const int64_t id =
            character_token(model, start, at - start, start == word, at == end, with_affixes, &token, &token_bytes);
        if (id < 0 && model_fall_back(model, token, token_bytes, ids)) continue;
        if (id < 0 && model->unknown < 0) continue; /* no token, no unknown token: it is lost */
        if (waiting && (id >= 0 || !bpe->fuse_unknown)) token_ids_add(ids, (uint32_t)model->unknown);
        if (id >= 0) token_ids_add(ids, (uint32_t)id);
        waiting = id < 0;
    }
    if (waiting) token_ids_add(ids, (uint32_t)model->unknown);
}

static Status encode(const Model *model, ModelRoom *room, const char *word, int64_t bytes, TokenIds *ids) {
    const Bpe *bpe = model->data;
    const int64_t whole = bpe->ignore_merges ? vocabulary_find(&model->vocabulary, word, bytes) : -1;
    if (whole >= 0) {
        token_ids_add(ids, (uint32_t)whole);
        return OK;
    }
    const int64_t before = ids->count;
    add_characters(model, room, word, bytes, ids);
    const int64_t count = ids->count - before;
    MergeSymbol *symbol = model_room(room, 1, count, sizeof *symbol);
    MergeWaiting *waiting = model_room(room, 2, 3 * count, sizeof *waiting);
    ids->count = before + merges_apply(&bpe->merges, ids->id + before, count, symbol, waiting);
    return OK;
}

const ModelKind bpe_kind = {"BPE", read_bpe, encode, free_bpe};
