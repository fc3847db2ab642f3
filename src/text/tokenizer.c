#include "text/tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "text/added_tokens.h"
#include "text/decoders.h"
#include "text/model.h"
#include "text/normalizers.h"
#include "text/pieces.h"
#include "text/post_processor.h"
#include "text/pre_tokenizers.h"
#include "text/word_cache.h"

enum { FILE_BYTES_MAX = 256 << 20, TEXT_BYTES_MAX = 1 << 30 };

/* A text is cut at its added tokens, normalized, cut into words, and each word becomes tokens of the model. */
struct Tokenizer {
    bool bytes; /* the built-in one: each byte is its own token */
    Model model;
    AddedTokens added;
    Steps normalizer, pre_tokenizer, decoder;
    bool has_decoder;
    PostProcessor post;
    int64_t vocab_size, bos, eos;
};

struct TokenEncoder {
    const Tokenizer *tokenizer;
    Pieces pieces, other;
    StepRoom step_room;
    ModelRoom model_room;
    WordCache *cache;
    TokenIds ids;
    const char *reason; /* why the last text was refused */
};

/* Opening */

static void open_bytes(Tokenizer *tokenizer) {
    tokenizer->bytes = true;
    for (int byte = 0; byte < 256; byte++)
        vocabulary_add(&tokenizer->model.vocabulary, &(char){(char)byte}, 1, (uint32_t)byte);
    tokenizer->model.tokens = 256;
    json_t *marks =
        json_pack("[{s:i,s:s,s:b,s:b,s:b,s:b,s:b},{s:i,s:s,s:b,s:b,s:b,s:b,s:b}]", "id", BYTES_BOS, "content", "<bos>",
                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1, "id", BYTES_EOS, "content",
                  "<eos>", "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
    const Status status =
        added_tokens_read(&tokenizer->added, "bytes", marks, &tokenizer->model, &tokenizer->normalizer);
    CHECK(marks && status == OK, "the tokenizer of bytes");
    json_decref(marks);
    tokenizer->vocab_size = BYTES_VOCAB_SIZE;
    tokenizer->bos = BYTES_BOS;
    tokenizer->eos = BYTES_EOS;
}

static Status read_text(const char *path, char **text, int64_t *bytes) {
    const int error = file_read_all(path, FILE_BYTES_MAX, text, bytes);
    if (!error) return OK;
    log_error("%s: cannot be read: %s", path, file_read_reason(error));
    return file_is_missing(error) || error == EFBIG ? BAD_INPUT : IO_ERROR;
}

static Status parse_json(const char *path, const char *text, int64_t bytes, size_t flags, json_t **object) {
    json_error_t problem;
    *object = json_loadb(text, (size_t)bytes, JSON_ALLOW_NUL | flags, &problem);
    if (*object) return OK;
    log_error("%s:%d: not JSON: %s", path, problem.line, problem.text);
    return BAD_INPUT;
}

/* Warns about a part that transformers applies only on request. */
static void warn_of(const json_t *object, const char *key, const char *path) {
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value)) log_warning("%s: \"%s\" has no effect here", path, key);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static Status read_parts(Tokenizer *tokenizer, const char *path, const json_t *object) {
    const json_t *decoder = json_object_get(object, "decoder");
    tokenizer->has_decoder = decoder && !json_is_null(decoder);
    warn_of(object, "truncation", path);
    warn_of(object, "padding", path);
    Status status = model_read(&tokenizer->model, path, json_object_get(object, "model"));
    if (!status)
        status = steps_read(path, "normalizer", "normalizers", normalizer_kinds, json_object_get(object, "normalizer"),
                            &tokenizer->normalizer);
    if (!status)
        status = steps_read(path, "pre_tokenizer", "pretokenizers", pre_tokenizer_kinds,
                            json_object_get(object, "pre_tokenizer"), &tokenizer->pre_tokenizer);
    if (!status) status = steps_read(path, "decoder", "decoders", decoder_kinds, decoder, &tokenizer->decoder);
    if (!status) status = post_processor_read(&tokenizer->post, path, json_object_get(object, "post_processor"));
    if (!status)
        status = added_tokens_read(&tokenizer->added, path, json_object_get(object, "added_tokens"), &tokenizer->model,
                                   &tokenizer->normalizer);
    const int64_t added = larger(tokenizer->added.vocabulary.size, post_processor_vocab_size(&tokenizer->post));
    tokenizer->vocab_size = larger(tokenizer->model.vocabulary.size, added);
    return status;
}

