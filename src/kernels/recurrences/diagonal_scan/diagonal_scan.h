/* Arguments of the diagonal_scan kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_DIAGONAL_SCAN_DIAGONAL_SCAN_H
#define FLAME_KERNELS_RECURRENCES_DIAGONAL_SCAN_DIAGONAL_SCAN_H

#include <stdint.h>

/* A program has DIAGONAL_SCAN_COLS columns. Sequences are cut between chunks of DIAGONAL_SCAN_ROWS rows. */
enum { DIAGONAL_SCAN_COLS = 128, DIAGONAL_SCAN_ROWS = 16 };

/* For every column h_t = e^g_t h_{t-1} + x_t, where h is 0 before the first token of a document and `initial` before
 * the first row of the sequence. Backward, from the last row on, where c_t is the gradient of h_t that comes from row t
 * + 1:
 *
 *   dx_t = dh_t + c_t     c_{t-1} = e^g_t dx_t     dg_t = h_{t-1} c_{t-1}
 *
 * If sequences and columns are too few to fill a GPU, a sequence is cut into `parts` parts of part_chunks chunks. First
 * each part is walked from a state of 0. The resulting state and the product of the part's decays then give the state
 * before each part. Backward does the same with c. Strides in elements; a gradient has the stride of its tensor. */
typedef struct DiagonalScanArguments {
    const void *x;
    const float *g, *initial; /* initial [B, cols], may be NULL */
    const int32_t *segment;
    void *h;
    float *final;      /* [B, cols], h after the last token; may be NULL */
    float *part_decay; /* [B, parts, cols]: the product of e^g */
    float *part_state; /* [B, parts, cols]: h after a part from 0; backward: c before it */

    const void *dh;
    const float *dfinal; /* may be NULL */
    void *dx;
    float *dg, *dinitial; /* dinitial may be NULL */

    int64_t T, cols, chunks, parts, part_chunks;
    int64_t x_stride, g_stride, h_stride, initial_stride;
} DiagonalScanArguments;

#endif
