/* Two computations that are the same where their inputs are prepared so: tables of them, for tests. */
#ifndef FLAME_TESTS_OPS_OP_IDENTITY_H
#define FLAME_TESTS_OPS_OP_IDENTITY_H

#include "ops/op_run.h"

/* Takes those inputs of the case that it has. */
typedef Tensor *Form(Tape *tape, Tensor *const in[]);

/* So many of the backends cpu f32, cpu bf16, emulator bf16. */
enum { CPU_F32 = 1, CPU, ALL };

typedef struct Identity {
    const char *what;
    Form *one, *other;
    const OpCase *c;
    void (*prepare)(OpProblem *problem); /* of the inputs as they were drawn; NULL: nothing */
    int backends;
    double bound; /* of matrix_error, for the output and for the gradients of all activations that both read; 0: the
                     same bits */
} Identity;

/* With T tokens per sequence. Fails the test that is running. */
void expect_identities(const Identity *identities, int count, int64_t T);

void fill_matrix(Matrix *matrix, double value);
/* RMS(given - expected) / RMS(expected). */
double matrix_error(const Matrix *given, const Matrix *expected);

OpBackend op_backend(int number);
/* The case for a form and with its sizes, and what a form makes of it. */
OpProblem form_problem(Form *form, const OpCase *c, int64_t T, DType type);
OpResult form_run(Form *form, const OpProblem *problem, const OpBackend *backend);

#endif
