#include "ops/op_identity.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void fill_matrix(Matrix *matrix, double value) {
    for (int64_t i = 0; i < matrix->rows * matrix->cols; i++) matrix->value[i] = value;
}

double matrix_error(const Matrix *given, const Matrix *expected) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < expected->rows * expected->cols; i++) {
        difference += pow(given->value[i] - expected->value[i], 2);
        size += pow(expected->value[i], 2);
    }
    return difference == 0 ? 0 : sqrt(difference / size);
}

OpBackend op_backend(int number) {
    const OpBackend all[ALL] = {
        {"cpu f32", device_cpu(), F32}, {"cpu bf16", device_cpu(), BF16}, {"emulator bf16", device_emulator(), BF16}};
    return all[number];
}

static Form *running;
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = running(tape, in);
}
static const OpTest of_form = {.name = "form", .build = build};

OpProblem form_problem(Form *form, const OpCase *c, int64_t T, DType type) {
    running = form;
    return op_problem_create(&of_form, c, T, type);
}

OpResult form_run(Form *form, const OpProblem *problem, const OpBackend *backend) {
    running = form;
    return op_run(problem, backend, (OpOptions){.threads = 2});
}

static void expect_near(const Identity *identity, const OpBackend *backend, const char *part, const Matrix *given,
                        const Matrix *expected) {
    const double error = matrix_error(given, expected);
    if (!(error <= identity->bound))
        fail_msg("%s, %s: error of %s is %.3g", identity->what, backend->name, part, error);
}

static void expect_identity(const Identity *identity, const OpBackend *backend, int64_t T) {
    OpProblem problem = form_problem(identity->other, identity->c, T, backend->type);
    if (identity->prepare) identity->prepare(&problem);
    OpResult given = form_run(identity->one, &problem, backend),
             expected = form_run(identity->other, &problem, backend);
    expect_near(identity, backend, "the output", &given.out[0], &expected.out[0]);
    for (int i = 0; i < problem.inputs; i++) {
        const bool read_by_both = given.in_gradient[i].value && expected.in_gradient[i].value;
        if (read_by_both && !problem.c->input[i].parameter) /* a parameter has a gradient even if nobody reads it */
            expect_near(identity, backend, problem.c->input[i].name, &given.in_gradient[i], &expected.in_gradient[i]);
    }
    op_result_destroy(&given);
    op_result_destroy(&expected);
    op_problem_destroy(&problem);
}

void expect_identities(const Identity *identities, int count, int64_t T) {
    for (int i = 0; i < count; i++)
        for (int b = 0; b < identities[i].backends; b++) {
            const OpBackend backend = op_backend(b);
            expect_identity(&identities[i], &backend, T);
        }
}
