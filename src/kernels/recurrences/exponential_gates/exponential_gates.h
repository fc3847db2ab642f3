/* Arguments of the exponential_gates kernels, shared by host and device. Strides in elements; a gradient has the stride
 * of its tensor. */
#ifndef FLAME_KERNELS_RECURRENCES_EXPONENTIAL_GATES_EXPONENTIAL_GATES_H
#define FLAME_KERNELS_RECURRENCES_EXPONENTIAL_GATES_EXPONENTIAL_GATES_H

#include <stdint.h>

enum { EXPONENTIAL_GATES_ROWS = 64, EXPONENTIAL_GATES_HEADS = 32 }; /* rows and heads of a program */

/* For every head, with c(x) = cap tanh(x / cap), or x if cap is 0:
 *
 *   i_t = c(input + input_bias), f_t = log sigmoid(c(forget + forget_bias))
 *   m_t = max(f_t + m_{t-1}, i_t)                     m = 0 before the first token of a document
 *   log_decay_t = f_t + m_{t-1} - m_t, log_scale_t = i_t - m_t
 *
 * A chunk of rows turns the m before it into max(sum + m, largest). */
typedef struct ExponentialGatesArguments {
    const void *input, *forget;           /* [N, heads] */
    const void *input_bias, *forget_bias; /* [heads] */
    const int32_t *segment;
    const float *initial; /* [B, heads], m before the first token, or NULL for 0 */
    float *final;         /* [B, heads], m after the last; may be NULL */
    float *sum, *largest; /* [B, chunks, heads]; later `largest` becomes the m before the chunk */
    float *log_decay, *log_scale, *m;
    int64_t T, chunks, heads, input_stride, forget_stride, stride;
    float cap;
} ExponentialGatesArguments;

/* m is treated as a constant. input' = log_scale' c'(input + bias), forget' = log_decay' sigmoid(-c(..)) c'(..), and
 * the gradients of the biases are the sums of these over rows. */
typedef struct ExponentialGatesBackwardArguments {
    const void *input, *forget, *input_bias, *forget_bias;
    const float *dlog_decay, *dlog_scale;
    void *dinput, *dforget;
    float *partial; /* [programs, 2, heads]: parts of the biases' gradients */
    int64_t rows, heads, rows_per_program, input_stride, forget_stride, stride;
    float cap;
} ExponentialGatesBackwardArguments;

#endif
