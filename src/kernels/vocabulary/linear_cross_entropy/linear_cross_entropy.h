/* Arguments of the cross_entropy kernels, shared by host and device. */
#ifndef FLAME_KERNELS_VOCABULARY_LINEAR_CROSS_ENTROPY_LINEAR_CROSS_ENTROPY_H
#define FLAME_KERNELS_VOCABULARY_LINEAR_CROSS_ENTROPY_LINEAR_CROSS_ENTROPY_H

#include <stdint.h>

/* One program per row x of the logits [rows, cols], fp32, which it may overwrite. With z = log sum_i e^x_i and s =
 * smoothing, losses[row] = z - (1 - s) x_label - s mean(x) + z_loss z^2, and gradient[row, i] = (1 + 2 z_loss z)
 * softmax(x)_i - (1 - s) (i == label) - s / cols in the element type, both 0 where the label is negative.
 * gradient may be NULL, and in fp32 it may be the logits' memory. Rows of both are `stride` entries apart. The gradient
 * of the largest logit also gets `pull` times that logit. With a cap > 0 the logits are cap tanh(x / cap), and the
 * gradient is that of x. margins[row] = x_label - max_i x_i, or 0 where the label is negative; margins may be NULL.
 *
 * cross_entropy_taught also reads a teacher's logits y [rows, cols], which it may overwrite too, and sets
 * divergences[row] = sum_i p_i (log p_i - log softmax(x)_i) with p = softmax(y), or 0 where the label is negative. The
 * gradient is then (1 - share) times the one above plus share (softmax(x) - p). */
typedef struct CrossEntropyArguments {
    float *logits;
    const int32_t *labels;
    float *losses, *margins;
    void *gradient;
    const void *bias; /* [cols], added to the logits; may be NULL */
    int64_t rows, cols, stride;
    float pull, cap, smoothing, z_loss;
    float *teacher, *divergences; /* from here on: for cross_entropy_taught only */
    const void *teacher_bias;
    float teacher_cap, share;
} CrossEntropyArguments;

#endif
