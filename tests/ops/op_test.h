/* One op's test: cases and an fp64 definition, in src/kernels/<op>/naive.c as
 *
 *   const OpTest rms_norm_test = {.name = "rms_norm", .build = build, .naive = naive, .cases = {
 *       {.name = "residual", .B = 2, .input = {{.name = "x", .cols = 96}, {.name = "weight", .rows = 1, .cols = 96,
 *                                                                       .parameter = true}}},
 *   }};
 *
 * and one line OP_TEST(rms_norm) in tests/ops/op_tests.def. test_ops then runs op x case x backend (cpu f32, cpu bf16,
 * emulator bf16, cuda bf16 if there is a GPU), each in memory poisoned with NaN:
 *   forward     against the naive definition
 *   gradient    of a random linear functional of all outputs: against finite differences of the naive in fp32, against
 *               the fp32 gradient in bf16; parameters' gradients must add, activations' must be stored
 *   layout      inputs that are columns of wider matrices; parameters that are frozen
 *   memory      nothing but inputs, outputs and saved tensors survives from forward to backward; recomputed outputs
 *               give the same bits; the counting device asks for exactly the memory that is used
 *   threads     the same bits with 1 and 2 OpenMP threads
 *   documents   a packed batch against each document alone
 * `test_ops [op|all [backend]]` runs a part of it. */
#ifndef FLAME_TESTS_OPS_OP_TEST_H
#define FLAME_TESTS_OPS_OP_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tape.h"

enum { OP_TEST_CASES = 24, OP_TEST_INPUTS = 8, OP_TEST_OUTPUTS = 8, OP_TEST_NUMBERS = 8 };

/* An input of a case. The list of a case ends at the first input with cols = 0. */
typedef struct OpInput {
    const char *name;
    int64_t rows; /* 0: N = B*T, one row per token */
    int64_t cols;
    bool parameter;   /* lies in one flat buffer with the case's other parameters, one after another, no padding */
    bool fp32;        /* an activation that is fp32 on every backend (gates, states) */
    bool contiguous;  /* never columns of a wider matrix */
    double low, high; /* values are uniform in [low, high); both 0: normal with standard deviation 1 */
    bool either;      /* each value is low or high, at random */
    bool constant;    /* its gradient is not the derivative of the definition, so it is not compared with finite
                         differences */
} OpInput;

/* A bound of 0 is the default: relative RMS of the forward 1e-5 (f32) and 5e-3 (bf16), of the gradient 1e-4 and 8e-3.
 * A case with another bound has a comment that gives the reason. */
typedef struct OpCase {
    const char *name;
    int64_t B;
    int64_t T;          /* 0: the case is run with each of T = 1, 15, 63, 64, 65, 200 */
    int64_t vocabulary; /* tokens and labels lie in [0, vocabulary); 0: 16. About one label in eight is -100 */
    bool packed;        /* several documents per sequence */
    int64_t integer[OP_TEST_NUMBERS]; /* parameters of the case, for build and naive */
    double real[OP_TEST_NUMBERS];
    OpInput input[OP_TEST_INPUTS];
    double forward_f32, forward_bf16, gradient_f32, gradient_bf16;
} OpCase;

typedef struct OpTest {
    const char *name;
    /* The functional is the plain sum of the outputs (an op that ignores the gradient of its output), output i times
     * weight(c, i) if that is given. */
    bool plain_sum;
    double (*weight)(const OpCase *c, int output);
    /* Calls the op; out[0 ..] are the tensors it gave (at most OP_TEST_OUTPUTS), the rest stays NULL. */
    void (*build)(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]);
    /* The definition of the forward. B and T are the batch's (the case's T may be 0). in[i] and out[i] are contiguous
     * matrices [rows, cols]; out is written whole. Must be safe to call from several threads at once. */
    void (*naive)(const OpCase *c, const Batch *batch, double *const in[], double *const out[]);
    OpCase cases[OP_TEST_CASES]; /* ends at the first without a name */
} OpTest;

#endif
