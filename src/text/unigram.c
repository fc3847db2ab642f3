/* Unigram: of all ways to cut a word into tokens, the one with the largest sum of scores. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "text/model.h"
#include "text/trie.h"
#include "text/utf8.h"

static const double UNKNOWN_PENALTY = 10;

typedef struct Unigram {
    Trie trie; /* of tokens; the value is the id */
    double *score;
    double unknown_score;
} Unigram;

static void free_unigram(void *data) {
    Unigram *unigram = data;
    if (!unigram) return;
    trie_free(&unigram->trie);
    free(unigram->score);
    free(unigram);
}

/* The library reads a number as its digits, divided by a power of ten. That rounds twice, which may decide between cuts
 * of a word that are otherwise equally good. */
static double as_library(double score) {
    char text[NUMBER_TEXT];
    number_format(fabs(score), text);
    const char *exponent = strchr(text, 'e');
    uint64_t digits = 0;
    int64_t power = exponent ? strtol(exponent + 1, NULL, 10) : 0;
    bool fraction = false;
    for (const char *at = text; *at && at != exponent; at++) {
        if (*at == '.') fraction = true;
        if (*at < '0' || *at > '9') continue;
        digits = 10 * digits + (uint64_t)(*at - '0');
        power -= fraction;
    }
    const double read = power < 0 ? (double)digits / pow(10, (double)-power) : (double)digits * pow(10, (double)power);
    return isfinite(score) ? copysign(read, score) : score;
}

static Status read_entry(Model *model, const Fields *fields, const json_t *entry, int32_t id) {
    Unigram *unigram = model->data;
    const json_t *token = json_array_get(entry, 0), *score = json_array_get(entry, 1);
    if (json_array_size(entry) != 2 || !json_is_string(token) || !json_is_number(score))
        return fields_refuse(fields, "entry %d of \"vocab\" must be a token and its score", id);
    const int64_t bytes = (int64_t)json_string_length(token);
    vocabulary_add(&model->vocabulary, json_string_value(token), bytes, (uint32_t)id);
    if (bytes > 0) trie_add(&unigram->trie, json_string_value(token), bytes, id);
    unigram->score[id] = as_library(json_number_value(score));
    unigram->unknown_score = fmin(unigram->unknown_score, unigram->score[id] - UNKNOWN_PENALTY);
    return OK;
}

static Status read_unigram(Model *model, const Fields *fields) {
    Unigram *unigram = model->data = calloc(1, sizeof *unigram);
    CHECK_MEMORY(unigram, "no memory for a tokenizer");
    const json_t *list;
    Status status = fields_list(fields, "vocab", REQUIRED, &list);
    if (status) return status;
    const int64_t count = (int64_t)json_array_size(list);
    if (count > VOCABULARY_ID_MAX) return fields_refuse(fields, "\"vocab\" has more than %d tokens", VOCABULARY_ID_MAX);
    unigram->score = malloc(((size_t)count + 1) * sizeof *unigram->score);
    CHECK_MEMORY(unigram->score, "no memory for a vocabulary of %lld tokens", (long long)count);
    unigram->unknown_score = INFINITY;
    model->tokens = count;
    for (int64_t i = 0; i < count && !status; i++)
        status = read_entry(model, fields, json_array_get(list, i), (int32_t)i);
    if (!status) status = fields_count(fields, "unk_id", OPTIONAL, count - 1, &model->unknown);
    return status;
}

/* The last token of the best way to cut the word up to a place. */
typedef struct Arrival {
    double score;
    int64_t from; /* where the token begins; -1: no way leads here */
    int32_t id;
} Arrival;

static void arrive(Arrival *at, double score, int64_t from, int32_t id) {
    if (at->from < 0 || score > at->score) *at = (Arrival){score, from, id};
}

static Status find_ways(const Model *model, ModelRoom *room, const char *word, int64_t bytes, Arrival *arrival) {
    const Unigram *unigram = model->data;
    for (int64_t i = 0; i <= bytes; i++) arrival[i] = (Arrival){.from = -1};
    for (int64_t start = 0, length; start < bytes; start += length) {
        const char *next = word + start;
        utf8_next(&next);
        length = next - (word + start);
        bool single = false; /* the character is itself a token */
        int32_t node = 0, id;
        for (int64_t end = start; end < bytes;) {
            node = trie_step(&unigram->trie, node, (unsigned char)word[end++], &id);
            if (node < 0) break;
            if (id < 0) continue;
            arrive(&arrival[end], unigram->score[id] + arrival[start].score, start, id);
            single = single || end == start + length;
        }
        if (!single && model->unknown < 0) return model_no_token(room, word + start, length);
        if (!single)
            arrive(&arrival[start + length], unigram->unknown_score + arrival[start].score, start,
                   (int32_t)model->unknown);
    }
    return OK;
}

/* A run of unknown characters is looked up as a whole, and then byte by byte. */
static Status add_text(const Model *model, ModelRoom *room, const char *text, int64_t bytes, TokenIds *ids) {
    const int64_t id = vocabulary_find(&model->vocabulary, text, bytes);
    if (id < 0 && model_fall_back(model, text, bytes, ids)) return OK;
    if (id < 0 && model->unknown < 0) return model_no_token(room, text, bytes);
    token_ids_add(ids, (uint32_t)(id >= 0 ? id : model->unknown));
    return OK;
}

static Status encode(const Model *model, ModelRoom *room, const char *word, int64_t bytes, TokenIds *ids) {
    Arrival *arrival = model_room(room, 0, bytes + 1, sizeof *arrival);
    Status status = find_ways(model, room, word, bytes, arrival);
    if (status) return status;
    int64_t *place = model_room(room, 1, bytes + 1, sizeof *place), places = 0; /* where tokens end, in reverse order */
    bool unknown_behind = false;
    for (int64_t end = bytes; end > 0; end = arrival[end].from) {
        const bool unknown = arrival[end].id == model->unknown;
        if (!unknown || !unknown_behind) place[places++] = end;
        unknown_behind = unknown;
    }
    for (int64_t start = 0; places > 0 && !status; start = place[places])
        status = add_text(model, room, word + start, place[--places] - start, ids);
    return status;
}

const ModelKind unigram_kind = {"Unigram", read_unigram, encode, free_unigram};
