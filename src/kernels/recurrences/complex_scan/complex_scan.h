/* Arguments of the complex_scan kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_COMPLEX_SCAN_COMPLEX_SCAN_H
#define FLAME_KERNELS_RECURRENCES_COMPLEX_SCAN_COMPLEX_SCAN_H

#include <stdbool.h>
#include <stdint.h>

/* A program has COMPLEX_SCAN_COLS columns and goes over time in chunks of COMPLEX_SCAN_ROWS rows. The state before each
 * chunk is kept. */
enum { COMPLEX_SCAN_COLS = 128, COMPLEX_SCAN_ROWS = 16 };

/* For every column c, with complex states S and decays alpha, which are functions of a_0 and a_1, columns 2c and 2c + 1
 * of `a`:
 *
 *   S_t = alpha_t S_{t-1} + k_t v_t           0 before the first token of a document; before the first row of the
 *   o_t = q_t Re S_t                          sequence it is `initial`
 *
 *   polar       alpha = sigmoid(a_0) e^(i a_1)
 *   cartesian   alpha = sigmoid(|c|) c / |c|, c = a_0 + i a_1
 *
 * Backward, from the last row on. Gradients are complex too: the derivative by the real part plus i times that by the
 * imaginary part.
 *
 *   G_t = q_t do_t + conj(alpha_{t+1}) G_{t+1}
 *   dq = do Re S, dk = v Re G, dv = k Re G, dlog alpha = conj(alpha S_{t-1}) G
 *
 * If sequences and columns are too few to fill a GPU, a sequence is cut into `parts` parts of part_chunks chunks. First
 * each part is walked from a state of 0. The resulting state and the product of alpha then give the state before each
 * part. A matrix of complex numbers has the real parts in its first `cols` columns. Strides in elements; a gradient has
 * the stride of its tensor. */
typedef struct ComplexScanArguments {
    const void *q, *k, *v, *a; /* a [rows, 2 cols] */
    const float *initial;      /* [B, 2 cols], may be NULL */
    const int32_t *segment;
    void *o;
    float *final;      /* [B, 2 cols], may be NULL */
    float *state;      /* [B, chunks, 2 cols]: the state before each chunk */
    float *part_decay; /* [B, parts, 2 cols]: the product of alpha */
    float *part_state; /* [B, parts, 2 cols]: the state after a part from 0; backward: the gradient before it */

    const void *do_;
    const float *dfinal; /* may be NULL */
    void *dq, *dk, *dv, *da;
    float *dinitial; /* may be NULL */

    bool cartesian;
    float gradient_factor; /* factor of da */
    int64_t T, cols, chunks, parts, part_chunks;
    int64_t q_stride, k_stride, v_stride, a_stride, o_stride, initial_stride;
} ComplexScanArguments;

#endif
