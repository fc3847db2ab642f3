/* Linked into flame-c-flipping with --wrap=fsdp_reduce_gradient: FLAME_FLIP="RANK CALL BIT" flips one bit of the first
 * value of that rank's gradient shard, after the CALL-th (1, 2, ...) reduction of a gradient. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parallel/fsdp.h"

void __real_fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last);
void __wrap_fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last);

void __wrap_fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last) {
    static int calls;
    int rank, call, bit, count;
    const char *flip = getenv("FLAME_FLIP");
    __real_fsdp_reduce_gradient(fsdp, unit, last);
    calls++;
    if (!flip || sscanf(flip, "%d %d %d", &rank, &call, &bit) != 3) return;
    if (fsdp_mesh(fsdp)->world->rank != rank || calls != call) return;
    float *value = fsdp_units(fsdp, &count)[unit].gradient_shard;
    uint32_t bits;
    memcpy(&bits, value, sizeof bits);
    bits ^= UINT32_C(1) << bit;
    memcpy(value, &bits, sizeof bits);
}
