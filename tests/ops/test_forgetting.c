/* Attention with forget gates: differences between sums of very many log gates are as exact as between few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/device.h"
#include "ops/op_identity.h"

extern const OpTest forgetting_attention_test;

enum { Q, K, V, G };

/* The rows of a document against the document alone. Sums begin at the first token of a block, so the error of an
 * exponent is the rounding of a sum of 64 gates, wherever the block is. */
static void expect_near(const char *what, double lowest, const Matrix *whole, const Matrix *alone, int64_t first) {
    const Matrix rows = {alone->rows, alone->cols, whole->value + first * alone->cols};
    const double error = matrix_error(&rows, alone);
    if (!(error < 2e-6 - 64 * lowest / (1 << 24))) fail_msg("gates from %g: error of %s is %.3g", lowest, what, error);
}

/* The last of many documents, before which the running sums are large. They must not affect it. */
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
        cmocka_unit_test(long_sums_stay_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
