/* Variants of attention that equal ordinary attention if they select all keys, average over single tokens, pair each
 * key with ones, have the keys as codes, or have open gates and zero corrections. Compares outputs and gradients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "ops/op_identity.h"

enum { T_OF_BLOCKS = 80, T = 200, WINDOW = 33 };
enum { Q, KEY, VALUE };

/* NSA's kernels need groups of 16 query heads. */
enum { GROUP = 16, D = 24 };
static const float D_SCALE = 0.20412414523193154f; /* D^(-1/2) */
enum { KEY_2 = VALUE + 1, VALUE_2 };

static const AttentionShape grouped_shape = {GROUP, 1, 0}, windowed_shape = {GROUP, 1, WINDOW};

static Tensor *grouped(Tape *tape, Tensor *const in[]) {
    return attention(tape, in[Q], in[KEY], in[VALUE], grouped_shape);
}
static Tensor *windowed(Tape *tape, Tensor *const in[]) {
    return attention(tape, in[Q], in[KEY], in[VALUE], windowed_shape);
}
/* Selects five blocks of 16 tokens, which are all blocks of a document of 80 tokens. */
static Tensor *selected(Tape *tape, Tensor *const in[]) {
    const BlockAttentionShape shape = {GROUP, 1, 16, 5};
    Tensor *blocks, *k = block_means(tape, in[KEY], shape.block), *v = block_means(tape, in[VALUE], shape.block);
    compressed_attention(tape, in[Q], k, v, shape, &blocks);
    return selected_attention(tape, in[Q], in[KEY], in[VALUE], blocks, shape);
}
static Tensor *compressed(Tape *tape, Tensor *const in[]) {
    const BlockAttentionShape single_tokens = {GROUP, 1, 1, 3};
    Tensor *blocks;
    return compressed_attention(tape, in[Q], in[KEY], in[VALUE], single_tokens, &blocks);
}
/* The second window is the query's own token. */
static Tensor *simplicial(Tape *tape, Tensor *const in[]) {
    const SimplicialShape shape = {.heads = GROUP, .kv_heads = 1, .window1 = WINDOW, .window2 = 1};
    return simplicial_attention(tape, (SimplicialInputs){in[Q], in[KEY], in[VALUE], in[KEY_2], in[VALUE_2]}, shape);
}

#define GROUPED_INPUTS                                                                                                 \
    {.name = "q", .cols = GROUP * D}, {.name = "k", .cols = D}, { .name = "v", .cols = D }
static const OpCase of_groups = {.name = "groups", .B = 2, .packed = true, .input = {GROUPED_INPUTS}};
static const OpCase of_pairs = {.name = "pairs",
                                .B = 2,
                                .packed = true,
                                .input = {GROUPED_INPUTS, {.name = "k2", .cols = D}, {.name = "v2", .cols = D}}};

static void ones(OpProblem *problem) {
    fill_matrix(&problem->in[KEY_2], 1);
    fill_matrix(&problem->in[VALUE_2], 1);
}

enum { HEADS = 4, KV_HEADS = 2 };
enum { W = VALUE + 1, BETA, GATE };

static const AttentionShape shape = {HEADS, KV_HEADS, 0};

static Tensor *plain(Tape *tape, Tensor *const in[]) { return attention(tape, in[Q], in[KEY], in[VALUE], shape); }
static Tensor *forgetting(Tape *tape, Tensor *const in[]) {
    return forgetting_attention(tape, in[Q], in[KEY], in[VALUE], in[GATE], shape);
}
static Tensor *path(Tape *tape, Tensor *const in[]) {
    return path_attention(tape, in[Q], in[KEY], in[VALUE], in[W], in[BETA], NULL, shape);
}
/* PaTH scales the sums of its gates by D^(-1/2), like its products. */
static Tensor *forgetting_as_path(Tape *tape, Tensor *const in[]) {
    Tensor *scaled = scale(tape, in[GATE], D_SCALE);
    return forgetting_attention(tape, in[Q], in[KEY], in[VALUE], scaled, shape);
}
static Tensor *path_with_gates(Tape *tape, Tensor *const in[]) {
    return path_attention(tape, in[Q], in[KEY], in[VALUE], in[W], in[BETA], in[GATE], shape);
}

static const OpCase of_heads = {.name = "heads",
                                .B = 2,
                                .packed = true,
                                .input = {{.name = "q", .cols = HEADS * D},
                                          {.name = "k", .cols = KV_HEADS * D},
                                          {.name = "v", .cols = KV_HEADS * D},
                                          {.name = "w", .cols = KV_HEADS * D, .low = -0.306, .high = 0.306},
                                          {.name = "beta", .cols = KV_HEADS, .fp32 = true, .low = 1e-3, .high = 2},
                                          {.name = "g", .cols = HEADS, .fp32 = true, .low = -0.5, .high = 0}}};

