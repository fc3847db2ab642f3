/* Ops with a state: if a second call continues from it at any token, the outputs and gradients are those of one call.
 * The state is also correct after very many tokens. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ops/op_run.h"

extern const OpTest chunk_delta_test, chunk_dplr_test, chunk_gla_test, chunk_gla_values_test, chunk_kda_test,
    chunk_simple_gla_test, complex_scan_test, diagonal_scan_test, gru_test, lstm_test, running_softmax_test,
    selective_scan_test;

enum {
    OUTPUT
}; /* all these ops have the output first, the final state as last output, and the initial state as last input */

#define GATE(columns, lowest)                                                                                          \
    { .name = "g", .cols = columns, .fp32 = true, .low = lowest, .high = 0 }
#define STATE(state_rows, columns)                                                                                     \
    { .name = "initial", .rows = state_rows, .cols = columns, .fp32 = true }
/* Two heads of 16 key and 32 value columns; keys of about the length 1 for the delta rule. */
#define QKV(steps)                                                                                                     \
    {.name = "q", .cols = 32}, {.name = "k", .cols = 32 * (steps), .contiguous = true, .low = -0.4, .high = 0.4}, {    \
        .name = "v", .cols = 64 * (steps), .contiguous = true                                                          \
    }
#define KEYS(key)                                                                                                      \
    { .name = key, .cols = 32, .contiguous = true, .low = -0.2, .high = 0.2 }
#define CHANNELS(lowest, highest)                                                                                      \
    {.name = "q", .cols = 24}, {.name = "k", .cols = 24}, {.name = "v", .cols = 24}, {                                 \
        .name = "a", .cols = 48, .low = lowest, .high = highest                                                        \
    }
#define CELL(gates, columns)                                                                                           \
    {.name = "x", .cols = (gates) * (columns)},                                                                        \
        {.name = "hidden", .rows = (gates) * (columns), .cols = columns, .parameter = true, .low = -0.4, .high = 0.4}, \
    {                                                                                                                  \
        .name = "bias", .rows = 1, .cols = (gates) * (columns), .parameter = true                                      \
    }
#define BETA(steps)                                                                                                    \
    { .name = "beta", .cols = 2 * (steps), .contiguous = true, .fp32 = true, .low = 1e-3, .high = 1 }

static const struct {
    const OpTest *test;
    OpCase c;
} carried[] = {
    {&chunk_gla_test,
     {.name = "state", .B = 1, .integer = {2, 2, 1}, .input = {QKV(1), GATE(32, -0.1), STATE(32, 32)}}},
    {&chunk_simple_gla_test,
     {.name = "state",
      .B = 1,
      .integer = {2, 16, 32, 1, 1},
      .real = {0.25},
      .input = {QKV(1), GATE(2, -0.1), STATE(32, 32)}}},
    {&chunk_delta_test,
     {.name = "state",
      .B = 1,
      .integer = {2, 2, 1, true, true, true},
      .input = {QKV(1), BETA(1), GATE(2, -0.1), STATE(32, 32)}}},
    {&chunk_delta_test,
     {.name = "state, three steps",
      .B = 1,
      .integer = {2, 2, 3, true, true, true},
      .input = {QKV(3), BETA(3), GATE(2, -0.1), STATE(32, 32)}}},
    {&chunk_gla_values_test,
     {.name = "state", .B = 1, .integer = {2, 2, 1}, .input = {QKV(1), GATE(64, -0.1), STATE(64, 16)}}},
    {&chunk_dplr_test,
     {.name = "state",
      .B = 1,
      .integer = {2, 1},
      .input = {QKV(1), GATE(32, -0.1), KEYS("a"), KEYS("b"), STATE(32, 32)}}},
    {&chunk_kda_test,
     {.name = "state", .B = 1, .integer = {2, 1}, .input = {QKV(1), GATE(32, -0.1), BETA(1), STATE(32, 32)}}},
    {&selective_scan_test,
     {.name = "state",
      .B = 1,
      .integer = {1},
      .input = {{.name = "x", .cols = 24},
                {.name = "dt", .cols = 24, .low = -4, .high = -1},
                {.name = "B", .cols = 16},
                {.name = "C", .cols = 16},
                {.name = "A_log", .rows = 24, .cols = 16, .parameter = true, .low = -3, .high = 0},
                {.name = "dt_bias", .rows = 1, .cols = 24, .parameter = true},
                STATE(24, 16)}}},
    {&running_softmax_test,
     {.name = "state", .B = 1, .integer = {1}, .input = {{.name = "s", .cols = 24}, STATE(1, 24)}}},
    {&complex_scan_test, {.name = "state", .B = 1, .integer = {1}, .input = {CHANNELS(-3, 4), STATE(1, 48)}}},
    {&complex_scan_test,
     {.name = "gates near 0 and 1", .B = 1, .integer = {1}, .input = {CHANNELS(-20, 15), STATE(1, 48)}}},
    {&complex_scan_test,
     {.name = "cartesian state", .B = 1, .integer = {1, 1}, .input = {CHANNELS(-3, 4), STATE(1, 48)}}},
    {&lstm_test, {.name = "state", .B = 1, .integer = {1}, .input = {CELL(4, 12), STATE(1, 24)}}},
    {&gru_test, {.name = "state", .B = 1, .integer = {1}, .input = {CELL(3, 12), STATE(1, 12)}}},
    {&diagonal_scan_test,
     {.name = "state", .B = 1, .integer = {1}, .input = {{.name = "x", .cols = 24}, GATE(24, -0.1), STATE(1, 24)}}},
};
enum { CARRIED = sizeof carried / sizeof *carried };

