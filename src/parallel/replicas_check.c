#include "parallel/replicas_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/log.h"

static const int64_t BLOCK = 4 << 20; /* bytes read at a time */

static uint32_t crc_of_slice(const Fsdp *fsdp, int unit, char *block) {
    int64_t bytes;
    const char *slice = fsdp_slice(fsdp, unit, &bytes);
    uint32_t crc = 0;
    for (int64_t done = 0, count; done < bytes; done += count) {
        count = bytes - done < BLOCK ? bytes - done : BLOCK;
        device_download(fsdp_device(fsdp), block, slice + done, count);
        crc = crc_update(crc, block, count);
    }
    return crc;
}

/* crcs: [replicas][units]. How many replicas, itself included, have the same copy of `unit` as `replica`. */
static int equals(const uint32_t *crcs, int replicas, int units, int unit, int replica) {
    int count = 0;
    for (int r = 0; r < replicas; r++) count += crcs[r * units + unit] == crcs[replica * units + unit];
    return count;
}

/* The first unit for which this rank's copy is not that of the majority of replicas, or -1. */
static int odd_unit(const uint32_t *crcs, int replicas, int units, int mine) {
    for (int u = 0; u < units; u++) {
        int most = 0;
        for (int r = 0; r < replicas; r++) {
            const int count = equals(crcs, replicas, units, u, r);
            most = count > most ? count : most;
        }
        if (equals(crcs, replicas, units, u, mine) < most || 2 * most <= replicas) return u;
    }
    return -1;
}

static void log_odd(const Comm *world, const char *unit, int64_t step, int replicas) {
    char host[256] = "?";
    gethostname(host, sizeof host - 1);
    log_error(
        "step %lld: rank %d (%s) computed with other parameters of %s than %s: a memory, GPU or link that took part "
        "cannot be trusted. Nothing of this step is saved; checkpoints since the last check that agreed may be "
        "wrong too",
        (long long)step, world->rank, host, unit,
        replicas > 2 ? "most ranks that hold the same" : "the other rank that holds the same");
}

Status replicas_check(Fsdp *fsdp, int64_t step) {
    const Mesh *mesh = fsdp_mesh(fsdp);
    Comm *comm = mesh->host_replicas;
    int units;
    const Unit *unit = fsdp_units(fsdp, &units);
    uint32_t *crcs = calloc((size_t)units * (size_t)(comm->size + 1), sizeof *crcs), *mine = crcs + comm->size * units;
    char *block = malloc((size_t)BLOCK);
    CHECK_MEMORY(crcs && block, "no memory to compare replicas");
    for (int u = 0; u < units; u++) mine[u] = crc_of_slice(fsdp, u, block);
    comm->f->all_gather(comm, mine, crcs, units * (int64_t)sizeof *crcs);
    const int odd = odd_unit(crcs, comm->size, units, comm->rank);
    if (odd >= 0) log_odd(mesh->world, unit[odd].name, step, comm->size);
    free(block);
    free(crcs);
    return comm_worst(mesh->world, odd >= 0 ? NUMERIC_STOP : OK);
}
