/* Without a phase, complex_scan is diagonal_scan: a GateLoop whose states stay real is HGRN's recurrence. The pair
 * (0, 0), at which the phase has no derivative, gets a gradient of zero. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "ops/op_run.h"

enum { COLS = 33, T = 130 };
enum { X, GATE, ONES, DECAY, X_AGAIN, INITIAL, INITIAL_AGAIN };

static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    const ComplexTransition polar = {.gradient_factor = 1};
    out[0] = diagonal_scan(tape, in[X], in[GATE], in[INITIAL], &out[1]);
    Tensor *ones = add(tape, in[ONES], in[ONES]); /* 1/2 + 1/2, with a gradient for each use */
    out[2] = complex_scan(tape, ones, ones, in[X_AGAIN], in[DECAY], polar, in[INITIAL_AGAIN], &out[3]);
}

static const OpTest both = {.name = "both", .build = build};
static const OpCase inputs = {.name = "both",
                              .B = 2,
                              .T = T,
                              .packed = true,
                              .input = {{.name = "x", .cols = COLS},
                                        {.name = "g", .cols = COLS, .fp32 = true},
                                        {.name = "ones", .cols = COLS},
                                        {.name = "a", .cols = 2 * COLS, .low = -4, .high = 6},
                                        {.name = "x again", .cols = COLS},
                                        {.name = "initial", .rows = 2, .cols = COLS, .fp32 = true},
                                        {.name = "initial again", .rows = 2, .cols = 2 * COLS, .fp32 = true}}};

/* The left halves of rows [rows, 2 cols] and the rows [rows, cols]. */
static void expect_halves(const Matrix *wide, const Matrix *narrow, double bound) {
    for (int64_t i = 0; i < narrow->rows * narrow->cols; i++) {
        const double given = wide->value[i / narrow->cols * wide->cols + i % narrow->cols];
        assert_true(fabs(given - narrow->value[i]) <= bound * fmax(fabs(narrow->value[i]), 1));
    }
}

/* The gates of both recurrences are e^g, once `gates` has chosen m and g = log sigmoid(m) for each. */
static void expect_same(void (*gates)(double *m, double *g), double bound) {
    OpProblem problem = op_problem_create(&both, &inputs, T, F32);
    Matrix *in = problem.in;
    for (int64_t i = 0; i < in[X].rows * COLS; i++) {
        in[ONES].value[i] = 0.5;
        in[X_AGAIN].value[i] = in[X].value[i];
        in[DECAY].value[2 * i + 1] = 0;
        gates(&in[DECAY].value[2 * i], &in[GATE].value[i]);
        problem.out_gradient[2].value[i] = problem.out_gradient[0].value[i];
    }
    for (int64_t row = 0; row < 2; row++) {
        memcpy(&in[INITIAL_AGAIN].value[row * 2 * COLS], &in[INITIAL].value[row * COLS], COLS * sizeof(double));
        memset(&in[INITIAL_AGAIN].value[row * 2 * COLS + COLS], 0, COLS * sizeof(double));
        memcpy(&problem.out_gradient[3].value[row * 2 * COLS], &problem.out_gradient[1].value[row * COLS],
               COLS * sizeof(double));
    }
    const OpBackend backend = {"cpu f32", device_cpu(), F32};
    OpResult result = op_run(&problem, &backend, (OpOptions){.threads = 1});
    expect_halves(&result.out[2], &result.out[0], bound);
    expect_halves(&result.out[3], &result.out[1], bound);
    expect_halves(&result.in_gradient[X_AGAIN], &result.in_gradient[X], bound);
    expect_halves(&result.in_gradient[INITIAL_AGAIN], &result.in_gradient[INITIAL], bound);
    op_result_destroy(&result);
    op_problem_destroy(&problem);
}

static void any_gate(double *m, double *g) { *g = -log1p(exp(-*m)); }

/* e^g is 1, or 0 (which a sigmoid only nears, to 4e-39): the same bits. */
static void keep_or_forget(double *m, double *g) {
    const bool keep = *m > -2;
    *m = keep ? 200 : -200;
    *g = keep ? 0 : -200;
}

static void test_any_gates(void **state) {
    (void)state;
    expect_same(any_gate, 1e-5);
}

static void test_same_bits(void **state) {
    (void)state;
    expect_same(keep_or_forget, 1e-30);
}

static void build_cartesian(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    const ComplexTransition cartesian = {.cartesian = true, .gradient_factor = 1};
    out[0] = complex_scan(tape, in[0], in[1], in[2], in[3], cartesian, NULL, NULL);
}

static void test_zero_pair(void **state) {
    (void)state;
    static const OpTest test = {.name = "cartesian", .build = build_cartesian};
    static const OpCase c = {.name = "zero pairs",
                             .B = 1,
                             .T = T,
                             .input = {{.name = "q", .cols = COLS},
                                       {.name = "k", .cols = COLS},
                                       {.name = "v", .cols = COLS},
                                       {.name = "a", .cols = 2 * COLS}}};
    OpProblem problem = op_problem_create(&test, &c, T, F32);
    Matrix *const a = &problem.in[3];
    for (int64_t i = 0; i < a->rows * a->cols; i++)
        if (i / 2 % 3 == 0) a->value[i] = 0;
    const OpBackend backends[] = {{"cpu f32", device_cpu(), F32}, {"cpu bf16", device_cpu(), BF16}};
    for (int b = 0; b < 2; b++) {
        OpResult result = op_run(&problem, &backends[b], (OpOptions){.threads = 1});
        for (int64_t i = 0; i < a->rows * a->cols; i++) {
            const double gradient = result.in_gradient[3].value[i];
            assert_true(i / 2 % 3 == 0 ? gradient == 0 : fabs(gradient) < 1e4);
        }
        op_result_destroy(&result);
    }
    op_problem_destroy(&problem);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_gates), cmocka_unit_test(test_same_bits),
                                       cmocka_unit_test(test_zero_pair)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