/* The id of a token that tokenizer_config.json names by its text, or by an object with the text as "content". */
static int64_t mark_of(const Tokenizer *tokenizer, const char *path, const json_t *config, const char *key) {
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    const char *text = json_string_value(value);
    const int64_t id = text ? tokenizer_id(tokenizer, text) : -1;
    if (text && id < 0) log_warning("%s: \"%s\" is \"%.100s\", which is no token of the tokenizer", path, key, text);
    return id;
}

/* Integers are read as reals, because model_max_length is 10^30 for models without a limit, which no integer type
 * holds. */
static Status read_marks(Tokenizer *tokenizer, const TokenizerText *config) {
    json_t *object = NULL;
    const Status status =
        config->text ? parse_json(config->name, config->text, config->bytes, JSON_DECODE_INT_AS_REAL, &object) : OK;
    tokenizer->bos = mark_of(tokenizer, config->name, object, "bos_token");
    tokenizer->eos = mark_of(tokenizer, config->name, object, "eos_token");
    json_decref(object);
    return status;
}

static Status read_tokenizer(Tokenizer *tokenizer, const TokenizerText *json) {
    json_t *object;
    Status status = parse_json(json->name, json->text, json->bytes, 0, &object);
    if (!status && !json_is_object(object)) {
        log_error("%s: not a tokenizer: it is not a JSON object", json->name);
        status = BAD_INPUT;
    }
    if (!status) status = read_parts(tokenizer, json->name, object);
    json_decref(object);
    return status;
}

Status tokenizer_from_texts(const TokenizerText *json, const TokenizerText *config, Tokenizer **tokenizer) {
    *tokenizer = calloc(1, sizeof **tokenizer);
    CHECK_MEMORY(*tokenizer, "no memory for a tokenizer");
    Status status = read_tokenizer(*tokenizer, json);
    if (!status) status = read_marks(*tokenizer, config);
    if (!status) return OK;
    tokenizer_close(*tokenizer);
    *tokenizer = NULL;
    return status;
}

static Status open_file(const char *path, Tokenizer **tokenizer) {
    char *folder = path_parent(path), *config_path = path_join(folder, "tokenizer_config.json"), *text = NULL,
         *config_text = NULL;
    TokenizerText json = {.name = path}, config = {.name = config_path};
    Status status = read_text(path, &text, &json.bytes);
    if (!status && file_exists(config_path)) status = read_text(config_path, &config_text, &config.bytes);
    json.text = text;
    config.text = config_text;
    *tokenizer = NULL;
    if (!status) status = tokenizer_from_texts(&json, &config, tokenizer);
    free(text);
    free(config_text);
    free(config_path);
    free(folder);
    return status;
}

Status tokenizer_open(const char *path, Tokenizer **tokenizer) {
    if (!path) {
        *tokenizer = calloc(1, sizeof **tokenizer);
        CHECK_MEMORY(*tokenizer, "no memory for a tokenizer");
        open_bytes(*tokenizer);
        return OK;
    }
    char *file = folder_exists(path) ? path_join(path, "tokenizer.json") : NULL;
    const bool missing = file && !file_exists(file);
    if (missing) log_error("%s: has no tokenizer.json, which says what its tokens are", path);
    *tokenizer = NULL;
    const Status status = missing ? BAD_INPUT : open_file(file ? file : path, tokenizer);
    free(file);
    return status;
}

