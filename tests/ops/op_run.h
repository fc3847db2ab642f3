/* Runs one case of an op test on one backend, forward and backward, in poisoned memory. */
#ifndef FLAME_TESTS_OPS_OP_RUN_H
#define FLAME_TESTS_OPS_OP_RUN_H

#include "ops/op_test.h"

typedef struct OpBackend {
    const char *name;
    const Device *device;
    DType type;
} OpBackend;

/* Matrices [rows, cols] of doubles, contiguous. */
typedef struct Matrix {
    int64_t rows, cols;
    double *value;
} Matrix;

/* A case with its sizes and its random inputs. */
typedef struct OpProblem {
    const OpTest *test;
    const OpCase *c;
    DType type; /* what inputs and output gradients are rounded to */
    Batch batch;
    int inputs, outputs;
    Matrix in[OP_TEST_INPUTS];
    Matrix out_gradient[OP_TEST_OUTPUTS]; /* coefficients of the linear functional */
} OpProblem;

typedef struct OpOptions {
    bool wide;         /* inputs are columns of wider matrices */
    bool frozen;       /* parameters have no gradient */
    bool recompute;    /* outputs are dropped after forward and made again before backward */
    bool guard_starts; /* arrays on the emulator begin at a guard page: see emulator_memory.h */
    int threads;
    double parameter_gradient; /* value of the parameters' gradients before the backward */
    Carried *carried;          /* not NULL: forward only, continuing from the state of earlier calls */
} OpOptions;

typedef struct OpResult {
    Matrix out[OP_TEST_OUTPUTS];
    Matrix in_gradient[OP_TEST_INPUTS]; /* value NULL: none */
    int64_t keep_peak, scratch_peak;    /* bytes */
    const char *trespass;               /* the input beside whose columns memory was overwritten, or NULL */
} OpResult;

Matrix matrix_create(int64_t rows, int64_t cols);
void matrix_destroy(Matrix *matrix);

/* The case with T tokens per sequence, values rounded to `type`. Owns its memory. */
OpProblem op_problem_create(const OpTest *test, const OpCase *c, int64_t T, DType type);
/* Rows [first, first + T) of the problem as a batch of one document. Inputs without a row per token stay whole. */
OpProblem op_problem_document(const OpProblem *problem, int64_t first, int64_t T);
void op_problem_destroy(OpProblem *problem);

OpResult op_run(const OpProblem *problem, const OpBackend *backend, OpOptions options);
/* Runs the case on the counting device. Only keep_peak and scratch_peak of the result are set. */
OpResult op_run_counting(const OpProblem *problem, DType type, OpOptions options, bool gpu);
void op_result_destroy(OpResult *result);

#endif
