/* Every op against its definition, on every backend: see op_test.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "core/device_cuda.h"
#include "ops/op_run.h"

#define OP_TEST(name) extern const OpTest name##_test;
#include "ops/op_tests.def"
#undef OP_TEST

static const OpTest *const op_tests[] = {
#define OP_TEST(name) &name##_test,
#include "ops/op_tests.def"
#undef OP_TEST
};

enum { DIRECTIONS = 2, SINGLE_ELEMENTS = 16, BACKENDS = 4, OPS = sizeof op_tests / sizeof *op_tests };
static const double STEP = 1e-6;       /* of the finite differences */
static const double NEGLIGIBLE = 1e-6; /* an absolute error that always passes */

/* One case on one backend, and the number of failures so far. */
typedef struct Subject {
    const OpBackend *backend;
    const OpProblem *problem;
    int failures;
} Subject;

/* Counts a value above its bound, or a NaN, as a failure and prints it. */
static void expect_below(Subject *s, const char *what, const char *tensor, double value, double bound) {
    if (value <= bound) return;
    s->failures++;
    print_error("%s, case %s, B=%d T=%d, %s: %s of %s is %.3g, bound %.3g\n", s->problem->test->name,
                s->problem->c->name, (int)s->problem->batch.B, (int)s->problem->batch.T, s->backend->name, what, tensor,
                value, bound);
}

static const char *output_name(int i) {
    static const char *const names[OP_TEST_OUTPUTS] = {"output 0", "output 1", "output 2", "output 3",
                                                       "output 4", "output 5", "output 6", "output 7"};
    return names[i];
}

static int64_t size_of(const Matrix *m) { return m->rows * m->cols; }

static double rms(const Matrix *m) {
    double sum = 0;
    for (int64_t i = 0; i < size_of(m); i++) sum += m->value[i] * m->value[i];
    return sqrt(sum / (double)size_of(m));
}

/* RMS(a - b) / RMS(b); `floor` is the least the reference counts for. 0 if no element is off by more than NEGLIGIBLE.
 */
static double relative_error(const Matrix *a, const Matrix *b, double floor) {
    double sum = 0;
    bool negligible = true;
    for (int64_t i = 0; i < size_of(b); i++) {
        const double error = a->value[i] - b->value[i];
        sum += error * error;
        if (!(fabs(error) <= NEGLIGIBLE)) negligible = false;
    }
    return negligible ? 0 : sqrt(sum / (double)size_of(b)) / fmax(rms(b), floor);
}

static double forward_bound(const OpCase *c, DType type) {
    if (type == BF16) return c->forward_bf16 > 0 ? c->forward_bf16 : 5e-3;
    return c->forward_f32 > 0 ? c->forward_f32 : 1e-5;
}

static double gradient_bound(const OpCase *c, DType type) {
    if (type == BF16) return c->gradient_bf16 > 0 ? c->gradient_bf16 : 8e-3;
    return c->gradient_f32 > 0 ? c->gradient_f32 : 1e-4;
}

static void naive_outputs(const OpProblem *p, const Matrix in[], Matrix out[]) {
    double *in_value[OP_TEST_INPUTS] = {0}, *out_value[OP_TEST_OUTPUTS] = {0};
    for (int i = 0; i < p->inputs; i++) in_value[i] = in[i].value;
    for (int i = 0; i < p->outputs; i++) {
        out[i] = matrix_create(p->out_gradient[i].rows, p->out_gradient[i].cols);
        memset(out[i].value, 0xff, (size_t)size_of(&out[i]) * sizeof(double));
        out_value[i] = out[i].value;
    }
    p->test->naive(p->c, &p->batch, in_value, out_value);
}

/* The functional of the naive's outputs where input `moved` is moved by `step` along `direction`. */
static double functional(const OpProblem *p, int moved, const Matrix *direction, double step) {
    Matrix in[OP_TEST_INPUTS], out[OP_TEST_OUTPUTS] = {{0}};
    memcpy(in, p->in, sizeof in);
    in[moved] = matrix_create(p->in[moved].rows, p->in[moved].cols);
    for (int64_t i = 0; i < size_of(direction); i++)
        in[moved].value[i] = p->in[moved].value[i] + step * direction->value[i];
    naive_outputs(p, in, out);
    double sum = 0;
    for (int i = 0; i < p->outputs; i++) {
        for (int64_t j = 0; j < size_of(&out[i]); j++) sum += out[i].value[j] * p->out_gradient[i].value[j];
        matrix_destroy(&out[i]);
    }
    matrix_destroy(&in[moved]);
    return sum;
}

static double finite_difference(const OpProblem *p, int input, const Matrix *direction) {
    return (functional(p, input, direction, STEP) - functional(p, input, direction, -STEP)) / (2 * STEP);
}

