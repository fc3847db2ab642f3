#include "text/added_tokens.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "text/characters.h"
#include "text/utf8.h"

static Status read_flags(const Fields *fields, AddedToken *token) {
    Status status = fields_flag(fields, "single_word", REQUIRED, &token->single_word);
    if (!status) status = fields_flag(fields, "lstrip", REQUIRED, &token->lstrip);
    if (!status) status = fields_flag(fields, "rstrip", REQUIRED, &token->rstrip);
    if (!status) status = fields_flag(fields, "normalized", REQUIRED, &token->normalized);
    return status ? status : fields_flag(fields, "special", REQUIRED, &token->special);
}

/* Sets the token's text, normalized if the token is to be searched for in normalized text. */
static Status read_text(const Fields *fields, const char *content, int64_t bytes, const Steps *normalizer,
                        AddedToken *token) {
    StepRoom room = {0};
    Pieces text = {0}, other = {0};
    pieces_put(&text, content, bytes);
    pieces_end(&text, 0, -1, true);
    const Status status = token->normalized ? steps_run(normalizer, &room, &text, &other) : OK;
    if (status) fields_refuse(fields, "\"%.100s\": %s", content, room.matches.pattern.reason);
    token->bytes = 0;
    token->text = malloc((size_t)text.bytes + 1);
    CHECK_MEMORY(token->text, "no memory for an added token");
    for (int64_t i = 0; i < text.count; i++) {
        memcpy(token->text + token->bytes, text.text + text.piece[i].start, (size_t)text.piece[i].bytes);
        token->bytes += text.piece[i].bytes;
    }
    pieces_free(&text);
    pieces_free(&other);
    step_room_free(&room);
    return status;
}

/* The id of the next new token, chosen as the library `tokenizers` does: behind the model's tokens and behind the
 * largest id of an added token. */
static int64_t next_id(const AddedTokens *added, const Model *model) {
    return added->vocabulary.size > model->tokens ? added->vocabulary.size : model->tokens;
}

static int64_t id_of(const AddedTokens *added, const Model *model, const char *content, int64_t bytes) {
    const int64_t id = vocabulary_find(&added->vocabulary, content, bytes);
    return id >= 0 ? id : vocabulary_find(&model->vocabulary, content, bytes);
}

static void keep(AddedTokens *added, const AddedToken *token, bool id_is_known) {
    for (int64_t i = 0; i < added->count && id_is_known; i++) {
        if (added->token[i].id != token->id) continue;
        free(added->token[i].text);
        added->token[i] = *token;
        return;
    }
    added->token = realloc(added->token, (size_t)(added->count + 1) * sizeof *added->token);
    CHECK_MEMORY(added->token, "no memory for added tokens");
    added->token[added->count++] = *token;
}

static Status read_token(AddedTokens *added, const char *path, const json_t *object, const Model *model,
                         const Steps *normalizer, int64_t *next) {
    const Fields fields = {.path = path, .part = "added_tokens", .type = "", .object = object};
    const char *content = "";
    int64_t bytes = 0, wanted = 0;
    AddedToken token = {0};
    if (!json_is_object(object)) return fields_refuse(&fields, "an entry must be an object");
    Status status = fields_text(&fields, "content", REQUIRED, &content, &bytes);
    if (!status) status = fields_count(&fields, "id", REQUIRED, VOCABULARY_ID_MAX, &wanted);
    if (!status) status = read_flags(&fields, &token);
    if (status || bytes == 0) return status;
    int64_t id = id_of(added, model, content, bytes);
    if (id < 0) id = (*next)++;
    if (id > VOCABULARY_ID_MAX) return fields_refuse(&fields, "there are too many");
    if (id != wanted)
        log_warning("%s: token \"%.100s\" has id %" PRId64 ", not %" PRId64 " as added_tokens says", path, content, id,
                    wanted);
    token.id = (uint32_t)id;
    status = read_text(&fields, content, bytes, normalizer, &token);
    int64_t old_bytes;
    const bool id_is_known = vocabulary_token(&added->vocabulary, id, &old_bytes) != NULL;
    vocabulary_add(&added->vocabulary, content, bytes, token.id);
    keep(added, &token, id_is_known);
    return status;
}

/* The library decides by the text whether a token is special, so a token whose text is that of a special token is left
 * out as well. */
static void mark_hidden(AddedTokens *added) {
    Vocabulary special = {0};
    for (int64_t i = 0; i < added->count; i++) {
        int64_t bytes;
        const char *content = vocabulary_token(&added->vocabulary, added->token[i].id, &bytes);
        if (added->token[i].special) vocabulary_add(&special, content, bytes, 0);
    }
    for (int64_t i = 0; i < added->count; i++)
        added->token[i].hidden = vocabulary_find(&special, added->token[i].text, added->token[i].bytes) >= 0;
    vocabulary_free(&special);
}

