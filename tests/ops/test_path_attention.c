/* Without reflections path_attention is attention without positions: where beta is 0, or where w is. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "ops/op_run.h"

enum { HEADS = 2, D = 32, COLS = HEADS * D, T = 200 };
enum { Q, KEY, VALUE, Q_AGAIN, KEY_AGAIN, VALUE_AGAIN, W, BETA };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    const AttentionShape shape = {HEADS, HEADS, 0};
    out[0] = attention(tape, in[Q], in[KEY], in[VALUE], shape);
    out[1] = path_attention(tape, in[Q_AGAIN], in[KEY_AGAIN], in[VALUE_AGAIN], in[W], in[BETA], NULL, shape);
}

static const OpTest both = {.name = "both", .build = build};
static const OpCase inputs = {.name = "both",
                              .B = 2,
                              .T = T,
                              .packed = true,
                              .input = {{.name = "q", .cols = COLS},
                                        {.name = "k", .cols = COLS},
                                        {.name = "v", .cols = COLS},
                                        {.name = "q again", .cols = COLS},
                                        {.name = "k again", .cols = COLS},
                                        {.name = "v again", .cols = COLS},
                                        {.name = "w", .cols = COLS, .low = -0.306, .high = 0.306},
                                        {.name = "beta", .cols = HEADS, .fp32 = true, .low = 1e-3, .high = 2}}};

static void copy(Matrix *to, const Matrix *from) {
    memcpy(to->value, from->value, (size_t)(from->rows * from->cols) * sizeof(double));
}

/* Every entry to 1e-6, or 1e-6 of itself. */
static void expect_same(const Matrix *given, const Matrix *expected) {
    for (int64_t i = 0; i < expected->rows * expected->cols; i++) {
        const double size = fmax(fabs(expected->value[i]), 1);
        assert_true(fabs(given->value[i] - expected->value[i]) <= 1e-6 * size);
    }
}

static void expect_attention_without(int input) {
    OpProblem problem = op_problem_create(&both, &inputs, T, F32);
    Matrix *in = problem.in;
    for (int i = Q; i <= VALUE; i++) copy(&in[Q_AGAIN + i], &in[i]);
    copy(&problem.out_gradient[1], &problem.out_gradient[0]);
    memset(in[input].value, 0, (size_t)(in[input].rows * in[input].cols) * sizeof(double));
    const OpBackend backend = {"cpu f32", device_cpu(), F32};
    OpResult result = op_run(&problem, &backend, (OpOptions){.threads = 1});
    expect_same(&result.out[1], &result.out[0]);
    for (int i = Q; i <= VALUE; i++) expect_same(&result.in_gradient[Q_AGAIN + i], &result.in_gradient[i]);
    op_result_destroy(&result);
    op_problem_destroy(&problem);
}

static void test_no_beta(void **state) {
    (void)state;
    expect_attention_without(BETA);
}

static void test_no_direction(void **state) {
    (void)state;
    expect_attention_without(W);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_beta), cmocka_unit_test(test_no_direction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
