/* The fused loss with a teacher: fla's FusedKLDivLoss and PyTorch give the same numbers, and the gradient of a model
 * that equals its teacher is zero. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/tensor_folder.h"
#include "core/device.h"
#include "ops/op_run.h"

extern const OpTest linear_cross_entropy_test;

enum { STUDENT, WEIGHT, TEACHER, TEACHER_WEIGHT, INPUTS };
enum { SHARE = 4 }; /* in real of the op's cases */
enum { T = 45, VOCABULARY = 77, COLS = 16, TEACHER_COLS = 24 };

static const OpBackend *backend(int i) {
    static OpBackend all[3];
    all[0] = (OpBackend){"cpu f32", device_cpu(), F32};
    all[1] = (OpBackend){"cpu bf16", device_cpu(), BF16};
    all[2] = (OpBackend){"emulator bf16", device_emulator(), BF16};
    return &all[i];
}

static OpCase case_with(double share, int64_t teacher_cols) {
    return (OpCase){
        .name = "golden",
        .B = 1,
        .T = T,
        .vocabulary = VOCABULARY,
        .real = {[SHARE] = share},
        .input = {{.name = "x", .cols = COLS},
                  {.name = "weight", .rows = VOCABULARY, .cols = COLS, .parameter = true},
                  {.name = "teacher", .cols = teacher_cols},
                  {.name = "teacher's weight", .rows = VOCABULARY, .cols = teacher_cols, .parameter = true}}};
}

static void read_doubles(const TensorFolder *golden, const char *name, double *to, int64_t count) {
    const SafeTensor *tensor = tensor_folder_find(golden, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->elements, count);
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    assert_int_equal(safetensors_read_floats(tensor, 0, count, values), OK);
    for (int64_t i = 0; i < count; i++) to[i] = (double)values[i];
    free(values);
}

/* The golden inputs. fla scores every row; PyTorch those with labels. */
static OpProblem golden_problem(const TensorFolder *golden, const OpCase *c, bool labels) {
    static const char *const names[INPUTS] = {"x", "weight", "teacher", "teacher_weight"};
    OpProblem problem = op_problem_create(&linear_cross_entropy_test, c, T, F32);
    for (int i = 0; i < INPUTS; i++)
        read_doubles(golden, names[i], problem.in[i].value, problem.in[i].rows * problem.in[i].cols);
    double label[T];
    read_doubles(golden, "labels", label, T);
    for (int n = 0; n < T; n++) ((int32_t *)problem.batch.labels)[n] = labels ? (int32_t)label[n] : n;
    return problem;
}

static double sum_of(const Matrix *matrix) {
    double sum = 0;
    for (int64_t i = 0; i < matrix->rows * matrix->cols; i++) sum += matrix->value[i];
    return sum;
}

static void expect_mean(const TensorFolder *golden, const char *name, const Matrix *losses, double targets) {
    double expected;
    read_doubles(golden, name, &expected, 1);
    const double given = sum_of(losses) / targets;
    if (!(fabs(given - expected) <= 1e-6 * fabs(expected))) fail_msg("%s: %.9g, not %.9g", name, given, expected);
}

/* The reference's gradient is that of the mean, not of the sum. */
static void expect_gradient(const TensorFolder *golden, const char *name, const Matrix *gradient, double targets) {
    const int64_t count = gradient->rows * gradient->cols;
    double *expected = malloc((size_t)count * sizeof *expected), error = 0, norm = 0;
    assert_non_null(expected);
    read_doubles(golden, name, expected, count);
    for (int64_t i = 0; i < count; i++) {
        error += pow(gradient->value[i] / targets - expected[i], 2);
        norm += expected[i] * expected[i];
    }
    free(expected);
    if (!(error <= 1e-12 * norm)) fail_msg("%s: relative error %.3g", name, sqrt(error / norm));
}

static void as_fla(void **state) {
    (void)state;
    TensorFolder *golden = NULL;
    assert_int_equal(tensor_folder_open("tests/golden", "distillation", &golden), OK);
    const OpCase c = case_with(1, TEACHER_COLS);
    OpProblem problem = golden_problem(golden, &c, false);
    OpResult result = op_run(&problem, backend(0), (OpOptions){.threads = 2});
    expect_mean(golden, "fla.kl", &result.out[1], T);
    expect_gradient(golden, "fla.grad.x", &result.in_gradient[STUDENT], T);
    expect_gradient(golden, "fla.grad.weight", &result.in_gradient[WEIGHT], T);
    op_result_destroy(&result);
    op_problem_destroy(&problem);
    tensor_folder_close(golden);
}

static void as_pytorch(void **state) {
    (void)state;
    TensorFolder *golden = NULL;
    assert_int_equal(tensor_folder_open("tests/golden", "distillation", &golden), OK);
    double share, targets = 0;
    read_doubles(golden, "torch.w", &share, 1);
    const OpCase c = case_with(share, TEACHER_COLS);
    OpProblem problem = golden_problem(golden, &c, true);
    for (int n = 0; n < T; n++) targets += problem.batch.labels[n] >= 0;
    assert_true(targets < T);
    OpResult result = op_run(&problem, backend(0), (OpOptions){.threads = 2});
    expect_mean(golden, "torch.cross_entropy", &result.out[0], targets);
    expect_mean(golden, "torch.kl", &result.out[1], targets);
    expect_gradient(golden, "torch.grad.x", &result.in_gradient[STUDENT], targets);
    expect_gradient(golden, "torch.grad.weight", &result.in_gradient[WEIGHT], targets);
    op_result_destroy(&result);
    op_problem_destroy(&problem);
    tensor_folder_close(golden);
}

static void expect_zeros(const char *backend_name, const char *what, const Matrix *matrix) {
    for (int64_t i = 0; i < matrix->rows * matrix->cols; i++)
        if (matrix->value[i] != 0) fail_msg("%s: %s %lld is %g", backend_name, what, (long long)i, matrix->value[i]);
}

/* Exactly zero, because an optimizer that divides by the size of gradients would amplify any rest. */
static void equal_to_its_teacher(void **state) {
    (void)state;
    for (int b = 0; b < 3; b++) {
        const OpCase c = case_with(1, COLS);
        OpProblem problem = op_problem_create(&linear_cross_entropy_test, &c, T, backend(b)->type);
        for (int i = STUDENT; i <= WEIGHT; i++)
            memcpy(problem.in[i + TEACHER].value, problem.in[i].value,
                   (size_t)(problem.in[i].rows * problem.in[i].cols) * sizeof(double));
        OpResult result = op_run(&problem, backend(b), (OpOptions){.threads = 2});
        assert_true(sum_of(&result.out[0]) > 0);
        expect_zeros(backend(b)->name, "divergence", &result.out[1]);
        expect_zeros(backend(b)->name, "gradient of x", &result.in_gradient[STUDENT]);
        expect_zeros(backend(b)->name, "gradient of the weight", &result.in_gradient[WEIGHT]);
        op_result_destroy(&result);
        op_problem_destroy(&problem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_fla), cmocka_unit_test(as_pytorch),
                                       cmocka_unit_test(equal_to_its_teacher)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
