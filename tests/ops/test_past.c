/* Ops with a cache or state: a text in pieces gives the same output as the whole text, in every form of the kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "ops/op_run.h"

#define OP_TEST(op) extern const OpTest op##_test;
#include "ops/op_tests.def"
#undef OP_TEST

/* The compressed and the selected branch of Native Sparse Attention, added. integer: heads, heads of k and v, the
 * tokens of a block, the blocks that a token selects. Scores that are `clear` differ by more than rounding. */
static void build_blocks(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    const BlockAttentionShape shape = {c->integer[0], c->integer[1], c->integer[2], c->integer[3]};
    Tensor *k = block_means(tape, in[1], shape.block), *v = block_means(tape, in[2], shape.block), *selected;
    Tensor *compressed = compressed_attention(tape, in[0], k, v, shape, &selected);
    out[0] = add(tape, compressed, selected_attention(tape, in[0], in[1], in[2], selected, shape));
}

#define QKV(q_cols, kv_cols)                                                                                           \
    { {.name = "q", .cols = q_cols}, {.name = "k", .cols = kv_cols}, {.name = "v", .cols = kv_cols}, }
#define CLEAR_QKV                                                                                                      \
    {                                                                                                                  \
        {.name = "q", .cols = 16 * 16, .low = 0.9, .high = 1.1}, {.name = "k", .cols = 16, .low = -3, .high = 3}, {    \
            .name = "v", .cols = 16                                                                                    \
        }                                                                                                              \
    }

static const OpTest block_attention_test = {
    .name = "block attention",
    .build = build_blocks,
    .cases =
        {
            {.name = "no whole block", .B = 1, .T = 15, .integer = {16, 1, 16, 3}, .input = QKV(16 * 16, 16)},
            {.name = "fewer blocks than are selected",
             .B = 1,
             .T = 75,
             .integer = {16, 1, 16, 6},
             .input = QKV(16 * 16, 16)},
            {.name = "blocks of one", .B = 1, .T = 70, .integer = {16, 1, 1, 3}, .input = QKV(16 * 8, 8)},
            {.name = "two key heads", .B = 1, .T = 78, .integer = {64, 2, 7, 3}, .input = QKV(64 * 20, 2 * 20)},
            {.name = "clear", .B = 1, .T = 79, .integer = {16, 1, 5, 6}, .input = CLEAR_QKV},
            {.name = "clear, packed", .B = 1, .T = 200, .packed = true, .integer = {16, 1, 4, 5}, .input = CLEAR_QKV},
            {.name = "clear, two words of blocks", .B = 1, .T = 199, .integer = {16, 1, 3, 9}, .input = CLEAR_QKV},
        },
};

static const OpTest *const remembering[] = {&chunk_gla_test,
                                            &chunk_gla_values_test,
                                            &chunk_delta_test,
                                            &chunk_dplr_test,
                                            &chunk_kda_test,
                                            &chunk_simple_gla_test,
                                            &mesa_solve_test,
                                            &diagonal_scan_test,
                                            &complex_scan_test,
                                            &chunk_normaliser_test,
                                            &lstm_test,
                                            &gru_test,
                                            &running_softmax_test,
                                            &selective_scan_test,
                                            &attention_test,
                                            &forgetting_attention_test,
                                            &delta_values_test,
                                            &path_attention_test,
                                            &exponential_gates_test,
                                            &codebook_attention_test,
                                            &block_attention_test,
                                            &simplicial_attention_test,
                                            &tropical_attention_test,
                                            &short_convolution_test,
                                            &token_shift_test,
                                            &token_mix_test,
                                            &rotary_test,
                                            &sinusoid_test};

enum { MOST_TOKENS = 200, FEW_TOKENS = 80, PIECES = 3 }; /* few: on the emulator, which is slow */

static bool has_initial_state(const OpProblem *problem) {
    return strcmp(problem->c->input[problem->inputs - 1].name, "initial") == 0;
}

