#include "training/stragglers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static const double SLOWER = 1.5, LEAST_SECONDS = 0.02; /* per step */
static const double MOST_IN_COLLECTIVES = 0.5;

static double busy(const StepTimes *times) { return times->reading + times->computing; }

static int compare_busy(const void *a, const void *b) {
    const double x = busy(a), y = busy(b);
    return x < y ? -1 : x > y;
}

/* The times of the median rank; of an even number, the faster of the two in the middle, so that of two ranks the slower
 * one is compared with the other. */
static StepTimes median_of(const StepTimes *times, int ranks) {
    StepTimes *sorted = malloc((size_t)ranks * sizeof *sorted);
    CHECK_MEMORY(sorted, "out of memory");
    for (int i = 0; i < ranks; i++) sorted[i] = times[i];
    qsort(sorted, (size_t)ranks, sizeof *sorted, compare_busy);
    const StepTimes median = sorted[(ranks - 1) / 2];
    free(sorted);
    return median;
}

static bool all_in_collectives(const StepTimes *times, int ranks) {
    for (int i = 0; i < ranks; i++)
        if (times[i].collective <= MOST_IN_COLLECTIVES * (busy(&times[i]) + times[i].collective)) return false;
    return true;
}

Straggler stragglers_find(const StepTimes *times, int ranks, double steps, bool several_hosts) {
    Straggler found = {.rank = 0, .median = median_of(times, ranks)};
    for (int i = 1; i < ranks; i++)
        if (busy(&times[i]) > busy(&times[found.rank])) found.rank = i;
    found.its = times[found.rank];
    const double longer = busy(&found.its) - busy(&found.median);
    if (longer > LEAST_SECONDS * steps && busy(&found.its) > SLOWER * busy(&found.median)) {
        found.part = 2 * (found.its.reading - found.median.reading) > longer ? "data" : "computation";
        return found;
    }
    found.rank = -1;
    if (several_hosts && all_in_collectives(times, ranks)) found.part = "network";
    return found;
}

Straggler stragglers_gather(Comm *comm, const StepTimes *times, double steps) {
    StepTimes *all = calloc((size_t)comm->size, sizeof *all);
    CHECK_MEMORY(all, "out of memory");
    double several = comm->local_size < comm->size;
    comm->f->all_gather(comm, times, all, sizeof *all);
    comm->f->all_reduce_max(comm, &several, 1);
    const Straggler found = stragglers_find(all, comm->size, steps, several > 0);
    free(all);
    return found;
}

void stragglers_say(const Straggler *s, double steps, char text[256]) {
    if (s->rank >= 0)
        snprintf(text, 256,
                 "rank %d is slow, in %s: it reads for %.3f s and computes for %.3f s per step, the median rank for "
                 "%.3f s and %.3f s",
                 s->rank, s->part, s->its.reading / steps, s->its.computing / steps, s->median.reading / steps,
                 s->median.computing / steps);
    else
        snprintf(text, 256,
                 "the network is slow: no single rank is slow, but each spends more than half of its time in "
                 "collectives, the median rank %.3f s per step",
                 s->median.collective / steps);
}
