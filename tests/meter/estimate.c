#include "meter/estimate.h"

#include <math.h>

enum { MIN_SPLIT = 1024 }; /* least part of a sum over k */

#define MMA_SECONDS_CYCLES 1.56 /* cycles of a multiprocessor for one mma.sync.m16n8k16 */
#define SCHEDULERS         4.0
/* Fitted to 60 kernels and the products of four models on an H200 (docs/gpu/2026-11-27-h200-kernels.json). Memory is
 * assumed to move at the rate of the data sheet, because a part of the written data stays in L2. */
#define PRODUCT_SHARE 0.70
#define CYCLES_SHARE  0.8 /* factor on counted cycles */

int estimate_programs_per_sm(int registers, double shared_bytes) {
    const int by_threads = 2048 / 128, by_registers = 65536 / (128 * ((registers + 7) / 8 * 8));
    const int by_shared = (int)(228 * 1024 / (shared_bytes + 1024));
    const int least = by_registers < by_shared ? by_registers : by_shared;
    return least < 1 ? 1 : least < by_threads ? least : by_threads;
}

double estimate_waves(const Meter *m, int programs_per_sm) {
    return m->programs / ((double)MULTIPROCESSORS * programs_per_sm);
}

/* Cycles for which a program occupies its multiprocessor, so that no other program can use it. */
static double busy_cycles(const Meter *m) {
    const double issue = m->instructions / SCHEDULERS, mma = m->mma * MMA_SECONDS_CYCLES;
    const double memory = m->wavefronts + m->moved_bytes / 64;
    return fmax(issue, fmax(mma, memory));
}

double estimate_launch(const Meter *m, int programs_per_sm) {
    const double waves = estimate_waves(m, programs_per_sm);
    const double rounds =
        waves < 8 ? ceil(waves) : waves + 0.5; /* with many waves, the last one is half full on average */
    const double cycles = fmax(rounds * m->cycles, ceil(m->programs / MULTIPROCESSORS) * busy_cycles(m));
    const double l2 = m->programs * (m->read_bytes + m->written_bytes);
    const double memory = fmax(fmin(l2, m->distinct_bytes) / MEMORY_RATE, l2 / L2_RATE);
    return LAUNCH_SECONDS + hypot(CYCLES_SHARE * cycles / CLOCK, memory); /* two times of similar size partly add up */
}

/* The share of the multiprocessors that tiles of 128 x 256 keep busy in whole waves, at the best split of the sum. */
static double occupancy_of_tiles(double tiles, int64_t k) {
    double best = 0;
    for (int split = 1; split == 1 || (split <= 16 && split * MIN_SPLIT <= k); split++) {
        const double waves = tiles * split / MULTIPROCESSORS;
        best = fmax(best, waves / ceil(waves));
    }
    return best;
}

double estimate_product(const Gemm *g) {
    const double m = (double)g->m, n = (double)g->n, k = (double)g->k, flops = 2 * m * n * k;
    const double share = occupancy_of_tiles(ceil(m / 128) * ceil(n / 256), g->k);
    const double bytes =
        (double)dtype_size(g->type) * (m * k + k * n) + (double)dtype_size(g->c_type) * m * n * (g->accumulate ? 2 : 1);
    return LAUNCH_SECONDS + fmax(flops / (PRODUCT_SHARE * PRODUCT_RATE * share), bytes / MEMORY_RATE);
}

double estimate_transfer(double bytes) { return LAUNCH_SECONDS + bytes / MEMORY_RATE; }
