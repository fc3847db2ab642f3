/* Arguments of the running_softmax kernels, shared by host and device. Strides in elements; a gradient has the stride
 * of its tensor. */
#ifndef FLAME_KERNELS_RECURRENCES_RUNNING_SOFTMAX_RUNNING_SOFTMAX_H
#define FLAME_KERNELS_RECURRENCES_RUNNING_SOFTMAX_RUNNING_SOFTMAX_H

#include <stdbool.h>
#include <stdint.h>

enum { RUNNING_SOFTMAX_ROWS = 64, RUNNING_SOFTMAX_COLS = 128 }; /* rows of a chunk, columns of a program */
/* An initial z below RUNNING_SOFTMAX_NOTHING stands for no tokens. It may be -1.7e38, whose bytes are all
 * RUNNING_SOFTMAX_NO_BYTES. */
#define RUNNING_SOFTMAX_NOTHING (-1e30f)
enum { RUNNING_SOFTMAX_NO_BYTES = 0xfe };

/* For every column, with z_t = log sum of e^s_j over the document's tokens j <= t, and before the sequence's first
 * token z = `initial`: weight_t = e^(s_t - z_t), g_t = z_{t-1} - z_t. At a document's first token weight = 1 and g = 0.
 */
typedef struct RunningSoftmaxArguments {
    const void *s;
    const float *initial; /* [B, cols], may be NULL */
    const int32_t *segment;
    float *largest, *sum; /* [B, chunks, cols]: largest + log sum is z of the chunk alone, later z before the chunk */
    void *weight;
    float *g;
    float *final; /* [B, cols], z after the last token; may be NULL */
    int64_t T, chunks, cols, s_stride, weight_stride, g_stride, initial_stride;
} RunningSoftmaxArguments;

/* With z' the gradient of z_t from the tokens after t, and x' that of x:
 *
 *   s'_t = weight_t (e^g_t weight'_t + z' - g'_t)
 *   z' of t - 1 = e^g_t z' + weight_t (g'_t - e^g_t weight'_t)
 *
 * These are the equations of Peng et al. 2021 (arXiv 2110.02488), with weight_t for 1 - e^g_t. At a document's first
 * token s'_t = z', and the token before gets nothing. */
typedef struct RunningSoftmaxBackwardArguments {
    const void *weight, *dweight;
    const float *g, *dg, *dfinal; /* dfinal [B, cols], may be NULL */
    const int32_t *segment;
    float *factor, *term; /* [B, chunks, cols]: a chunk turns z' into factor z' + term; later term is the z' it gets */
    void *ds;
    float *dinitial; /* [B, cols] */
    int64_t T, chunks, cols, s_stride, weight_stride, g_stride, initial_stride;
    bool has_initial;
} RunningSoftmaxBackwardArguments;

#endif
