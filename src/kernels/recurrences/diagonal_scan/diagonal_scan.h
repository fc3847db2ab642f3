/* Arguments of the diagonal_scan kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_DIAGONAL_SCAN_DIAGONAL_SCAN_H
#define FLAME_KERNELS_RECURRENCES_DIAGONAL_SCAN_DIAGONAL_SCAN_H

#include <stdint.h>

/* A program has this many columns, and sequences are cut between chunks of so many rows. */
enum { DIAGONAL_SCAN_COLS = 128, DIAGONAL_SCAN_ROWS = 16 };

/* For every column h_t = e^g_t h_{t-1} + x_t; 0 before the first token of a document, `initial` before the first row of
 * the sequence. Backward, from the last row on, where c_t is the gradient that row t + 1 hands to h_t:
 *
 *   dx_t = dh_t + c_t     c_{t-1} = e^g_t dx_t     dg_t = h_{t-1} c_{t-1}
 *
 * Where sequences and columns are too few to fill a GPU, a sequence is cut into `parts` of part_chunks chunks. Each
 * part is walked from a state of 0 first; what that leaves, and the product of its decays, give the state in front of
 * each part. Backward does the same with c. Strides in elements; a gradient has the stride of its tensor. */
typedef struct DiagonalScanArguments {
    const void *x;
    const float *g, *initial; /* initial [B, cols], may be NULL */
    const int32_t *segment;
    void *h;
    float *final;      /* [B, cols], h after the last token; may be NULL */
    float *part_decay; /* [B, parts, cols], product of e^g */
    float *part_state; /* [B, parts, cols]; backward: c in front of the parts */

    const void *dh;
    const float *dfinal; /* may be NULL */
    void *dx;
    float *dg, *dinitial; /* dinitial may be NULL */

    int64_t T, cols, chunks, parts, part_chunks;
    int64_t x_stride, g_stride, h_stride, initial_stride;
} DiagonalScanArguments;

#endif