/* Adds the squares of the differences of rows [first, ..) of the whole, and of these rows. */
static void compare(const Matrix *piece, const Matrix *whole, int64_t first, double *error, double *sum) {
    for (int64_t i = 0; i < piece->rows * piece->cols; i++) {
        const double expected = whole->value[first * whole->cols + i];
        *error += pow(piece->value[i] - expected, 2);
        *sum += expected * expected;
    }
}

/* RMS of the difference of the first output over that of the output, for pieces of these sizes. */
static double error_in_pieces(const OpProblem *problem, const OpBackend *backend, const OpResult *whole,
                              const int64_t pieces[PIECES]) {
    double error = 0, sum = 0;
    Carried *carried = carried_create(backend->device, 1, 1, MOST_TOKENS);
    for (int64_t done = 0, i = 0; i < PIECES; done += pieces[i++]) {
        OpProblem piece = op_problem_document(problem, done, pieces[i]);
        if (piece.batch.position[0] == 0) carried_restart(carried, 0);
        carried_begin_layer(carried, 0);
        OpResult result = op_run(&piece, backend, (OpOptions){.threads = 2, .carried = carried});
        carried_advance(carried, pieces[i]);
        compare(&result.out[0], &whole->out[0], done, &error, &sum);
        op_result_destroy(&result);
        op_problem_destroy(&piece);
    }
    carried_destroy(carried);
    return sqrt(error / sum);
}

/* fp32: sums in another order. bf16: operands of products are rounded, after another scaling by decays. The state of
 * running_softmax is one number, in cases about 10,000, whose last digit is 1e-3. */
static double tolerance_of(const OpTest *test, const OpBackend *backend) {
    if (backend->type == BF16) return 1e-2;
    return test == &running_softmax_test ? 1e-4 : 1e-5;
}

static int check_case(const OpTest *test, const OpCase *c, const OpBackend *backend) {
    const int64_t T = c->T ? c->T : 70;
    if (c->B != 1 || T < 8 || T > (backend->device->gpu ? FEW_TOKENS : MOST_TOKENS)) return 0;
    OpProblem problem = op_problem_create(test, c, T, backend->type);
    int failed = 0;
    if (!has_initial_state(&problem)) {
        OpResult whole = op_run(&problem, backend, (OpOptions){.threads = 2});
        const int64_t ways[][PIECES] = {{T - 2, 1, 1}, {3, T - 4, 1}, {T - 4, 3, 1}, {2 * T / 3, T - 2 * T / 3 - 1, 1}};
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            const double error = error_in_pieces(&problem, backend, &whole, ways[i]);
            if (error < tolerance_of(test, backend)) continue;
            print_error("%s, case %s, %s: error %.2g\n", test->name, c->name, backend->name, error);
            failed++;
        }
        op_result_destroy(&whole);
    }
    op_problem_destroy(&problem);
    return failed;
}

static void check_all(const OpBackend *backend) {
    int failed = 0;
    for (size_t i = 0; i < sizeof remembering / sizeof *remembering; i++)
        for (int n = 0; n < OP_TEST_CASES && remembering[i]->cases[n].name; n++)
            failed += check_case(remembering[i], &remembering[i]->cases[n], backend);
    assert_int_equal(failed, 0);
}

static void test_on_the_cpu_in_fp32(void **state) {
    (void)state;
    const OpBackend backend = {"cpu f32", device_cpu(), F32};
    check_all(&backend);
}

static void test_on_the_cpu_in_bf16(void **state) {
    (void)state;
    const OpBackend backend = {"cpu bf16", device_cpu(), BF16};
    check_all(&backend);
}

static void test_on_the_emulator(void **state) {
    (void)state;
    const OpBackend backend = {"emulator bf16", device_emulator(), BF16};
    check_all(&backend);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_on_the_cpu_in_fp32),
                                       cmocka_unit_test(test_on_the_cpu_in_bf16),
                                       cmocka_unit_test(test_on_the_emulator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
