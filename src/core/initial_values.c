#include "core/initial_values.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/orthogonal.h"
#include "base/rng.h"

enum { DRAWN_AT_ONCE = 1 << 20 };

static void draw(const Parameter *p, uint64_t seed, int64_t first, int64_t count, float *values) {
    const Init *init = &p->init;
    switch (init->kind) {
    case INIT_NORMAL:
        rng_normal(seed, rng_key(p->name), first, count, init->a, init->b, values);
        return;
    case INIT_UNIFORM:
        rng_uniform(seed, rng_key(p->name), first, count, init->a, init->b, values);
        return;
    case INIT_LOG_UNIFORM:
        rng_uniform(seed, rng_key(p->name), first, count, init->a, init->b, values);
        for (int64_t i = 0; i < count; i++) values[i] = logf(values[i]);
        return;
    case INIT_INVERSE_SOFTPLUS:
        rng_uniform(seed, rng_key(p->name), first, count, log(init->a), log(init->b), values);
        for (int64_t i = 0; i < count; i++) {
            const double t = exp((double)values[i]);
            values[i] = (float)(t + log(-expm1(-t)));
        }
        return;
    case INIT_CONSTANT:
        for (int64_t i = 0; i < count; i++) values[i] = (float)init->a;
        return;
    case INIT_FORMULA:
        for (int64_t i = 0; i < count; i++) values[i] = (float)p->formula.of(first + i, p->formula.argument);
        return;
    case INIT_ORTHOGONAL:
        CHECK(false, "%s is not drawn by element", p->name);
    }
}

/* All elements of an orthogonal parameter, times its gain. The caller frees it. */
static float *draw_orthogonal(const Parameter *p, uint64_t seed) {
    const int64_t rows = p->tensor.rows, cols = p->tensor.cols, fewer = rows < cols ? rows : cols;
    const int64_t bytes = p->elements * (int64_t)sizeof(float);
    float *drawn = memory_take(bytes, p->name, NOTHING_LESS), *values = memory_take(bytes, p->name, NOTHING_LESS);
    rng_normal(seed, rng_key(p->name), 0, p->elements, 0, 1, drawn);
    orthonormalise_rows(drawn, fewer, p->elements / fewer);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            values[i * cols + j] = (float)p->init.a * (rows <= cols ? drawn[i * cols + j] : drawn[j * rows + i]);
    free(drawn);
    return values;
}

static void initialise_orthogonal(const Unit *unit, const Parameter *p, uint64_t seed) {
    const UnitRange range = unit_range(unit, p);
    const int64_t elements = range.last - range.first;
    if (elements <= 0) return;
    float *values = draw_orthogonal(p, seed);
    device_upload(unit->update_device, unit->master + range.in_shard, values + range.in_parameter,
                  elements * (int64_t)sizeof *values);
    free(values);
}

/* Draws the elements in this rank's shard, in the host's memory, and uploads them if the shard is not there. */
static void initialise_by_element(const Unit *unit, const Parameter *p, uint64_t seed) {
    const UnitRange range = unit_range(unit, p);
    const int64_t elements = range.last - range.first;
    if (elements <= 0) return;
    float *shard = unit->master + range.in_shard;
    if (unit->update_device->host_memory) {
        draw(p, seed, range.in_parameter, elements, shard);
        return;
    }
    const int64_t most = elements < DRAWN_AT_ONCE ? elements : DRAWN_AT_ONCE;
    float *values = memory_take(most * (int64_t)sizeof *values, "initial values", NOTHING_LESS);
    for (int64_t done = 0, count; done < elements; done += count) {
        count = elements - done < most ? elements - done : most;
        draw(p, seed, range.in_parameter + done, count, values);
        device_upload(unit->update_device, shard + done, values, count * (int64_t)sizeof *values);
    }
    free(values);
}

void unit_initialise(const Unit *unit, uint64_t seed) {
    for (int i = 0; i < unit->parameters; i++) {
        const Parameter *p = &unit->parameter[i];
        if (p->init.kind == INIT_ORTHOGONAL)
            initialise_orthogonal(unit, p, seed);
        else
            initialise_by_element(unit, p, seed);
    }
}
