/* Arguments of the diagonal_scan kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_DIAGONAL_SCAN_DIAGONAL_SCAN_H
#define FLAME_KERNELS_RECURRENCES_DIAGONAL_SCAN_DIAGONAL_SCAN_H

#include <stdint.h>

enum { DIAGONAL_SCAN_COLS = 256 }; /* columns of a program */

/* h_t = e^g_t h_{t-1} + x_t for every column, h = 0 before the first token of a document; before the first of the
 * sequence it is `initial`. Programs: x over sequences, y over columns. Strides in elements. */
typedef struct DiagonalScanArguments {
    const void *x;
    const float *g, *initial; /* initial [B, cols], may be NULL */
    const int32_t *segment;
    void *h;
    float *final; /* [B, cols], h after the last token; may be NULL */
    int64_t T, cols, x_stride, g_stride, h_stride, initial_stride;
} DiagonalScanArguments;

/* From the last token on, s = dh_t + e^g_{t+1} s_{t+1}: dx_t = s, dg_t = e^g_t h_{t-1} s, and dinitial = e^g_0 s_0.
 * Each gradient has the stride of its tensor. */
typedef struct DiagonalScanBackwardArguments {
    const void *h, *dh;
    const float *g, *initial, *dfinal; /* dfinal and dinitial may be NULL */
    const int32_t *segment;
    void *dx;
    float *dg, *dinitial;
    int64_t T, cols, x_stride, g_stride, h_stride, initial_stride;
} DiagonalScanBackwardArguments;

#endif
