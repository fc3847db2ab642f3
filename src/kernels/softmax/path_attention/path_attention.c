#include "kernels/softmax/path_attention/path_attention.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/basic/cast/cast.h"
#include "kernels/softmax/attention/attention.h"
#include "kernels/softmax/attention/attention_past.h"
#include "kernels/softmax/path_attention/path_attention_step.h"
#include "tile/rows.h"

enum { Q, KEY, VALUE, W, BETA, FORGET, INPUTS };
enum { LOG_SUM_EXP, RANGES };

/* Backward stores the queries between blocks, and their gradients, for pairs of blocks. It takes the blocks of queries
 * in rounds, so that each of these two takes at most about this many times the memory of q. */
enum { PASSING_COPIES = 16 };

/* The walks are compiled for a few head sizes. A head uses those for the smallest size that it fits into. */
typedef struct PathKernels {
    int64_t head_dim;
    Kernel forward, carry, queries, keys, turns;
} PathKernels;

#define KERNELS_FOR(head)                                                                                              \
    {                                                                                                                  \
        head, KERNEL_path_attention_forward_##head, KERNEL_path_attention_carry_##head,                                \
            KERNEL_path_attention_queries_##head, KERNEL_path_attention_keys_##head,                                   \
            KERNEL_path_attention_turns_##head                                                                         \
    }
static const PathKernels path_kernels[] = {KERNELS_FOR(32), KERNELS_FOR(64), KERNELS_FOR(128)};
enum { HEAD_SIZES = sizeof path_kernels / sizeof path_kernels[0] };

static const PathKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= path_kernels[i].head_dim) return &path_kernels[i];
    CHECK(false, "path_attention has no kernel for heads of %lld", (long long)head_dim);
}

/* Workspace for a matrix [rows, cols] of elements, and for `count` numbers in fp32. */
static Heads matrix_kept(Node *node, int64_t rows, int64_t cols) {
    return (Heads){node_workspace(node, rows * cols * dtype_size(node->in[Q]->type)), cols};
}
static float *numbers(const Node *node, int64_t count) { return tape_workspace(node->tape, count * dtype_size(F32)); }

/* The inputs, and memory for what path_attention_prepare computes from them. */
static PathAttentionArguments arguments_of(Node *node) {
    const AttentionShape shape = *(const AttentionShape *)node->attributes;
    const Tensor *q = node->in[Q], *k = node->in[KEY], *beta = node->in[BETA], *forget = node->in[FORGET];
    const Batch *batch = node->tape->batch;
    int32_t *const ranges = node->saved[RANGES]->data;
    const int64_t head_dim = q->cols / shape.heads, blocks = blocks_of(batch->T, CHUNK_ROWS), N = q->rows;
    PathAttentionArguments arguments = {.q = heads_of(q),
                                        .out = heads_of(node->out[0]),
                                        .k = heads_of(k),
                                        .v = heads_of(node->in[VALUE]),
                                        .w = heads_of(node->in[W]),
                                        .beta = beta->data,
                                        .forget = forget ? forget->data : NULL,
                                        .first_key = ranges,
                                        .last_query = ranges + N,
                                        .log_sum_exp = node->saved[LOG_SUM_EXP]->data,
                                        .beta_stride = beta->stride,
                                        .forget_stride = forget ? forget->stride : 0,
                                        .sums_stride = k->cols,
                                        .T = batch->T,
                                        .blocks = blocks,
                                        .heads = shape.heads,
                                        .kv_heads = shape.kv_heads,
                                        .head_dim = head_dim,
                                        .scale = 1 / sqrtf((float)head_dim)};
    const int64_t of_heads = batch->B * blocks * shape.heads, of_kv_heads = batch->B * blocks * shape.kv_heads;
    const int64_t square = CHUNK_ROWS * CHUNK_ROWS;
    arguments.turned_q = matrix_kept(node, N, q->cols);
    arguments.turned_k = matrix_kept(node, N, k->cols);
    arguments.turn = matrix_kept(node, N, k->cols);
    arguments.inverse = node_workspace(node, of_kv_heads * square * dtype_size(q->type));
    arguments.between = node_workspace(node, of_kv_heads * square * dtype_size(q->type));
    arguments.logits = node_workspace(node, of_heads * square * dtype_size(F32));
    if (forget) arguments.gates = node_workspace(node, of_heads * 2 * CHUNK_ROWS * dtype_size(F32));
    return arguments;
}

