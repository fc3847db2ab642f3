#include "suites/mqar_example.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/mqar_repeated.h"
#include "suites/mqar_setting.h"

typedef struct Place {
    double priority;
    int64_t slot;
} Place;

static int by_priority(const void *a, const void *b) {
    const Place *x = a, *y = b;
    return x->priority > y->priority ? -1 : x->priority < y->priority;
}

/* The slots in an order drawn by weight without replacement: sorted by ln(weight) plus Gumbel noise (Efraimidis and
 * Spirakis, 2006). The caller frees them. */
static Place *draw_places(const Mqar *c, Draws *draws, int64_t slots) {
    Place *place = malloc((size_t)slots * sizeof *place);
    CHECK_MEMORY(place, "out of memory");
    for (int64_t s = 0; s < slots; s++)
        place[s] = (Place){(c->power_a - 1) * log((double)s + 1) - log(-log(draw_unit(draws) + 0x1p-54)), s};
    qsort(place, (size_t)slots, sizeof *place, by_priority);
    return place;
}

/* The pairs that an example shows and asks for. */
typedef struct Pairs {
    int32_t *key;    /* [num_kv_pairs, key_tokens] */
    int32_t *value;  /* [num_kv_pairs]: the last value of each key */
    int32_t *number; /* [shown_pairs]: the pair that is shown */
    int32_t *shown;  /* [shown_pairs]: the value that is shown with it */
} Pairs;

static Pairs pairs_begin(const Mqar *c) {
    const int64_t pairs = c->num_kv_pairs, shown = mqar_shown_pairs(c);
    int32_t *memory = malloc((size_t)((mqar_key_tokens(c) + 1) * pairs + 2 * shown) * sizeof *memory);
    CHECK_MEMORY(memory, "out of memory");
    int32_t *value = memory + mqar_key_tokens(c) * pairs;
    return (Pairs){memory, value, value + pairs, value + pairs + shown};
}

/* Draws the keys: all combinations of a few first and second tokens, in random order. */
static void draw_compositional_keys(const Mqar *c, Draws *draws, int32_t *key) {
    const int64_t side = mqar_side(c);
    const Range range[2] = {mqar_keys_of(c, 0), mqar_keys_of(c, 1)};
    int32_t *order = malloc((size_t)(c->num_kv_pairs + 2 * side) * sizeof *order);
    CHECK_MEMORY(order, "out of memory");
    int32_t *token[2] = {order + c->num_kv_pairs, order + c->num_kv_pairs + side};
    for (int i = 0; i < 2; i++) draw_different(draws, range[i].first, range[i].count, side, token[i]);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) order[i] = (int32_t)i;
    draw_order(draws, order, c->num_kv_pairs);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) {
        key[2 * i] = token[0][order[i] / side];
        key[2 * i + 1] = token[1][order[i] % side];
    }
    free(order);
}

static void draw_updates(const Mqar *c, Draws *draws, Pairs *p) {
    const Range values = mqar_values_of(c);
    int32_t *number = p->number + c->num_kv_pairs, *shown = p->shown + c->num_kv_pairs;
    draw_different(draws, 0, c->num_kv_pairs, c->num_updates, number);
    for (int64_t i = 0; i < c->num_updates; i++) {
        int32_t *value = &p->value[number[i]];
        const int32_t other = (int32_t)draw_between(draws, values.first, values.first + values.count - 2);
        *value = shown[i] = other + (other >= *value); /* any value but the key's present one */
    }
}

static void draw_pairs(const Mqar *c, Draws *draws, Pairs *p) {
    const Range keys = mqar_keys_of(c, 0), values = mqar_values_of(c);
    if (c->compositional)
        draw_compositional_keys(c, draws, p->key);
    else
        draw_different(draws, keys.first, keys.count, c->num_kv_pairs, p->key);
    draw_different(draws, values.first, values.count, c->num_kv_pairs, p->value);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) {
        p->number[i] = (int32_t)i;
        p->shown[i] = p->value[i];
    }
    if (c->num_updates > 0) draw_updates(c, draws, p);
}

static void write_key(const Mqar *c, const Pairs *p, int64_t pair, int32_t *inputs) {
    memcpy(inputs, p->key + pair * mqar_key_tokens(c), (size_t)mqar_key_tokens(c) * sizeof *inputs);
}

static void write_context(const Mqar *c, const Pairs *p, int32_t *inputs) {
    for (int64_t i = 0; i < mqar_shown_pairs(c) * c->num_passes; i++, inputs += mqar_pair_tokens(c)) {
        const int64_t shown = i % mqar_shown_pairs(c);
        write_key(c, p, p->number[shown], inputs);
        inputs[mqar_key_tokens(c)] = p->shown[shown];
    }
}

static bool is_shown(const Mqar *c, const Pairs *p, int32_t token) {
    for (int64_t i = 0; i < c->num_kv_pairs * mqar_key_tokens(c); i++)
        if (p->key[i] == token) return true;
    for (int64_t i = 0; i < mqar_shown_pairs(c); i++)
        if (p->shown[i] == token) return true;
    return false;
}

static int32_t draw_any(const Mqar *c, Draws *draws) {
    Range part[MQAR_PARTS];
    int64_t drawn = draw_below(draws, mqar_fillers(c));
    int i = 0;
    for (mqar_parts(c, part); drawn >= part[i].count; i++) drawn -= part[i].count;
    return (int32_t)(part[i].first + drawn);
}

/* Draws a token to stand between queries. Even here, training shows no token that is held out. */
static int32_t draw_filler(const Mqar *c, const Pairs *p, Draws *draws) {
    int32_t token = draw_any(c, draws);
    while (!c->collisions && is_shown(c, p, token)) token = draw_any(c, draws);
    return token;
}

static void write_repeated(const Mqar *c, Draws *draws, const Pairs *pairs, Example e) {
    const Range values = mqar_values_of(c);
    const RepeatedPairs repeated = {.seq_len = c->seq_len,
                                    .pairs = c->num_kv_pairs,
                                    .n_back = c->n_back,
                                    .key = pairs->key,
                                    .first_value = values.first,
                                    .values = values.count};
    repeated_pairs_write(&repeated, draws, e);
}

static void write_once(const Mqar *c, Draws *draws, const Pairs *pairs, Example e) {
    const int64_t context = mqar_context(c);
    Place *place = draw_places(c, draws, (c->seq_len - context) / mqar_pair_tokens(c));
    for (int64_t t = 0; t < c->seq_len; t++) {
        e.labels[t] = IGNORED_LABEL;
        e.inputs[t] = t >= context && c->random_non_queries ? draw_filler(c, pairs, draws) : 0;
    }
    write_context(c, pairs, e.inputs);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) {
        const int64_t t = context + mqar_pair_tokens(c) * place[i].slot;
        write_key(c, pairs, i, e.inputs + t);
        e.labels[t + mqar_key_tokens(c) - 1] = pairs->value[i];
    }
    free(place);
}

void mqar_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Mqar *c = config;
    Pairs pairs = pairs_begin(c);
    draw_pairs(c, draws, &pairs);
    if (c->n_back > 0)
        write_repeated(c, draws, &pairs, e);
    else
        write_once(c, draws, &pairs, e);
    free(pairs.key);
}