static OpResult run(const OpProblem *problem) {
    const OpBackend backend = {"cpu f32", device_cpu(), F32};
    return op_run(problem, &backend, (OpOptions){.threads = 2});
}

/* RMS of the difference over RMS of the expected, of `count` numbers. */
static double relative_error(const double *given, const double *expected, int64_t count) {
    double error = 0, sum = 0;
    for (int64_t i = 0; i < count; i++) {
        error += (given[i] - expected[i]) * (given[i] - expected[i]);
        sum += expected[i] * expected[i];
    }
    return sqrt(error / sum);
}

static void expect_near(const OpProblem *problem, const char *what, int64_t split, const Matrix *given,
                        const Matrix *expected, int64_t first_row) {
    const double error =
        relative_error(given->value, expected->value + first_row * expected->cols, given->rows * given->cols);
    if (!(error < 1e-5))
        fail_msg("%s, case %s, split at %d: error of %s is %.3g", problem->test->name, problem->c->name, (int)split,
                 what, error);
}

/* The gradient of a parameter is the sum of those of both parts. */
static void expect_sum(const OpProblem *problem, int64_t split, int input, OpResult *start, const OpResult *end,
                       const OpResult *whole) {
    const Matrix sum = start->in_gradient[input];
    for (int64_t i = 0; i < sum.rows * sum.cols; i++) sum.value[i] += end->in_gradient[input].value[i];
    expect_near(problem, problem->c->input[input].name, split, &sum, &whole->in_gradient[input], 0);
}

/* The whole against its first `split` tokens and the rest: the state goes forward, its gradient comes back. */
static void check_split(const OpProblem *problem, const OpResult *whole, int64_t split) {
    const int64_t T = problem->batch.T;
    const int initial = problem->inputs - 1, final = problem->outputs - 1;
    OpProblem first = op_problem_document(problem, 0, split), rest = op_problem_document(problem, split, T - split);
    const size_t bytes = (size_t)(first.in[initial].rows * first.in[initial].cols) * sizeof(double);
    OpResult start = run(&first);
    memcpy(rest.in[initial].value, start.out[final].value, bytes);
    OpResult end = run(&rest);
    op_result_destroy(&start);
    memcpy(first.out_gradient[final].value, end.in_gradient[initial].value, bytes);
    start = run(&first);

    expect_near(problem, "the first outputs", split, &start.out[OUTPUT], &whole->out[OUTPUT], 0);
    expect_near(problem, "the other outputs", split, &end.out[OUTPUT], &whole->out[OUTPUT], split);
    expect_near(problem, "the final state", split, &end.out[final], &whole->out[final], 0);
    for (int i = 0; i < initial; i++) {
        if (problem->c->input[i].parameter) {
            expect_sum(problem, split, i, &start, &end, whole);
            continue;
        }
        expect_near(problem, problem->c->input[i].name, split, &start.in_gradient[i], &whole->in_gradient[i], 0);
        expect_near(problem, problem->c->input[i].name, split, &end.in_gradient[i], &whole->in_gradient[i], split);
    }
    expect_near(problem, "the gradient of the initial state", split, &start.in_gradient[initial],
                &whole->in_gradient[initial], 0);
    op_result_destroy(&start);
    op_result_destroy(&end);
    op_problem_destroy(&first);
    op_problem_destroy(&rest);
}

static void state_carries_on(void **state) {
    (void)state;
    enum { T = 200 };
    const int64_t splits[] = {1, 15, 63, 64, 65, 128, 199};
    for (int i = 0; i < CARRIED; i++) {
        OpProblem problem = op_problem_create(carried[i].test, &carried[i].c, T, F32);
        OpResult whole = run(&problem);
        for (size_t s = 0; s < sizeof splits / sizeof *splits; s++) check_split(&problem, &whole, splits[s]);
        op_result_destroy(&whole);
        op_problem_destroy(&problem);
    }
}

static void long_sequences_stay_right(void **state) {
    (void)state;
    enum { T = 65536, LAST = 1000 };
    for (int i = 0; i < CARRIED; i++) {
        OpProblem problem = op_problem_create(carried[i].test, &carried[i].c, T, F32);
        OpResult result = run(&problem);
        double *in[OP_TEST_INPUTS] = {0}, *out[OP_TEST_OUTPUTS] = {0};
        Matrix expected[OP_TEST_OUTPUTS];
        const int final = problem.outputs - 1;
        for (int n = 0; n < problem.inputs; n++) in[n] = problem.in[n].value;
        for (int n = 0; n <= final; n++) {
            expected[n] = matrix_create(result.out[n].rows, result.out[n].cols);
            out[n] = expected[n].value;
        }
        problem.test->naive(problem.c, &problem.batch, in, out);
        expect_near(&problem, "the final state", T, &result.out[final], &expected[final], 0);
        const Matrix last = {LAST, result.out[OUTPUT].cols,
                             result.out[OUTPUT].value + (T - LAST) * result.out[OUTPUT].cols};
        expect_near(&problem, "the last outputs", T, &last, &expected[OUTPUT], T - LAST);
        for (int n = 0; n <= final; n++) matrix_destroy(&expected[n]);
        op_result_destroy(&result);
        op_problem_destroy(&problem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(state_carries_on), cmocka_unit_test(long_sequences_stay_right)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
