/* Forms of attention that are ordinary attention where they choose all keys, average over one token, or pair each key
 * with ones: outputs and gradients. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "ops/op_run.h"

extern const OpTest attention_test, compressed_attention_test, selected_attention_test, simplicial_attention_test;

enum { T = 80, Q = 0, QKV = 3, HEADS = 16, D = 24 };

#define INPUTS                                                                                                         \
    { {.name = "q", .cols = HEADS * D}, {.name = "k", .cols = D}, {.name = "v", .cols = D}, }
static const OpCase all_tokens = {.name = "all", .B = 2, .packed = true, .integer = {HEADS, 1, 0}, .input = INPUTS};
static const OpCase window = {.name = "window", .B = 2, .packed = true, .integer = {HEADS, 1, 33}, .input = INPUTS};

static OpResult run(const OpProblem *problem) {
    const OpBackend cpu = {"cpu f32", device_cpu(), F32};
    return op_run(problem, &cpu, (OpOptions){.threads = 1});
}

static void expect_near(const OpProblem *problem, const char *what, const Matrix *given, const Matrix *expected) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < given->rows * given->cols; i++) {
        difference += pow(given->value[i] - expected->value[i], 2);
        size += pow(expected->value[i], 2);
    }
    if (!(sqrt(difference / size) < 1e-5))
        fail_msg("%s is not attention: error of %s is %.3g", problem->test->name, what, sqrt(difference / size));
}

/* `form` with the same tokens, q, k, v and gradient of the output. */
static void expect_attention(const OpCase *attention, OpProblem form, OpProblem plain) {
    plain.test = &attention_test;
    plain.c = attention;
    OpResult given = run(&form), expected = run(&plain);
    expect_near(&form, "the output", &given.out[0], &expected.out[0]);
    for (int i = Q; i < QKV; i++)
        expect_near(&form, plain.c->input[i].name, &given.in_gradient[i], &expected.in_gradient[i]);
    op_result_destroy(&given);
    op_result_destroy(&expected);
}

/* Five blocks of 16 tokens are all that a document of 80 tokens has. */
static void selecting_all_blocks_is_attention(void **state) {
    (void)state;
    const OpCase all_blocks = {.name = "all", .integer = {HEADS, 1, 16, 5}, .input = INPUTS};
    OpProblem plain = op_problem_create(&attention_test, &all_tokens, T, F32), form = plain;
    form.test = &selected_attention_test;
    form.c = &all_blocks;
    expect_attention(&all_tokens, form, plain);
    op_problem_destroy(&plain);
}

static void compressing_single_tokens_is_attention(void **state) {
    (void)state;
    const OpCase single = {.name = "single", .integer = {HEADS, 1, 1}, .input = INPUTS};
    OpProblem plain = op_problem_create(&attention_test, &all_tokens, T, F32), form = plain;
    form.test = &compressed_attention_test;
    form.c = &single;
    expect_attention(&all_tokens, form, plain);
    op_problem_destroy(&plain);
}

/* A second window of the query's own token, where k2 and v2 are 1. */
static void pairing_with_ones_is_attention(void **state) {
    (void)state;
    const OpCase ones = {.name = "ones",
                         .integer = {HEADS, 1, 33, 1},
                         .input = {{.name = "q", .cols = HEADS * D},
                                   {.name = "k1", .cols = D},
                                   {.name = "v1", .cols = D},
                                   {.name = "k2", .cols = D},
                                   {.name = "v2", .cols = D}}};
    OpProblem plain = op_problem_create(&attention_test, &window, T, F32), form = plain;
    form.test = &simplicial_attention_test;
    form.c = &ones;
    form.inputs = QKV + 2;
    for (int i = QKV; i < form.inputs; i++) {
        form.in[i] = matrix_create(form.in[QKV - 1].rows, D);
        for (int64_t n = 0; n < form.in[i].rows * D; n++) form.in[i].value[n] = 1;
    }
    expect_attention(&window, form, plain);
    for (int i = QKV; i < form.inputs; i++) matrix_destroy(&form.in[i]);
    op_problem_destroy(&plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(selecting_all_blocks_is_attention),
                                       cmocka_unit_test(compressing_single_tokens_is_attention),
                                       cmocka_unit_test(pairing_with_ones_is_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