void tokenizer_close(Tokenizer *tokenizer) {
    if (!tokenizer) return;
    model_free(&tokenizer->model);
    added_tokens_free(&tokenizer->added);
    steps_free(&tokenizer->normalizer);
    steps_free(&tokenizer->pre_tokenizer);
    steps_free(&tokenizer->decoder);
    post_processor_free(&tokenizer->post);
    free(tokenizer);
}

bool tokenizer_is_bytes(const Tokenizer *tokenizer) { return tokenizer->bytes; }

/* The vocabulary */

int64_t tokenizer_vocab_size(const Tokenizer *tokenizer) { return tokenizer->vocab_size; }

int64_t tokenizer_bos(const Tokenizer *tokenizer) { return tokenizer->bos; }

int64_t tokenizer_eos(const Tokenizer *tokenizer) { return tokenizer->eos; }

int64_t tokenizer_id(const Tokenizer *tokenizer, const char *token) {
    const int64_t bytes = (int64_t)strlen(token), added = vocabulary_find(&tokenizer->added.vocabulary, token, bytes);
    return added >= 0 ? added : vocabulary_find(&tokenizer->model.vocabulary, token, bytes);
}

const char *tokenizer_token(const Tokenizer *tokenizer, int64_t id, int64_t *bytes) {
    int64_t unused;
    if (!bytes) bytes = &unused;
    const char *added = vocabulary_token(&tokenizer->added.vocabulary, id, bytes);
    return added ? added : vocabulary_token(&tokenizer->model.vocabulary, id, bytes);
}

/* Encoding */

TokenEncoder *token_encoder_create(const Tokenizer *tokenizer) {
    TokenEncoder *encoder = calloc(1, sizeof *encoder);
    CHECK_MEMORY(encoder, "no memory for a tokenizer");
    encoder->tokenizer = tokenizer;
    encoder->cache = word_cache_create();
    return encoder;
}

void token_encoder_free(TokenEncoder *encoder) {
    if (!encoder) return;
    pieces_free(&encoder->pieces);
    pieces_free(&encoder->other);
    step_room_free(&encoder->step_room);
    model_room_free(&encoder->model_room);
    word_cache_free(encoder->cache);
    free(encoder->ids.id);
    free(encoder);
}

static void extract(TokenEncoder *encoder, bool normalized) {
    pieces_clear(&encoder->other);
    added_tokens_extract(&encoder->tokenizer->added, normalized, &encoder->pieces, &encoder->other);
    const Pieces result = encoder->other;
    encoder->other = encoder->pieces;
    encoder->pieces = result;
    pieces_drop_empty(&encoder->pieces);
}

static Status cut_into_words(TokenEncoder *encoder, const char *text, int64_t bytes) {
    const Tokenizer *tokenizer = encoder->tokenizer;
    pieces_clear(&encoder->pieces);
    pieces_put_repaired(&encoder->pieces, text, bytes);
    pieces_end(&encoder->pieces, 0, -1, true);
    extract(encoder, false);
    encoder->reason = encoder->step_room.matches.pattern.reason;
    Status status = steps_run(&tokenizer->normalizer, &encoder->step_room, &encoder->pieces, &encoder->other);
    if (status) return status;
    extract(encoder, true);
    return steps_run(&tokenizer->pre_tokenizer, &encoder->step_room, &encoder->pieces, &encoder->other);
}

static Status encode_part(TokenEncoder *encoder, const char *word, int64_t bytes) {
    const Model *model = &encoder->tokenizer->model;
    const uint64_t hash = text_hash(word, bytes);
    const int64_t before = encoder->ids.count;
    if (word_cache_find(encoder->cache, word, bytes, hash, &encoder->ids)) return OK;
    const Status status = model->kind->encode(model, &encoder->model_room, word, bytes, &encoder->ids);
    if (!status)
        word_cache_keep(encoder->cache, word, bytes, hash, encoder->ids.id + before, encoder->ids.count - before);
    return status;
}

