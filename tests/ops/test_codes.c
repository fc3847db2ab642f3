/* nearest_codes: keys get their codes' gradients straight through, and the codebook's gradients are the sums and
 * numbers of the keys with each code; of codes at the same distance the first is taken, and a code without
 * keys has the count 0. Sequences of padding have no keys. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/labels.h"
#include "core/device.h"
#include "ops/op_run.h"

extern const OpTest nearest_codes_test;

enum { KEYS, C_SUM, C_COUNT };
enum { QUANTISED, ERROR };
enum {
    HEADS = 2,
    SIZE = 16,
    CODES = 70,
    T = 200,
    B = 2,
    PADDED = 1,
    SAME = 40 /* a code that equals code SAME - 30 */
};

static const OpBackend *backends(int i) {
    static OpBackend all[3];
    all[0] = (OpBackend){"cpu f32", device_cpu(), F32};
    all[1] = (OpBackend){"cpu bf16", device_cpu(), BF16};
    all[2] = (OpBackend){"emulator bf16", device_emulator(), BF16};
    return &all[i];
}

static OpProblem problem_for(DType type) {
    static const OpCase c = {
        .name = "statistics",
        .B = B,
        .T = T,
        .packed = true,
        .integer = {HEADS},
        .input = {{.name = "k", .cols = HEADS * SIZE},
                  {.name = "c_sum", .rows = HEADS, .cols = CODES * SIZE, .parameter = true},
                  {.name = "c_count", .rows = HEADS, .cols = CODES, .parameter = true, .low = 1, .high = 1.0001}}};
    OpProblem problem = op_problem_create(&nearest_codes_test, &c, T, type);
    double *sum = problem.in[C_SUM].value;
    for (int i = 0; i < HEADS * CODES; i++) problem.in[C_COUNT].value[i] = 1;
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < SIZE; i++) sum[(h * CODES + SAME) * SIZE + i] = sum[(h * CODES + SAME - 30) * SIZE + i];
        for (int i = 0; i < SIZE; i++) sum[(h * CODES + 1) * SIZE + i] = 100; /* far from all keys */
    }
    int32_t *labels = (int32_t *)problem.batch.labels;
    for (int t = 0; t < T; t++) labels[PADDED * T + t] = PADDING_LABEL;
    return problem;
}

/* The first code of the head at the least distance. */
static int code_of(const OpProblem *problem, int64_t n, int head) {
    const double *k = problem->in[KEYS].value + (n * HEADS + head) * SIZE;
    double least = INFINITY;
    int code = -1;
    for (int s = 0; s < CODES; s++) {
        double distance = 0;
        for (int i = 0; i < SIZE; i++)
            distance += pow(k[i] - problem->in[C_SUM].value[(head * CODES + s) * SIZE + i], 2);
        if (distance < least) least = distance, code = s;
    }
    return code;
}

static void expect_close(double given, double expected, double tolerance) {
    if (!(fabs(given - expected) <= tolerance * (1 + fabs(expected)))) fail_msg("%.9g, not %.9g", given, expected);
}

static void statistics_are_sums(void **state) {
    (void)state;
    for (int b = 0; b < 3; b++) {
        OpProblem problem = problem_for(backends(b)->type);
        OpResult result = op_run(&problem, backends(b), (OpOptions){.threads = 2, .parameter_gradient = 0.5});
        static double sums[HEADS * CODES * SIZE], counts[HEADS * CODES];
        for (int i = 0; i < HEADS * CODES * SIZE; i++) sums[i] = 0.5;
        for (int i = 0; i < HEADS * CODES; i++) counts[i] = 0.5;
        for (int64_t n = 0; n < B * T; n++)
            for (int h = 0; h < HEADS && n / T != PADDED; h++) {
                const int code = h * CODES + code_of(&problem, n, h);
                counts[code]++;
                for (int i = 0; i < SIZE; i++)
                    sums[code * SIZE + i] += problem.in[KEYS].value[(n * HEADS + h) * SIZE + i];
            }
        assert_true(counts[1] == 0.5 && counts[SAME] == 0.5 && counts[SAME - 30] > 1);
        for (int i = 0; i < HEADS * CODES; i++) expect_close(result.in_gradient[C_COUNT].value[i], counts[i], 0);
        for (int i = 0; i < HEADS * CODES * SIZE; i++) expect_close(result.in_gradient[C_SUM].value[i], sums[i], 1e-5);
        op_result_destroy(&result);
        op_problem_destroy(&problem);
    }
}

static void gradients_go_straight_through(void **state) {
    (void)state;
    for (int b = 0; b < 3; b++) {
        OpProblem problem = problem_for(backends(b)->type);
        OpResult result = op_run(&problem, backends(b), (OpOptions){.threads = 2});
        for (int64_t i = 0; i < B * T * HEADS * SIZE; i++) {
            const double off = problem.in[KEYS].value[i] - result.out[QUANTISED].value[i];
            expect_close(result.in_gradient[KEYS].value[i],
                         problem.out_gradient[QUANTISED].value[i] +
                             2 * problem.out_gradient[ERROR].value[i / SIZE] * off,
                         backends(b)->type == F32 ? 1e-5 : 5e-3);
        }
        op_result_destroy(&result);
        op_problem_destroy(&problem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(statistics_are_sums),
                                       cmocka_unit_test(gradients_go_straight_through)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
