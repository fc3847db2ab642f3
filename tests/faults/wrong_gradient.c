/* Linked into flame-c-wrong with --wrap=fsdp_reduce_gradient. FLAME_WRONG="RANK CALL flip" flips the lowest bit of the
 * first value of that rank's gradient shard, after the CALL-th (1, 2, ...) reduction of a gradient; "RANK CALL spike"
 * makes that value a million, "RANK CALL copy" flips the lowest bit of the rank's copy of the unit's parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parallel/fsdp.h"

void __real_fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last);
void __wrap_fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last);

static float flipped(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits ^= 1;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

void __wrap_fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last) {
    static int calls;
    int rank, call, count;
    char what[8];
    const char *wrong = getenv("FLAME_WRONG");
    __real_fsdp_reduce_gradient(fsdp, unit, last);
    calls++;
    if (!wrong || sscanf(wrong, "%d %d %7s", &rank, &call, what) != 3) return;
    if (fsdp_mesh(fsdp)->world->rank != rank || calls != call) return;
    if (strcmp(what, "copy") == 0) {
        int64_t bytes;
        *(char *)fsdp_slice(fsdp, unit, &bytes) ^= 1;
        return;
    }
    float *value = fsdp_units(fsdp, &count)[unit].gradient_shard;
    *value = strcmp(what, "flip") == 0 ? flipped(*value) : 1e6f;
}