static double dot(const Matrix *a, const Matrix *b) {
    double sum = 0;
    for (int64_t i = 0; i < size_of(a); i++) sum += a->value[i] * b->value[i];
    return sum;
}

/* Direction number `number` in the space of an input: first random ones, then single elements spread over it. */
static Matrix direction_of(const Matrix *like, int number) {
    Matrix direction = matrix_create(like->rows, like->cols);
    const int64_t n = size_of(like);
    uint64_t state = 88172645463325252u + (uint64_t)number;
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        direction.value[i] = number < DIRECTIONS ? ((double)(state >> 11) * 0x1p-53 - 0.5) * 3.4641016151377544 : 0;
    }
    if (number >= DIRECTIONS) {
        const int64_t k = number - DIRECTIONS; /* both ends, and odd places between them */
        direction.value[k == 0 ? 0 : k == 1 ? n - 1 : (k * 2654435761 + k) % n] = 1;
    }
    return direction;
}

/* The difference between the analytic derivative along the direction and the finite one, divided by the bound. */
static double derivative_error(const OpProblem *p, int input, const Matrix *gradient, int number) {
    Matrix direction = direction_of(&p->in[input], number);
    const double expected = finite_difference(p, input, &direction), given = dot(gradient, &direction);
    const double spread = number < DIRECTIONS ? sqrt((double)size_of(gradient)) : 1;
    const double error = fabs(given - expected), scale = fabs(expected) + rms(gradient) * spread;
    matrix_destroy(&direction);
    return error <= NEGLIGIBLE * spread ? 0 : error / scale;
}

/* The larger of two errors; NaN is larger than any number. */
static double worse(double a, double b) { return a >= b || isnan(a) ? a : b; }

static void check_finite_differences(Subject *s, const OpResult *result) {
    const OpProblem *p = s->problem;
    const int64_t N = p->batch.B * p->batch.T; /* long cases are slow, and there are many */
    const int singles = N <= 40 ? SINGLE_ELEMENTS : N <= 130 ? SINGLE_ELEMENTS / 2 : SINGLE_ELEMENTS / 4;
    for (int i = 0; i < p->inputs; i++) {
        if (p->c->input[i].constant) continue;
        double error[DIRECTIONS + SINGLE_ELEMENTS] = {0}, along_directions = 0, by_elements = 0;
#pragma omp parallel for schedule(dynamic)
        for (int d = 0; d < DIRECTIONS + singles; d++) error[d] = derivative_error(p, i, &result->in_gradient[i], d);
        for (int d = 0; d < DIRECTIONS; d++) along_directions = worse(along_directions, error[d]);
        for (int d = 0; d < singles; d++) by_elements = worse(by_elements, error[DIRECTIONS + d]);
        const double bound = gradient_bound(p->c, F32);
        expect_below(s, "error of the derivative along random directions", p->c->input[i].name, along_directions,
                     bound);
        expect_below(s, "error of the derivative by single elements", p->c->input[i].name, by_elements, bound);
    }
}

/* A gradient that is 0 in exact arithmetic is measured against the gradient of the outputs. */
static double least_reference(const OpProblem *p, const Matrix *reference) {
    const double seed = rms(&p->out_gradient[0]);
    return rms(reference) < 1e-5 * seed ? seed : 0;
}

static void check_against(Subject *s, const char *what, const OpResult *given, const OpResult *expected, double forward,
                          double gradient) {
    char label[80];
    for (int i = 0; i < s->problem->outputs && expected->out[i].value; i++) {
        snprintf(label, sizeof label, "error (%s)", what);
        expect_below(s, label, output_name(i), relative_error(&given->out[i], &expected->out[i], 0), forward);
    }
    for (int i = 0; i < s->problem->inputs && gradient >= 0; i++) {
        const Matrix *reference = &expected->in_gradient[i];
        if (!reference->value || !given->in_gradient[i].value) continue;
        snprintf(label, sizeof label, "error of the gradient (%s)", what);
        expect_below(s, label, s->problem->c->input[i].name,
                     relative_error(&given->in_gradient[i], reference, least_reference(s->problem, reference)),
                     gradient);
    }
}

/* Number of elements with different bits. */
static double differences(const Matrix *a, const Matrix *b) {
    double count = 0;
    for (int64_t i = 0; a->value && b->value && i < size_of(a); i++)
        if (memcmp(&a->value[i], &b->value[i], sizeof(double)) != 0) count++;
    return count;
}

static void check_same_bits(Subject *s, const char *what, const OpResult *a, const OpResult *b) {
    char label[120];
    snprintf(label, sizeof label, "number of different elements (%s)", what);
    for (int i = 0; i < s->problem->outputs; i++)
        expect_below(s, label, output_name(i), differences(&a->out[i], &b->out[i]), 0);
    for (int i = 0; i < s->problem->inputs; i++)
        expect_below(s, label, s->problem->c->input[i].name, differences(&a->in_gradient[i], &b->in_gradient[i]), 0);
}

