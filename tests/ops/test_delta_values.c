/* Without corrections (beta 0), delta_values returns its input, bit for bit, so that DeltaFormer computes ordinary
 * attention. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/device.h"
#include "ops/op_run.h"

extern const OpTest delta_values_test;

enum { Q, K, V, BETA };

static size_t bytes_of(const Matrix *matrix) { return (size_t)(matrix->rows * matrix->cols) * sizeof(double); }

static void no_corrections_leave_values(void **state) {
    (void)state;
    static const OpCase c = {.name = "no corrections",
                             .B = 2,
                             .T = 200,
                             .packed = true,
                             .integer = {2},
                             .input = {{.name = "q", .cols = 2 * 40},
                                       {.name = "k", .cols = 2 * 40},
                                       {.name = "v", .cols = 2 * 40},
                                       {.name = "beta", .cols = 2}}};
    const OpBackend backends[] = {
        {"cpu f32", device_cpu(), F32}, {"cpu bf16", device_cpu(), BF16}, {"emulator bf16", device_emulator(), BF16}};
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        OpProblem problem = op_problem_create(&delta_values_test, &c, c.T, backends[i].type);
        memset(problem.in[BETA].value, 0, bytes_of(&problem.in[BETA]));
        OpResult result = op_run(&problem, &backends[i], (OpOptions){.threads = 2});
        assert_memory_equal(result.out[0].value, problem.in[V].value, bytes_of(&problem.in[V]));
        assert_memory_equal(result.in_gradient[V].value, problem.out_gradient[0].value, bytes_of(&problem.in[V]));
        for (int n = Q; n <= K; n++)
            for (int64_t e = 0; e < problem.in[n].rows * problem.in[n].cols; e++)
                assert_true(result.in_gradient[n].value[e] == 0);
        op_result_destroy(&result);
        op_problem_destroy(&problem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_corrections_leave_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