/* Adds the texts in reverse order, so that of equal texts the first one counts. */
static void index_texts(AddedTokens *added, bool special) {
    for (int64_t i = added->count - 1; i >= 0; i--) {
        const AddedToken *token = &added->token[i];
        if (token->bytes > 0 && token->special == special)
            trie_add(token->normalized ? &added->normalized : &added->plain, token->text, token->bytes, (int32_t)i);
    }
}

static void index_tokens(AddedTokens *added) {
    added->by_id = malloc(((size_t)added->vocabulary.size + 1) * sizeof *added->by_id);
    CHECK_MEMORY(added->by_id, "no memory for added tokens");
    for (int64_t i = 0; i < added->vocabulary.size; i++) added->by_id[i] = -1;
    for (int64_t i = 0; i < added->count; i++) added->by_id[added->token[i].id] = i;
    index_texts(added, false);
    index_texts(added, true); /* a special token takes precedence over others with the same text */
}

Status added_tokens_read(AddedTokens *added, const char *path, const json_t *list, const Model *model,
                         const Steps *normalizer) {
    const Fields fields = {.path = path, .part = "added_tokens", .type = "", .object = list};
    if (list && !json_is_null(list) && !json_is_array(list)) return fields_refuse(&fields, "it must be a list");
    Status status = OK;
    int64_t next = next_id(added, model);
    for (size_t i = 0; i < json_array_size(list) && !status; i++)
        status = read_token(added, path, json_array_get(list, i), model, normalizer, &next);
    if (status) return status;
    mark_hidden(added);
    index_tokens(added);
    return OK;
}

void added_tokens_free(AddedTokens *added) {
    for (int64_t i = 0; i < added->count; i++) free(added->token[i].text);
    free(added->token);
    free(added->by_id);
    vocabulary_free(&added->vocabulary);
    trie_free(&added->plain);
    trie_free(&added->normalized);
    *added = (AddedTokens){0};
}

const AddedToken *added_tokens_find(const AddedTokens *added, int64_t id) {
    if (id < 0 || id >= added->vocabulary.size || added->by_id[id] < 0) return NULL;
    return &added->token[added->by_id[id]];
}

/* Whether a word ends right before a place in the text (word_ends), or begins right behind it (word_begins). */
static bool word_ends(const char *text, int64_t bytes) {
    if (bytes == 0) return false;
    const char *last = text + bytes - utf8_last(text, bytes);
    return character_is_word(utf8_next(&last));
}

static bool word_begins(const char *text, int64_t bytes) { return bytes > 0 && character_is_word(utf8_next(&text)); }

static int64_t without_spaces_behind(const char *text, int64_t bytes, int64_t at_least) {
    while (bytes > at_least) {
        const int length = utf8_last(text, bytes);
        const char *last = text + bytes - length;
        if (!character_is_space(utf8_next(&last))) break;
        bytes -= length;
    }
    return bytes;
}

static int64_t spaces_before(const char *text, int64_t bytes) {
    const char *at = text, *end = text + bytes;
    for (const char *next = at; next < end && character_is_space(utf8_next(&next));) at = next;
    return at - text;
}

static void extract_from(const AddedTokens *added, const Trie *trie, const char *text, const Piece *piece,
                         Pieces *out) {
    const int64_t bytes = piece->bytes;
    int64_t rest = 0; /* where the text after the last token begins */
    for (int64_t at = 0; at < bytes;) {
        int64_t length;
        at += trie_skip(trie, text + at, bytes - at);
        const int32_t found = trie_longest(trie, text + at, bytes - at, &length);
        if (found < 0) {
            at++;
            continue;
        }
        const AddedToken *token = &added->token[found];
        int64_t start = at, end = at + length;
        at = end;
        if (token->single_word && (word_ends(text, start) || word_begins(text + end, bytes - end))) continue;
        if (token->lstrip) start = start > rest ? without_spaces_behind(text, start, rest) : rest;
        if (end < start) end = start;
        if (token->rstrip) end += spaces_before(text + end, bytes - end);
        if (rest < start)
            pieces_place(out, (Piece){piece->start + rest, start - rest, -1, piece->from_start && rest == 0});
        pieces_place(out, (Piece){piece->start + start, end - start, token->id, false});
        rest = end;
    }
    if (rest < bytes) pieces_place(out, (Piece){piece->start + rest, bytes - rest, -1, piece->from_start && rest == 0});
}

void added_tokens_extract(const AddedTokens *added, bool normalized, Pieces *in, Pieces *out) {
    const Trie *trie = normalized ? &added->normalized : &added->plain;
    for (int64_t i = 0; i < in->count; i++) {
        const Piece *piece = &in->piece[i];
        if (piece->token >= 0)
            pieces_place(out, *piece);
        else
            extract_from(added, trie, in->text + piece->start, piece, out);
    }
    step_move_text(in, out);
}
