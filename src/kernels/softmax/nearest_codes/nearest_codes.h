/* Arguments of the nearest_codes kernels, shared by host and device. */
#ifndef FLAME_KERNELS_SOFTMAX_NEAREST_CODES_NEAREST_CODES_H
#define FLAME_KERNELS_SOFTMAX_NEAREST_CODES_NEAREST_CODES_H

#include "base/labels.h"
#include "kernels/heads.h"

enum {
    CODE_TOKENS = 64,      /* tokens of a program that finds the nearest codes */
    CODE_ROWS = 64,        /* codes that are loaded at a time */
    STATISTICS_PART = 1024 /* the fewest tokens of a program that sums over tokens */
};

/* For every head, with its codes c_s = c_sum_s / max(c_count_s, 0.01):
 *
 *   z_t = argmin_s |k_t - c_s|^2, the first of equal ones        y_t = c_(z_t)        error_t = |k_t - y_t|^2
 *
 * Backward, with a prime for gradients: k' = y' + 2 error' (k - y), as if y were k (straight through); c_sum' and
 * c_count' are the sum and the number of the keys with each code. Rows with PADDING_LABEL are left out of those. */
typedef struct NearestCodesArguments {
    Heads k, y, dy, dk;
    const void *c_sum, *c_count; /* [heads, codes, head_dim], [heads, codes] */
    void *code;                  /* [heads, codes, head_dim] */
    float *square;               /* [heads, codes]: |c|^2 */
    int32_t *index;              /* [rows, heads]: z */
    float *error;                /* [rows, heads] */
    const float *derror;
    const int32_t *labels;
    float *sums, *counts; /* [parts, heads, codes, head_dim], [parts, heads, codes] */
    int64_t rows, heads, codes, head_dim;
    int64_t rows_of_part, rows_per_program;
} NearestCodesArguments;

#endif
