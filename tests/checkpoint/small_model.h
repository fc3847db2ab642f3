/* A model of a few hundred numbers in three units, whose sizes are not multiples of any number of ranks. Each value
 * identifies its place. The gaps between parameters have values too, which no file may contain. */
#ifndef FLAME_TESTS_CHECKPOINT_SMALL_MODEL_H
#define FLAME_TESTS_CHECKPOINT_SMALL_MODEL_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/parameter.h"

enum { SMALL_UNITS = 3, SMALL_PARAMETERS = 3 };

static inline void small_parameter(Unit *unit, int layer, const char *name, int64_t rows, int64_t cols) {
    Parameter *p = &unit->parameter[unit->parameters++];
    snprintf(p->name, sizeof p->name, "model.layers.%d.%s.weight", layer, name);
    p->dims = cols ? 2 : 1;
    p->shape[0] = rows;
    p->shape[1] = cols;
    p->elements = rows * (cols ? cols : 1);
    unit_place_last(unit);
}

/* The value of element `index` of a unit's flat buffer; `kind` 0 master, 1 exp_avg, 2 exp_avg_sq. */
static inline float small_value(int unit, int64_t index, int kind, int64_t step) {
    return (float)(step * 10000 + unit * 1000 + index) + 0.25f * (float)kind;
}

/* The shard of a rank. An even number of ranks is two replicas: ranks r and r + size / 2 have the same shard. */
static inline int small_place(int rank, int size) {
    const int half = size / 2;
    return size % 2 ? rank : rank % half * 2 + rank / half;
}

static inline void small_model_create(Unit *units, int rank, int size) {
    memset(units, 0, SMALL_UNITS * sizeof *units);
    for (int u = 0; u < SMALL_UNITS; u++) {
        snprintf(units[u].name, sizeof units[u].name, "model.layers.%d", u);
        small_parameter(&units[u], u, "norm", 7, 0);
        small_parameter(&units[u], u, "q_proj", 11, 7);
        small_parameter(&units[u], u, "bias", 1, 0);
        units[u].shard = (units[u].elements + size - 1) / size;
        units[u].first = small_place(rank, size) * units[u].shard;
        units[u].device = units[u].update_device = device_cpu();
        units[u].master = calloc((size_t)units[u].shard, sizeof(float));
        units[u].exp_avg = calloc((size_t)units[u].shard, sizeof(float));
        units[u].exp_avg_sq = calloc((size_t)units[u].shard, sizeof(float));
    }
}

static inline void small_model_destroy(Unit *units) {
    for (int u = 0; u < SMALL_UNITS; u++) {
        free(units[u].master);
        free(units[u].exp_avg);
        free(units[u].exp_avg_sq);
    }
}

static inline float *small_values(Unit *unit, int kind) {
    return kind == 0 ? unit->master : kind == 1 ? unit->exp_avg : unit->exp_avg_sq;
}

static inline bool small_is_gap(const Unit *unit, int64_t index) {
    for (int i = 0; i < unit->parameters; i++) {
        const Parameter *p = &unit->parameter[i];
        if (index >= p->offset && index < p->offset + p->elements) return false;
    }
    return true;
}

static inline void small_model_fill(Unit *units, int64_t step) {
    for (int u = 0; u < SMALL_UNITS; u++)
        for (int kind = 0; kind < 3; kind++)
            for (int64_t i = 0; i < units[u].shard && units[u].first + i < units[u].elements; i++)
                small_values(&units[u], kind)[i] = small_value(u, units[u].first + i, kind, step);
}

/* Whether the shard holds exactly the values of `step` (with moments of zero if `weights_only`). */
static inline bool small_model_is(Unit *units, int64_t step, bool weights_only) {
    for (int u = 0; u < SMALL_UNITS; u++)
        for (int kind = 0; kind < 3; kind++)
            for (int64_t i = 0; i < units[u].shard && units[u].first + i < units[u].elements; i++) {
                if (small_is_gap(&units[u], units[u].first + i)) continue;
                const float expected = weights_only && kind > 0 ? 0.0f : small_value(u, units[u].first + i, kind, step);
                if (small_values(&units[u], kind)[i] != expected) return false;
            }
    return true;
}

#endif
