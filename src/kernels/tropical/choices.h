/* Maxima of sums, and which terms they come from, on a CPU. For max_plus_product and tropical_attention. */
#ifndef FLAME_KERNELS_TROPICAL_CHOICES_H
#define FLAME_KERNELS_TROPICAL_CHOICES_H

#include "tile/rows.h"

enum { CHOICE_WIDTH = 32 }; /* columns whose maxima stay in registers */
HOST_AND_DEVICE int width_of_choices(int64_t cols) { return (int)blocks_of(cols, CHOICE_WIDTH) * CHOICE_WIDTH; }

#ifdef FLAME_KERNEL_FILE
/* For CHOICE_WIDTH columns j, raises largest_j to the maximum of x_i + y_ij over first <= i < end. If that is larger,
 * choice_j becomes origin + i, for the first of equal ones. Choices are >= 0 and only grow, so a maximum can take the
 * place of a conditional store, for which compilers branch. Loops of a constant length keep the numbers in
 * registers. */
DEVICE void choose_among(float *largest, int32_t *choice, const float *x, const float *y, int stride, int first,
                         int end, int origin) {
    float most[CHOICE_WIDTH] __attribute__((aligned(64)));
    int32_t at[CHOICE_WIDTH] __attribute__((aligned(64)));
    EACH (j, CHOICE_WIDTH) {
        most[j] = largest[j];
        at[j] = choice[j];
    }
    for (int i = first; i < end; i++) {
        EACH (j, CHOICE_WIDTH) {
            const float sum = x[i] + y[i * stride + j];
            const int32_t better = sum > most[j] ? origin + i : 0;
            at[j] = at[j] > better ? at[j] : better;
            most[j] = sum > most[j] ? sum : most[j];
        }
    }
    EACH (j, CHOICE_WIDTH) {
        largest[j] = most[j];
        choice[j] = at[j];
    }
}
#endif

#endif
