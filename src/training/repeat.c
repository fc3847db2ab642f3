#include "training/repeat.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/log.h"

static const int64_t BLOCK = 1 << 20; /* elements read at a time */

static uint32_t crc_of_gradient(const Unit *unit, float *block) {
    uint32_t crc = 0;
    for (int64_t first = 0, count; first < unit->shard; first += count) {
        count = unit->shard - first < BLOCK ? unit->shard - first : BLOCK;
        device_download(unit->device, block, unit->gradient_shard + first, count * (int64_t)sizeof *block);
        crc = crc_update(crc, block, count * (int64_t)sizeof *block);
    }
    return crc;
}

Computed computed_read(Fsdp *fsdp, double loss_sum) {
    int count;
    const Unit *units = fsdp_units(fsdp, &count);
    Computed computed = {loss_sum, calloc((size_t)count, sizeof *computed.gradient)};
    float *block = malloc((size_t)BLOCK * sizeof *block);
    CHECK_MEMORY(computed.gradient && block, "no memory to compare gradients");
    for (int u = 0; u < count; u++) computed.gradient[u] = crc_of_gradient(&units[u], block);
    free(block);
    return computed;
}

void computed_free(Computed *computed) {
    free(computed->gradient);
    *computed = (Computed){0};
}

/* What differs: a unit's name, "the loss", or NULL. */
static const char *difference(Fsdp *fsdp, const Computed *first, const Computed *second) {
    int count;
    const Unit *units = fsdp_units(fsdp, &count);
    for (int u = 0; u < count; u++)
        if (first->gradient[u] != second->gradient[u]) return units[u].name;
    /* Compares bits, because two NaN losses may be the same. */
    return memcmp(&first->loss_sum, &second->loss_sum, sizeof first->loss_sum) == 0 ? NULL : "the loss";
}

Status computed_compare(Fsdp *fsdp, int64_t step, const Computed *first, const Computed *second) {
    Comm *world = fsdp_mesh(fsdp)->world;
    const char *what = difference(fsdp, first, second);
    char host[256] = "?";
    gethostname(host, sizeof host - 1);
    if (what)
        log_error("step %lld was computed twice on the same samples, and the results differ on rank %d (%s), in %s: a "
                  "processor, GPU or memory that took part cannot be trusted. Nothing of this step is saved; "
                  "checkpoints since the last step that agreed may be wrong too",
                  (long long)step, world->rank, host, what);
    return comm_worst(world, what ? NUMERIC_STOP : OK);
}