static void prepare(Node *node, const PathAttentionArguments *arguments) {
    const Batch *batch = node->tape->batch;
    node->tape->device->launch(KERNEL_path_attention_prepare, node->in[Q]->type,
                               (Grid){arguments->blocks, batch->B * arguments->kv_heads, 1}, arguments);
}

static void one_token(const Node *node) {
    const AttentionShape shape = *(const AttentionShape *)node->attributes;
    const Tape *tape = node->tape;
    const Tensor *q = node->in[Q], *beta = node->in[BETA];
    const CarriedRows *kept = node->past[KEY];
    const int64_t head_dim = q->cols / shape.heads, tokens = carried_tokens(tape->carried);
    const PathAttentionStepArguments step = {.k = heads_of(node->in[KEY]),
                                             .w = heads_of(node->in[W]),
                                             .beta = beta->data,
                                             .kept = (float *)kept->data,
                                             .capacity = kept->capacity,
                                             .tokens = tokens,
                                             .beta_stride = beta->stride,
                                             .kv_heads = shape.kv_heads,
                                             .head_dim = head_dim};
    const Grid grid = {blocks_of(tokens + 1, STEP_KEYS), shape.kv_heads, tape->batch->B};
    tape->device->launch(KERNEL_path_attention_step, q->type, grid, &step);
    const float scale = 1 / sqrtf((float)head_dim);
    AttentionPastArguments arguments = {.q = heads_of(q),
                                        .keys_in_ring = true,
                                        .heads = shape.heads,
                                        .kv_heads = shape.kv_heads,
                                        .window = INT64_MAX,
                                        .scale = scale,
                                        .gate_scale = scale};
    attention_past(node, KEY, VALUE, FORGET, &arguments);
}

/* Fills the past rows of k with the kept keys. Those of w and beta are 0. */
static void take_kept_keys(const Node *node) {
    const Tape *tape = node->tape;
    const Tensor *k = node->in[KEY];
    const CarriedRows *kept = node->past[KEY];
    const int64_t past = tape->batch->past, count = past * k->cols;
    for (int64_t b = 0; b < tape->batch->B; b++) {
        const CastArguments arguments = {.from = (const float *)(kept->data + b * kept->capacity * kept->row_bytes),
                                         .to = (char *)k->data +
                                               b * tape->batch->T * k->stride * (int64_t)dtype_size(k->type),
                                         .count = count};
        tape->device->launch(KERNEL_cast, k->type, (Grid){blocks_of(count, CAST_BLOCK), 1, 1}, &arguments);
    }
}

static void keep_keys(const Node *node, PathAttentionArguments *arguments) {
    const CarriedRows *kept = node->past[KEY];
    arguments->kept = (float *)kept->data;
    arguments->kept_capacity = kept->capacity;
    arguments->past = node->tape->batch->past;
    node->tape->device->launch(kernels_for(arguments->head_dim)->carry, node->in[Q]->type,
                               (Grid){arguments->blocks, arguments->kv_heads, node->tape->batch->B}, arguments);
}

