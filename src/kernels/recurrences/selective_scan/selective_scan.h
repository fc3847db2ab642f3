/* Arguments of the selective_scan kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_SELECTIVE_SCAN_SELECTIVE_SCAN_H
#define FLAME_KERNELS_RECURRENCES_SELECTIVE_SCAN_SELECTIVE_SCAN_H

#include <stdint.h>

/* Columns of a program; rows of a chunk, before each of which the states are kept; states of a block, of which a thread
 * has one at a time; the most states of a column. */
enum { SELECTIVE_SCAN_COLS = 128, SELECTIVE_SCAN_ROWS = 16, SELECTIVE_SCAN_BLOCK = 16, SELECTIVE_SCAN_STATES = 64 };

/* For every column c and state n < N, with t_r = softplus(dt_rc + dt_bias_c) and A = -e^A_log:
 *
 *   h = e^(t_r A_cn) h + t_r B_rn x_rc        0 before the first token of a document; before the first row of the
 *   y_rc = sum over n of C_rn h               sequence it is `initial`
 *
 * Backward, from the last row on, with w = e^(t A) h before the row:
 *
 *   g = dh + dy C, dC = sum over c of dy h, dB = sum over c of g t x, u = sum over n of g B
 *   dx = t u, dt = (u x + sum over n of A g w) sigmoid(dt + dt_bias), dA_log = sum over rows of t A g w
 *   dh = e^(t A) g                            0 in front of a document
 *
 * If sequences and columns are too few to fill a GPU, a sequence is cut into `parts` parts of part_chunks chunks. First
 * each part is walked from a state of 0. The resulting state and the sum of t then give the state before each part.
 * `padded` is N rounded up to whole blocks. Strides in elements; a gradient has the stride of its tensor. */
typedef struct SelectiveScanArguments {
    const void *x, *dt, *A_log, *dt_bias, *B, *C; /* A_log [cols, N], dt_bias [cols]; B, C [rows, N] */
    const float *initial;                         /* [B, cols, N], may be NULL */
    const int32_t *segment;
    void *y;
    float *final;      /* [B, cols, N], may be NULL */
    float *state;      /* [B, chunks, padded, cols]: the state before each chunk */
    float *part_time;  /* [B, parts, cols]: the sum of t */
    float *part_state; /* [B, parts, padded, cols]: the state after a part from 0; backward: the gradient before it */

    const void *dy;
    const float *dfinal; /* may be NULL */
    void *dx, *ddt, *dB, *dC;
    float *dinitial; /* may be NULL */
    float *carried;  /* [B, parts, padded, cols]: what passes from chunk to chunk if there are several blocks */
    float *partial_A_log, *partial_dt_bias; /* [B * parts, cols * N], [B * parts, cols] */
    float *partial_BC; /* [blocks of columns, rows, padded / BLOCK, 2 BLOCK]: a block's B, then its C */

    int64_t T, rows, cols, N, padded, chunks, parts, part_chunks;
    int64_t x_stride, dt_stride, B_stride, C_stride, y_stride, initial_stride;
} SelectiveScanArguments;

#endif
