#include "training/gradients.h"

#include <math.h>
#include <stdlib.h>

static const int64_t BLOCK = 1 << 16; /* elements read at a time */

/* Adds the part of a parameter that is in this rank's shard: its sum of squares, and how many values are not finite. */
static void add_part(const Unit *unit, const Parameter *parameter, double scale, float *block, double sums[2]) {
    const UnitRange range = unit_range(unit, parameter);
    const int64_t elements = range.last - range.first;
    for (int64_t done = 0, count; done < elements; done += count) {
        count = elements - done < BLOCK ? elements - done : BLOCK;
        device_download(unit->device, block, unit->gradient_shard + range.in_shard + done,
                        count * (int64_t)sizeof *block);
        for (int64_t i = 0; i < count; i++) {
            const double value = scale * (double)block[i];
            if (isfinite(value))
                sums[0] += value * value;
            else
                sums[1]++;
        }
    }
}

static ParameterGradient *list(Fsdp *fsdp, int64_t *count) {
    int units;
    const Unit *unit = fsdp_units(fsdp, &units);
    int64_t room = 0;
    for (int u = 0; u < units; u++) room += unit[u].parameters;
    ParameterGradient *all = calloc((size_t)room + 1, sizeof *all);
    CHECK_MEMORY(all, "no memory for a list of parameters");
    *count = 0;
    for (int u = 0; u < units; u++)
        for (int i = 0; i < unit[u].parameters; i++)
            if (unit[u].parameter[i].moving_average == 0)
                all[(*count)++] = (ParameterGradient){.unit = &unit[u], .parameter = &unit[u].parameter[i]};
    return all;
}

ParameterGradient *gradients_read(Fsdp *fsdp, double scale, int64_t *count) {
    Comm *world = fsdp_mesh(fsdp)->world;
    ParameterGradient *all = list(fsdp, count);
    double(*sums)[2] = calloc((size_t)*count + 1, sizeof *sums);
    float *block = malloc((size_t)BLOCK * sizeof *block);
    CHECK_MEMORY(sums && block, "no memory to read gradients");
    for (int64_t i = 0; i < *count; i++) add_part(all[i].unit, all[i].parameter, scale, block, sums[i]);
    world->f->all_reduce_sum(world, sums[0], 2 * *count);
    for (int64_t i = 0; i < *count; i++) {
        all[i].norm = sqrt(sums[i][0]);
        all[i].not_finite = sums[i][1];
    }
    free(block);
    free(sums);
    return all;
}