static void path_attention_forward(Node *node) {
    if (attention_past_fits(node)) {
        one_token(node);
        return;
    }
    if (node->tape->batch->past > 0) take_kept_keys(node);
    const Device *device = node->tape->device;
    const Batch *batch = node->tape->batch;
    const DType type = node->in[Q]->type;
    int32_t *const ranges = node->saved[RANGES]->data;
    const AttentionArguments documents = {.first_key = ranges,
                                          .last_query = ranges + node->in[Q]->rows,
                                          .segment = batch->segment,
                                          .T = batch->T,
                                          .window = batch->T};
    device->launch(KERNEL_attention_ranges, type, (Grid){blocks_of(batch->T, ATTENTION_TOKENS), batch->B, 1},
                   &documents);
    PathAttentionArguments arguments = arguments_of(node);
    prepare(node, &arguments);
    device->launch(kernels_for(arguments.head_dim)->forward, type,
                   (Grid){batch_blocks(batch, CHUNK_ROWS), arguments.heads, batch->B}, &arguments);
    if (node->past[KEY]) keep_keys(node, &arguments);
}

/* The number of blocks of queries in the round that ends before block `end`. */
static int64_t round_blocks(const PathAttentionArguments *arguments, int64_t end) {
    const int64_t keys = end - 1;
    if (keys == 0) return end;
    const int64_t most = PASSING_COPIES * arguments->blocks / keys;
    return most < 1 ? 1 : most < end ? most : end;
}

/* The number of pairs of blocks in the largest round. */
static int64_t most_pairs(const PathAttentionArguments *arguments) {
    int64_t most = 1;
    for (int64_t end = arguments->blocks; end > 0; end -= round_blocks(arguments, end)) {
        const int64_t pairs = round_blocks(arguments, end) * (end - 1);
        if (pairs > most) most = pairs;
    }
    return most;
}

/* Memory for what backward's kernels pass to each other. Sums of gradients start at 0. */
static void backward_memory(const Node *node, PathAttentionArguments *arguments) {
    Tape *tape = node->tape;
    const int64_t N = node->in[Q]->rows, kv_cols = node->in[KEY]->cols, heads = arguments->heads;
    const int64_t size = dtype_size(node->in[Q]->type), sequences = tape->batch->B * heads;
    const int64_t pairs = sequences * most_pairs(arguments), pair_size = CHUNK_ROWS * arguments->head_dim;
    arguments->delta = numbers(node, N * heads);
    arguments->dbetween =
        numbers(node, tape->batch->B * arguments->blocks * arguments->kv_heads * CHUNK_ROWS * CHUNK_ROWS);
    arguments->dturned_q = (Heads){tape_workspace(tape, N * node->in[Q]->cols * size), node->in[Q]->cols};
    arguments->passing = tape_workspace(tape, pairs * pair_size * size);
    arguments->dpassing = tape_workspace(tape, pairs * pair_size * size);
    if (arguments->forget) arguments->passed = numbers(node, pairs);
    const int64_t of_keys = N * kv_cols, of_tokens = arguments->dforget ? N * heads : 0;
    float *sums = numbers(node, 5 * of_keys + of_tokens);
    tape->device->fill(sums, 0, 1, (5 * of_keys + of_tokens) * dtype_size(F32), 0);
    arguments->k_sums = sums;
    arguments->turned_k_sums = sums + of_keys;
    arguments->turn_sums = sums + 2 * of_keys;
    arguments->v_sums = sums + 3 * of_keys;
    arguments->w_sums = sums + 4 * of_keys;
    if (of_tokens) arguments->forget_sums = sums + 5 * of_keys;
}