static void open_gates(OpProblem *problem) { fill_matrix(&problem->in[GATE], 0); }
static void no_beta(OpProblem *problem) { fill_matrix(&problem->in[BETA], 0); }
static void no_direction(OpProblem *problem) { fill_matrix(&problem->in[W], 0); }

enum { RELATIVE = VALUE + 1, C_SUM, C_COUNT, CODED };
enum { CODED_HEADS = 2, CODED_COLS = CODED_HEADS * D, DISTANCES = T + 1 };

static Tensor *attention_to_keys(Tape *tape, Tensor *const in[]) {
    return attention(tape, in[Q], in[KEY], in[VALUE], (AttentionShape){CODED_HEADS, CODED_HEADS, 0});
}
static Tensor *codebook(Tape *tape, Tensor *const in[], Tensor *k, int64_t block, int64_t window) {
    const CodebookAttentionShape coded_shape = {CODED_HEADS, block, window, D_SCALE};
    Tensor *index, *error, *codes;
    nearest_codes(tape, in[CODED], in[C_SUM], in[C_COUNT], CODED_HEADS, &index, &error, &codes);
    return codebook_attention(tape, in[Q], k, in[VALUE], in[RELATIVE], index, codes, coded_shape);
}
static Tensor *window_of_all(Tape *tape, Tensor *const in[]) { return codebook(tape, in, in[KEY], 16, T); }
static Tensor *no_window(Tape *tape, Tensor *const in[]) { return codebook(tape, in, in[CODED], 1, 0); }

static const OpCase of_codes = {
    .name = "codes",
    .B = 1,
    .packed = true,
    .input = {{.name = "q", .cols = CODED_COLS},
              {.name = "k", .cols = CODED_COLS},
              {.name = "v", .cols = CODED_COLS},
              {.name = "relative", .cols = CODED_HEADS * DISTANCES},
              {.name = "c_sum", .rows = CODED_HEADS, .cols = T * D, .parameter = true},
              {.name = "c_count", .rows = CODED_HEADS, .cols = T, .parameter = true, .low = 1, .high = 2},
              {.name = "coded", .cols = CODED_COLS}}};

static void no_positions(OpProblem *problem) { fill_matrix(&problem->in[RELATIVE], 0); }
/* As codes, the keys are constants. Their gradient differs from that of attention, so it is not compared. */
static void codes_of_all_keys(OpProblem *problem) {
    Matrix *in = problem->in;
    no_positions(problem);
    fill_matrix(&in[C_COUNT], 1);
    memcpy(in[CODED].value, in[KEY].value, (size_t)(T * CODED_COLS) * sizeof(double));
    for (int64_t i = 0; i < T * CODED_COLS; i++)
        in[C_SUM].value[i / D % CODED_HEADS * T * D + i / CODED_COLS * D + i % D] = in[KEY].value[i];
}

static void forms_are_attention(void **state) {
    (void)state;
    const Identity of_blocks[] = {
        {"nsa that selects all blocks", selected, grouped, &of_groups, NULL, CPU_F32, 1e-5},
        {"nsa that compresses single tokens", compressed, grouped, &of_groups, NULL, CPU_F32, 1e-5},
        {"two_simplicial, pairs with ones", simplicial, windowed, &of_pairs, ones, CPU_F32, 1e-5},
    };
    const Identity others[] = {
        {"forgetting_transformer, open gates", forgetting, plain, &of_heads, open_gates, ALL, 0},
        {"path_attn without beta", path, plain, &of_heads, no_beta, CPU_F32, 1e-6},
        {"path_attn without directions", path, plain, &of_heads, no_direction, CPU_F32, 1e-6},
        {"path_attn without beta, gates", path_with_gates, forgetting_as_path, &of_heads, no_beta, CPU_F32, 2e-6},
        {"path_attn with open gates", path_with_gates, path, &of_heads, open_gates, ALL, 0},
        {"transformer_vq, a window of all", window_of_all, attention_to_keys, &of_codes, no_positions, CPU_F32, 1e-6},
        {"transformer_vq, codes of all keys", no_window, attention_to_keys, &of_codes, codes_of_all_keys, CPU_F32,
         1e-6},
    };
    expect_identities(of_blocks, sizeof of_blocks / sizeof *of_blocks, T_OF_BLOCKS);
    expect_identities(others, sizeof others / sizeof *others, T);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms_are_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
