/* Linked into flame-c-wrong with --wrap for the functions below. FLAME_SLOW="RANK data 50" makes reading the
 * samples of a micro-batch take 50 ms longer on a rank, "RANK computation 50" makes computing it take longer, and
 * "RANK ending 50" does so after its last collective.
 * FLAME_WRONG="RANK CALL flip" flips the lowest bit of the first value of that rank's gradient shard, after the CALL-th
 * (1, 2, ...) reduction of a gradient; "RANK CALL spike" makes that value a million, "RANK CALL copy" flips the lowest
 * bit of the rank's copy of the unit's parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "data/stream.h"
#include "parallel/fsdp.h"
#include "training/runner.h"

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

static void slow(const char *wanted) {
    int rank, milliseconds;
    char part[16];
    const char *slow = getenv("FLAME_SLOW");
    if (!slow || sscanf(slow, "%d %15s %d", &rank, part, &milliseconds) != 3) return;
    if (rank == log_rank() && strcmp(part, wanted) == 0)
        nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000L}, NULL);
}

Status __real_stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels,
                          int32_t *segment, int32_t *position);
Status __wrap_stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels,
                          int32_t *segment, int32_t *position);
Status __wrap_stream_read(Stream *stream, int64_t sample, int64_t count, int32_t *tokens, int32_t *labels,
                          int32_t *segment, int32_t *position) {
    slow("data");
    return __real_stream_read(stream, sample, count, tokens, labels, segment, position);
}

void __real_runner_train(Runner *runner, bool last);
void __wrap_runner_train(Runner *runner, bool last);
void __wrap_runner_train(Runner *runner, bool last) {
    slow("computation");
    __real_runner_train(runner, last);
    slow("ending");
}
