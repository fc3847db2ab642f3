/* The row of the padding index gets no gradient; all other rows get theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ops/op_run.h"

extern const OpTest embedding_test;

static void padding_row_gets_no_gradient(void **state) {
    (void)state;
    enum { T = 65, PADDING = 3, COLS = 40 };
    const OpBackend backend = {"cpu f32", device_cpu(), F32};
    const OpOptions options = {.threads = 2, .parameter_gradient = 0.5};
    const OpCase plain = embedding_test.cases[0];
    OpCase padded = plain;
    padded.integer[0] = PADDING + 1;
    OpProblem problem = op_problem_create(&embedding_test, &plain, T, F32);
    OpResult expected = op_run(&problem, &backend, options);
    problem.c = &padded;
    OpResult result = op_run(&problem, &backend, options);
    bool was_used = false;
    for (int64_t row = 0; row < expected.in_gradient[0].rows; row++)
        for (int64_t i = row * COLS; i < (row + 1) * COLS; i++) {
            const double plain_value = expected.in_gradient[0].value[i], value = result.in_gradient[0].value[i];
            if (row == PADDING) was_used = was_used || plain_value != options.parameter_gradient;
            assert_true(value == (row == PADDING ? options.parameter_gradient : plain_value));
        }
    assert_true(was_used);
    op_result_destroy(&result);
    op_result_destroy(&expected);
    op_problem_destroy(&problem);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(padding_row_gets_no_gradient)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