static void path_attention_backward(Node *node) {
    const Device *device = node->tape->device;
    const int64_t B = node->tape->batch->B;
    const DType type = node->in[Q]->type;
    PathAttentionArguments arguments = arguments_of(node);
    arguments.dout = heads_of_gradient(node->out[0]);
    arguments.dq = heads_of_gradient(node->in[Q]);
    arguments.dk = heads_of_gradient(node->in[KEY]);
    arguments.dv = heads_of_gradient(node->in[VALUE]);
    arguments.dw = heads_of_gradient(node->in[W]);
    arguments.dbeta = node->in[BETA]->gradient;
    arguments.dforget = node->in[FORGET] ? node->in[FORGET]->gradient : NULL;
    backward_memory(node, &arguments);
    if (!node_keeps(node)) prepare(node, &arguments);

    const PathKernels *kernels = kernels_for(arguments.head_dim);
    for (int64_t end = arguments.blocks; end > 0; end -= arguments.query_blocks) {
        arguments.query_blocks = round_blocks(&arguments, end);
        arguments.first_query_block = end - arguments.query_blocks;
        arguments.key_blocks = end - 1;
        device->launch(kernels->queries, type, (Grid){arguments.query_blocks, arguments.heads, B}, &arguments);
        if (arguments.key_blocks == 0) continue;
        const Grid by_keys = {arguments.key_blocks, arguments.kv_heads, B};
        device->launch(kernels->keys, type, by_keys, &arguments);
        device->launch(kernels->turns, type, by_keys, &arguments);
    }
    const Grid by_block = {arguments.blocks, B * arguments.kv_heads, 1};
    device->launch(KERNEL_path_attention_inside, type, by_block, &arguments);
    device->launch(KERNEL_path_attention_finish, type, by_block, &arguments);
    if (arguments.dforget)
        device->launch(KERNEL_path_attention_forget, type, (Grid){arguments.heads, B, 1}, &arguments);
}

/* Counts four products over the pairs, as if each sequence were one document: q k^T, p v, and the two by which a query
 * passes a key. The state: a kept key is multiplied by the H_t of each new token, so w and beta of past tokens are not
 * kept. Kept keys are fp32. */
static Work path_attention_work(const Node *node) {
    const double T = (double)node->tape->batch->T, tokens = (double)node->out[0]->rows;
    const double pairs = tokens * (T + 1) / 2;
    const double columns = (double)(2 * node->out[0]->cols + 3 * node->in[KEY]->cols);
    const double sums = node->in[FORGET] ? T * (double)node->in[FORGET]->cols * (double)dtype_size(F32) : 0;
    const int64_t all = node->tape->batch->T;
    const double keys = T * (double)node->in[KEY]->cols * (double)dtype_size(F32);
    const double state = keys + node_history(node, node->in[VALUE], all) + sums;
    return (Work){8 * (double)node->out[0]->cols * pairs, tokens * columns * (double)dtype_size(node->out[0]->type),
                  state};
}

static const Op path_attention_op = {"path_attention", false, path_attention_forward, path_attention_backward,
                                     path_attention_work};

Tensor *path_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *w, Tensor *beta, Tensor *forget,
                       AttentionShape shape) {
    CHECK(shape.heads > 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && q->cols % shape.heads == 0,
          "path_attention of %lld columns in %lld heads, %lld for keys", (long long)q->cols, (long long)shape.heads,
          (long long)shape.kv_heads);
    CHECK(shape.window == 0, "path_attention has no window");
    Tensor *const in[INPUTS] = {q, k, v, w, beta, forget};
    for (int i = KEY; i <= W; i++)
        CHECK(in[i]->rows == q->rows && in[i]->cols == q->cols / shape.heads * shape.kv_heads && in[i]->type == q->type,
              "path_attention of different shapes");
    CHECK(beta->rows == q->rows && beta->cols == shape.kv_heads && beta->type == F32,
          "path_attention: beta is not fp32 [N, kv_heads]");
    CHECK(!forget || (forget->rows == q->rows && forget->cols == shape.heads && forget->type == F32),
          "path_attention: forget is not fp32 [N, heads]");
    Node *node = tape_node(tape, &path_attention_op, in, INPUTS);
    Tensor *out = node_output(node, q->rows, q->cols, q->type);
    node_save(node, q->rows, shape.heads, F32);
    node_save(node, q->rows, 2, I32);
    *(AttentionShape *)node->attributes = shape;
    node_rows(node, KEY, k->cols * dtype_size(F32));
    node_past(node, 1 << VALUE | 1 << FORGET, 1 << Q | 1 << KEY | 1 << W | 1 << BETA, INT64_MAX,
              tape->batch->T == 1 ? PAST_READ : PAST_IN_FRONT);
    node_run(node);
    return out;
}
