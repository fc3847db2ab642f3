/* Attention with forget gates: with open gates it is attention, bit for bit; and differences between sums of very many
 * log gates are as exact as between few. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/device.h"
#include "ops/op_run.h"

extern const OpTest attention_test, forgetting_attention_test;

enum { Q, K, V, G };

static void expect_same(const char *backend, const char *what, const Matrix *given, const Matrix *expected) {
    if (memcmp(given->value, expected->value, (size_t)(given->rows * given->cols) * sizeof(double)) != 0)
        fail_msg("%s: %s of open gates is not that of attention", backend, what);
}

static void open_gates_are_attention(void **state) {
    (void)state;
    static const OpCase with_gates = {.name = "open",
                                      .B = 2,
                                      .T = 200,
                                      .packed = true,
                                      .integer = {4, 2, 0},
                                      .input = {{.name = "q", .cols = 4 * 40},
                                                {.name = "k", .cols = 2 * 40},
                                                {.name = "v", .cols = 2 * 40},
                                                {.name = "g", .cols = 4, .fp32 = true}}};
    OpCase without = with_gates;
    without.input[G] = (OpInput){0};
    const OpBackend backends[] = {
        {"cpu f32", device_cpu(), F32}, {"cpu bf16", device_cpu(), BF16}, {"emulator bf16", device_emulator(), BF16}};
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        OpProblem open = op_problem_create(&forgetting_attention_test, &with_gates, 200, backends[i].type);
        memset(open.in[G].value, 0, (size_t)(open.in[G].rows * open.in[G].cols) * sizeof(double));
        OpProblem plain = open;
        plain.test = &attention_test;
        plain.c = &without;
        plain.inputs = G;
        OpResult given = op_run(&open, &backends[i], (OpOptions){.threads = 2});
        OpResult expected = op_run(&plain, &backends[i], (OpOptions){.threads = 2});
        expect_same(backends[i].name, "the output", &given.out[0], &expected.out[0]);
        for (int n = Q; n <= V; n++)
            expect_same(backends[i].name, with_gates.input[n].name, &given.in_gradient[n], &expected.in_gradient[n]);
        op_result_destroy(&given);
        op_result_destroy(&expected);
        op_problem_destroy(&open);
    }
}

/* The rows of a document against the document alone. Sums are reckoned from a block's first token on: an exponent is
 * off by the rounding of what 64 gates add up to, wherever the block is. */
static void expect_near(const char *what, double lowest, const Matrix *whole, const Matrix *alone, int64_t first) {
    double error = 0, sum = 0;
    for (int64_t i = 0; i < alone->rows * alone->cols; i++) {
        const double difference = whole->value[first * alone->cols + i] - alone->value[i];
        error += difference * difference;
        sum += alone->value[i] * alone->value[i];
    }
    if (!(sqrt(error / sum) < 2e-6 - 64 * lowest / (1 << 24)))
        fail_msg("gates from %g: error of %s is %.3g", lowest, what, sqrt(error / sum));
}

/* The last of many documents: the running sums before it are large, and nothing of them may be left in it. */
static void long_sums_stay_exact(void **state) {
    (void)state;
    enum { TOKENS = 65536, DOCUMENT = 97 };
    const double lowest[] = {-1e-3, -1, -40};
    int32_t *segment = malloc(TOKENS * sizeof *segment);
    for (int t = 0; t < TOKENS; t++) segment[t] = t / DOCUMENT;
    for (size_t i = 0; i < sizeof lowest / sizeof *lowest; i++) {
        const OpCase c = {.name = "long",
                          .B = 1,
                          .T = TOKENS,
                          .integer = {1, 1},
                          .input = {{.name = "q", .cols = 16},
                                    {.name = "k", .cols = 16},
                                    {.name = "v", .cols = 16},
                                    {.name = "g", .cols = 1, .fp32 = true, .low = lowest[i], .high = 0}}};
        const OpBackend backend = {"cpu f32", device_cpu(), F32};
        OpProblem problem = op_problem_create(&forgetting_attention_test, &c, TOKENS, F32);
        const int64_t first = TOKENS / DOCUMENT * DOCUMENT;
        OpProblem document = op_problem_document(&problem, first, TOKENS - first);
        const int32_t *one_document = problem.batch.segment;
        problem.batch.segment = segment;
        OpResult whole = op_run(&problem, &backend, (OpOptions){.threads = 2});
        OpResult alone = op_run(&document, &backend, (OpOptions){.threads = 2});
        problem.batch.segment = one_document;
        expect_near("the output", lowest[i], &whole.out[0], &alone.out[0], first);
        for (int n = Q; n <= G; n++)
            expect_near(c.input[n].name, lowest[i], &whole.in_gradient[n], &alone.in_gradient[n], first);
        op_result_destroy(&whole);
        op_result_destroy(&alone);
        op_problem_destroy(&document);
        op_problem_destroy(&problem);
    }
    free(segment);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_gates_are_attention),
        cmocka_unit_test(long_sums_stay_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