static void check_forward(Subject *s, const OpResult *result) {
    OpResult naive = {0};
    naive_outputs(s->problem, s->problem->in, naive.out);
    check_against(s, "naive", result, &naive, forward_bound(s->problem->c, s->backend->type), -1);
    op_result_destroy(&naive);
}

static void check_gradient(Subject *s, const OpResult *result) {
    if (s->backend->type == F32) {
        check_finite_differences(s, result);
        return;
    }
    const OpBackend cpu_f32 = {"cpu f32", device_cpu(), F32};
    OpResult expected = op_run(s->problem, &cpu_f32, (OpOptions){.threads = 1});
    check_against(s, "fp32", result, &expected, forward_bound(s->problem->c, BF16),
                  gradient_bound(s->problem->c, BF16));
    op_result_destroy(&expected);
}

static void check_memory(Subject *s, const OpResult *result, OpOptions options) {
    const OpResult counted = op_run_counting(s->problem, s->backend->type, options, s->backend->device->gpu);
    expect_below(s, "miscount", "the arena for kept tensors", fabs((double)(counted.keep_peak - result->keep_peak)), 0);
    expect_below(s, "miscount", "the scratch arena", fabs((double)(counted.scratch_peak - result->scratch_peak)), 0);
}

static void check_recompute_and_threads(Subject *s, const OpResult *result) {
    const OpOptions options = {.recompute = true, .threads = 2};
    OpResult other = op_run(s->problem, s->backend, options);
    check_same_bits(s, "2 threads, recomputed", &other, result);
    check_memory(s, &other, options);
    op_result_destroy(&other);
}

/* Memory around the arrays and the order of the threads must not matter. */
static void check_guards(Subject *s, const OpResult *result) {
    OpResult other = op_run(s->problem, s->backend, (OpOptions){.guard_starts = true, .threads = 1});
    check_same_bits(s, "arrays that begin at a guard", &other, result);
    op_result_destroy(&other);
}

static void check_frozen(Subject *s, const OpResult *result) {
    OpResult other = op_run(s->problem, s->backend, (OpOptions){.frozen = true, .threads = 1});
    check_same_bits(s, "frozen parameters", &other, result);
    op_result_destroy(&other);
}

/* Inputs in wider matrices, and parameter gradients that hold something before. Other strides may change the order of
 * sums inside a vectorised loop, so the bits may differ. */
static void check_wide(Subject *s, const OpResult *result) {
    const double before = 1;
    OpResult other =
        op_run(s->problem, s->backend, (OpOptions){.wide = true, .threads = 2, .parameter_gradient = before});
    for (int i = 0; i < s->problem->inputs; i++)
        for (int64_t j = 0; s->problem->c->input[i].parameter && j < size_of(&other.in_gradient[i]); j++)
            other.in_gradient[i].value[j] -= before;
    const double bound = s->backend->type == BF16 ? 4e-3 : 1e-5;
    check_against(s, "wide matrices, added to", &other, result, bound, bound);
    if (other.trespass) expect_below(s, "a write beside the columns", other.trespass, NAN, 0);
    op_result_destroy(&other);
}

static void put_rows(Matrix *to, const Matrix *from, int64_t first) {
    memcpy(to->value + first * to->cols, from->value, (size_t)size_of(from) * sizeof(double));
}

static void add_to(Matrix *to, const Matrix *from) {
    for (int64_t i = 0; i < size_of(to); i++) to->value[i] += from->value[i];
}

static OpResult zero_result(const OpProblem *p) {
    OpResult result = {0};
    for (int i = 0; i < p->outputs; i++) {
        result.out[i] = matrix_create(p->out_gradient[i].rows, p->out_gradient[i].cols);
        memset(result.out[i].value, 0, (size_t)size_of(&result.out[i]) * sizeof(double));
    }
    for (int i = 0; i < p->inputs; i++) {
        result.in_gradient[i] = matrix_create(p->in[i].rows, p->in[i].cols);
        memset(result.in_gradient[i].value, 0, (size_t)size_of(&result.in_gradient[i]) * sizeof(double));
    }
    return result;
}

/* Runs tokens [first, first + T), which are one document, alone and puts what comes out at its place. */
static void run_document(const Subject *s, int64_t first, int64_t T, OpResult *whole) {
    OpProblem document = op_problem_document(s->problem, first, T);
    OpResult result = op_run(&document, s->backend, (OpOptions){.threads = 1});
    for (int i = 0; i < document.outputs; i++) put_rows(&whole->out[i], &result.out[i], first);
    for (int i = 0; i < document.inputs; i++) {
        if (!result.in_gradient[i].value) continue;
        if (document.c->input[i].parameter)
            add_to(&whole->in_gradient[i], &result.in_gradient[i]);
        else
            put_rows(&whole->in_gradient[i], &result.in_gradient[i], first);
    }
    op_result_destroy(&result);
    op_problem_destroy(&document);
}

