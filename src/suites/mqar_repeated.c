#include "suites/mqar_repeated.h"

#include <stdlib.h>

void repeated_pairs_write(const RepeatedPairs *c, Draws *draws, Example e) {
    const int64_t n = c->n_back;
    /* the last n values of each key, with value number i at place i % n */
    int32_t *value = malloc((size_t)(c->pairs * n) * sizeof *value);
    int64_t *count = calloc((size_t)c->pairs, sizeof *count);
    CHECK_MEMORY(value && count, "out of memory");
    for (int64_t t = 0; t < c->seq_len; t += 2) {
        const int64_t pair = t / 2 < c->pairs ? t / 2 : draw_below(draws, c->pairs);
        int32_t *place = &value[pair * n + count[pair] % n];
        e.inputs[t] = c->key[pair];
        e.inputs[t + 1] = (int32_t)draw_between(draws, c->first_value, c->first_value + c->values - 1);
        e.labels[t] = count[pair] < n ? IGNORED_LABEL : *place;
        e.labels[t + 1] = IGNORED_LABEL;
        *place = e.inputs[t + 1];
        count[pair]++;
    }
    free(value);
    free(count);
}
