/* The CPU's matrix products against fp64 loops: every transposition, strides, accumulation, edges, thread counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu_gemm.h"
#include "core/gemm_plans.h"

typedef struct Sizes {
    int64_t m, n, k;
} Sizes;

static const Sizes sizes[] = {{1, 1, 1},    {3, 5, 7},       {17, 33, 129}, {64, 64, 64}, {513, 40, 24},
                              {65, 700, 3}, {129, 130, 520}, {1, 600, 70},  {600, 1, 70}, {5, 6, 0},
                              {10, 1, 9},   {7, 9, 1},       {40, 1, 33},   {1, 1, 40}};

static float draw(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static float get(const void *data, DType type, int64_t i) {
    return type == BF16 ? bf16_to_float(((const bf16 *)data)[i]) : ((const float *)data)[i];
}

static void *random_matrix(int64_t count, DType type, uint32_t seed) {
    void *data = malloc((size_t)((count + 1) * dtype_size(type)));
    for (int64_t i = 0; i < count; i++) {
        const float value = draw(&seed);
        if (type == BF16)
            ((bf16 *)data)[i] = float_to_bf16(value);
        else
            ((float *)data)[i] = value;
    }
    return data;
}

static double exact(const Gemm *g, const void *c_before, int64_t i, int64_t j) {
    double sum = g->accumulate ? get(c_before, g->c_type, i * g->ldc + j) : 0;
    for (int64_t p = 0; p < g->k; p++)
        sum += (double)get(g->a, g->type, g->transpose_a ? p * g->lda + i : i * g->lda + p) *
               (double)get(g->b, g->type, g->transpose_b ? j * g->ldb + p : p * g->ldb + j);
    return sum;
}

/* The error of an fp32 sum of k terms up to 1 is far below this; a bf16 result is rounded to 8 bits. */
static double tolerance(const Gemm *g, double value) {
    return 1e-7 * (double)(g->k + 4) + (g->c_type == BF16 ? fabs(value) * 0x1p-8 : 0);
}

static void check_one(Sizes size, bool transpose_a, bool transpose_b, bool accumulate, DType type, DType c_type) {
    const int64_t pad = size.m % 3; /* strides with and without a gap */
    Gemm g = {.transpose_a = transpose_a,
              .transpose_b = transpose_b,
              .accumulate = accumulate,
              .m = size.m,
              .n = size.n,
              .k = size.k,
              .type = type,
              .c_type = c_type};
    g.lda = (transpose_a ? size.m : size.k) + 2 * pad;
    g.ldb = (transpose_b ? size.k : size.n) + pad;
    g.ldc = size.n + 5 * pad;
    if (g.lda == 0) g.lda = 1;
    if (g.ldb == 0) g.ldb = 1;
    void *a = random_matrix((transpose_a ? size.k : size.m) * g.lda, type, 1);
    void *b = random_matrix((transpose_b ? size.n : size.k) * g.ldb, type, 2);
    void *before = random_matrix(size.m * g.ldc, c_type, 3), *c = random_matrix(size.m * g.ldc, c_type, 3);
    g.a = a, g.b = b, g.c = c;
    device_cpu()->gemm(&g);
    for (int64_t i = 0; i < size.m; i++)
        for (int64_t j = 0; j < g.ldc; j++) {
            const double got = get(c, c_type, i * g.ldc + j);
            if (j >= size.n) { /* the product must not write to the gap between rows */
                assert_true(got == get(before, c_type, i * g.ldc + j));
                continue;
            }
            const double want = exact(&g, before, i, j);
            if (!(fabs(got - want) <= tolerance(&g, want)))
                fail_msg("%lld x %lld x %lld %c%c: [%lld, %lld] is %.9g, not %.9g", (long long)g.m, (long long)g.n,
                         (long long)g.k, transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', (long long)i, (long long)j,
                         got, want);
        }
    free(a), free(b), free(c), free(before);
}

static void check_type(DType type, DType c_type) {
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int bits = 0; bits < 8; bits++) check_one(sizes[s], bits & 1, bits & 2, bits & 4, type, c_type);
}

static void test_fp32(void **state) {
    (void)state;
    check_type(F32, F32);
}

static void test_bf16(void **state) {
    (void)state;
    if (!cpu_gemm_supports(BF16)) skip();
    check_type(BF16, F32);
    check_type(BF16, BF16);
}

static void test_same_bits_on_a_few_threads(void **state) {
    (void)state;
    const Sizes shapes[] = {{64, 256, 8192}, {512, 512, 700}, {16, 1024, 4096}, {33, 31, 5000}};
    const int before = omp_get_max_threads();
    for (int type = F32; type <= BF16; type++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes && cpu_gemm_supports((DType)type); s++)
            for (int bits = 0; bits < 4; bits++) {
                const Sizes size = shapes[s];
                void *a = random_matrix(size.m * size.k, (DType)type, 1),
                     *b = random_matrix(size.n * size.k, (DType)type, 2);
                float *first = random_matrix(size.m * size.n, F32, 3), *c = random_matrix(size.m * size.n, F32, 3);
                Gemm g = {.transpose_a = bits & 1,
                          .transpose_b = bits & 2,
                          .m = size.m,
                          .n = size.n,
                          .k = size.k,
                          .a = a,
                          .b = b,
                          .type = (DType)type,
                          .c_type = F32,
                          .ldc = size.n};
                g.lda = g.transpose_a ? size.m : size.k;
                g.ldb = g.transpose_b ? size.k : size.n;
                for (int threads = 1; threads <= 4; threads++) {
                    omp_set_num_threads(threads);
                    g.c = threads == 1 ? first : c;
                    device_cpu()->gemm(&g);
                    if (threads > 1) assert_memory_equal(first, c, (size_t)(size.m * size.n) * sizeof(float));
                }
                free(a), free(b), free(c), free(first);
            }
    omp_set_num_threads(before);
}

/* More shapes than plans fit: a plan that was destroyed and made again still belongs to its shape. */
static void test_more_shapes_than_plans(void **state) {
    (void)state;
    if (!cpu_gemm_supports(BF16)) skip();
    enum { M = 40, N = 40, K = 3 };
    bf16 *a = random_matrix(M * K, BF16, 1), *b = random_matrix(N * K, BF16, 2);
    float *c = random_matrix(M * N, F32, 3);
    for (int64_t shape = 0; shape < GEMM_PLANS + 1000; shape++) {
        const int64_t m = 1 + shape % M, n = 1 + shape / M % N, k = 1 + shape / M / N % K;
        const Gemm g = {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .lda = k, .ldb = n, .ldc = n, .type = BF16};
        device_cpu()->gemm(&g);
        const double want = exact(&g, c, m - 1, n - 1);
        assert_true(fabs((double)c[m * n - 1] - want) <= tolerance(&g, want));
    }
    free(a), free(b), free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fp32), cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_same_bits_on_a_few_threads),
                                       cmocka_unit_test(test_more_shapes_than_plans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