/* Encodes a word part by part. Without a pre-tokenizer a whole document is one word, and most of its parts are in the
 * cache. */
static Status encode_word(TokenEncoder *encoder, const char *word, int64_t bytes) {
    Status status = OK;
    while (bytes > 0 && !status) {
        const int64_t part = model_part(&encoder->tokenizer->model, word, bytes);
        status = encode_part(encoder, word, part);
        word += part;
        bytes -= part;
    }
    return status;
}

static Status encode_words(TokenEncoder *encoder) {
    const Pieces *words = &encoder->pieces;
    Status status = OK;
    encoder->reason = encoder->model_room.reason;
    for (int64_t i = 0; i < words->count && !status; i++) {
        const Piece *word = &words->piece[i];
        if (word->token >= 0)
            token_ids_add(&encoder->ids, (uint32_t)word->token);
        else
            status = encode_word(encoder, words->text + word->start, word->bytes);
    }
    return status;
}

static void encode_bytes(const char *text, int64_t bytes, TokenIds *ids) {
    uint32_t *to = token_ids_room(ids, bytes);
    for (int64_t i = 0; i < bytes; i++) to[i] = (unsigned char)text[i];
    ids->count += bytes;
}

Status tokenizer_encode(TokenEncoder *encoder, const char *text, int64_t bytes, bool special_tokens, TokenIds *ids) {
    if (encoder->tokenizer->bytes) {
        encode_bytes(text, bytes, ids);
        return OK;
    }
    if (bytes > TEXT_BYTES_MAX) {
        encoder->reason = "it has more bytes than the 2^30 that can be encoded at once; cut it into documents";
        return BAD_INPUT;
    }
    encoder->ids.count = 0;
    Status status = cut_into_words(encoder, text, bytes);
    if (!status) status = encode_words(encoder);
    if (!status) post_processor_put(&encoder->tokenizer->post, &encoder->ids, special_tokens, ids);
    return status;
}

const char *token_encoder_reason(const TokenEncoder *encoder) { return encoder->reason; }

/* Decoding */

static void put_token(const Tokenizer *tokenizer, uint32_t id, bool skip_special, Pieces *tokens) {
    const AddedToken *added = added_tokens_find(&tokenizer->added, id);
    int64_t bytes;
    const char *token = added ? added->text : vocabulary_token(&tokenizer->model.vocabulary, id, &bytes);
    if (added) bytes = added->bytes;
    if (!token || (skip_special && added && added->hidden)) return;
    const int64_t start = tokens->bytes;
    pieces_put(tokens, token, bytes);
    pieces_end(tokens, start, -1, false);
}

static void join(const Pieces *tokens, const char *between, Pieces *text) {
    for (int64_t i = 0; i < tokens->count; i++) {
        if (i > 0) pieces_put(text, between, (int64_t)strlen(between));
        pieces_put(text, tokens->text + tokens->piece[i].start, tokens->piece[i].bytes);
    }
}

char *tokenizer_decode(const Tokenizer *tokenizer, const uint32_t *ids, int64_t count, bool skip_special,
                       int64_t *bytes) {
    Pieces tokens = {0}, text = {0};
    StepRoom room = {0};
    for (int64_t i = 0; i < count; i++) put_token(tokenizer, ids[i], skip_special, &tokens);
    const Status status = steps_run(&tokenizer->decoder, &room, &tokens, &text);
    if (status) log_error("tokens cannot be decoded: %s", room.matches.pattern.reason);
    pieces_clear(&text);
    if (tokenizer->bytes)
        pieces_put_repaired(&text, tokens.text, tokens.bytes);
    else if (!status)
        join(&tokens, tokenizer->has_decoder ? "" : " ", &text);
    *pieces_room(&text, 1) = 0;
    if (bytes) *bytes = text.bytes;
    pieces_free(&tokens);
    step_room_free(&room);
    free(text.piece);
    return text.text;
}
