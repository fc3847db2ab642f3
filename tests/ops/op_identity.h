/* Tables of pairs of computations that give the same results for suitably prepared inputs, for tests. */
#ifndef FLAME_TESTS_OPS_OP_IDENTITY_H
#define FLAME_TESTS_OPS_OP_IDENTITY_H

#include "ops/op_run.h"

/* A computation with the inputs of the case; it may use only some of them. */
typedef Tensor *Form(Tape *tape, Tensor *const in[]);

/* How many of the backends cpu f32, cpu bf16, emulator bf16, in this order, a row is run on. */
enum { CPU_F32 = 1, CPU, ALL };

typedef struct Identity {
    const char *what;
    Form *one, *other;
    const OpCase *c;
    void (*prepare)(OpProblem *problem); /* changes the drawn inputs; NULL: nothing */
    int backends;
    double bound; /* of matrix_error, for the output and for the gradients of all activations that both use; 0: the
                     same bits */
} Identity;

/* Compares with T tokens per sequence. Fails the running test if they differ. */
void expect_identities(const Identity *identities, int count, int64_t T);

void fill_matrix(Matrix *matrix, double value);
/* RMS(given - expected) / RMS(expected). */
double matrix_error(const Matrix *given, const Matrix *expected);

OpBackend op_backend(int number);
/* The case for a form and with its sizes, and what a form makes of it. */
OpProblem form_problem(Form *form, const OpCase *c, int64_t T, DType type);
OpResult form_run(Form *form, const OpProblem *problem, const OpBackend *backend);

#endif