static bool consists_of_tokens(const OpProblem *p) {
    const int64_t N = p->batch.B * p->batch.T;
    for (int i = 0; i < p->outputs; i++)
        if (p->out_gradient[i].rows != N) return false;
    for (int i = 0; i < p->inputs; i++)
        if (!p->c->input[i].parameter && p->c->input[i].rows) return false;
    return true;
}

static void check_documents(Subject *s, const OpResult *result) {
    const Batch *batch = &s->problem->batch;
    if (!s->problem->c->packed || !consists_of_tokens(s->problem)) return;
    OpResult apart = zero_result(s->problem);
    for (int64_t n = 0, first = 0; n < batch->B * batch->T; n++) {
        const bool last = (n + 1) % batch->T == 0 || batch->segment[n + 1] != batch->segment[n];
        if (!last) continue;
        run_document(s, first, n + 1 - first, &apart);
        first = n + 1;
    }
    check_against(s, "documents apart", result, &apart, forward_bound(s->problem->c, s->backend->type),
                  gradient_bound(s->problem->c, s->backend->type));
    op_result_destroy(&apart);
}

/* Returns the number of failures. */
static int check_case(const OpTest *test, const OpCase *c, int64_t T, const OpBackend *backend) {
    OpProblem problem = op_problem_create(test, c, T, backend->type);
    Subject subject = {backend, &problem, 0};
    CHECK(problem.outputs > 0, "%s gives no outputs", test->name);
    OpResult result = op_run(&problem, backend, (OpOptions){.threads = 1});
    check_forward(&subject, &result);
    check_gradient(&subject, &result);
    check_memory(&subject, &result, (OpOptions){.threads = 1});
    check_wide(&subject, &result);
    if (backend->device == device_cpu()) { /* not repeated for kernels that agree with the CPU's */
        check_documents(&subject, &result);
        check_recompute_and_threads(&subject, &result);
        check_frozen(&subject, &result);
    } else {
        check_guards(&subject, &result);
    }
    op_result_destroy(&result);
    op_problem_destroy(&problem);
    return subject.failures;
}

typedef struct Run {
    const OpTest *test;
    const OpBackend *backend;
    char name[80];
} Run;

static void check_op(void **state) {
    static const int64_t odd_sizes[] = {1, 15, 63, 64, 65, 200};
    const Run *run = *state;
    int failures = 0;
    for (const OpCase *c = run->test->cases; c < run->test->cases + OP_TEST_CASES && c->name; c++) {
        if (c->T) failures += check_case(run->test, c, c->T, run->backend);
        for (size_t i = 0; !c->T && i < sizeof odd_sizes / sizeof *odd_sizes; i++)
            failures += check_case(run->test, c, odd_sizes[i], run->backend);
    }
    assert_int_equal(failures, 0);
}

int main(int argc, char **argv) {
    const Device *cuda = NULL;
    char text[1024];
    device_cuda_open(0, &cuda, text, sizeof text);
    const OpBackend backends[] = {
        {"cpu f32", device_cpu(), F32},
        {"cpu bf16", device_cpu(), BF16},
#if defined(EMULATES_F32)
        {"emulator f32", device_emulator(), F32},
#else
        {"emulator bf16", device_emulator(), BF16},
#endif
        {"cuda bf16", cuda, BF16},
    };
    static Run runs[OPS * BACKENDS];
    static struct CMUnitTest tests[OPS * BACKENDS];
    size_t count = 0;
    for (size_t o = 0; o < OPS; o++)
        for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
            if (!backends[b].device) continue;
            if (argc > 1 && strcmp(argv[1], "all") != 0 && strcmp(argv[1], op_tests[o]->name) != 0) continue;
            if (argc > 2 && strcmp(argv[2], backends[b].name) != 0) continue;
            runs[count] = (Run){.test = op_tests[o], .backend = &backends[b]};
            snprintf(runs[count].name, sizeof runs[count].name, "%s on %s", op_tests[o]->name, backends[b].name);
            tests[count] =
                (struct CMUnitTest){.name = runs[count].name, .test_func = check_op, .initial_state = &runs[count]};
            count++;
        }
    if (count == 0) {
        fprintf(stderr, "test_ops: no op and backend of that name (cuda: %s)\n", text);
        return 2;
    }
    return _cmocka_run_group_tests("ops", tests, count, NULL, NULL);
}
