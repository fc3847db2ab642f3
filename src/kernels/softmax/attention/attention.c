#include "kernels/softmax/attention/attention.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

/* The kernels are compiled for a few head sizes; a head takes the smallest that it fits into. */
typedef struct AttentionKernels {
    int64_t head_dim, forward_rows[2], backward_rows[2]; /* on the CPU, on a GPU */
    Kernel forward, queries, keys;
} AttentionKernels;

#define KERNELS_FOR(head)                                                                                              \
    {                                                                                                                  \
        .head_dim = head, .forward_rows = {ATTENTION_FORWARD_ROWS(0, head), ATTENTION_FORWARD_ROWS(1, head)},          \
        .backward_rows = {ATTENTION_BACKWARD_ROWS(0, head), ATTENTION_BACKWARD_ROWS(1, head)},                         \
        .forward = KERNEL_attention_forward_##head, .queries = KERNEL_attention_queries_##head,                        \
        .keys = KERNEL_attention_keys_##head                                                                           \
    }
static const AttentionKernels attention_kernels[] = {KERNELS_FOR(32), KERNELS_FOR(64), KERNELS_FOR(128),
                                                     KERNELS_FOR(256)};
enum { HEAD_SIZES = sizeof attention_kernels / sizeof attention_kernels[0] };

static const AttentionKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= attention_kernels[i].head_dim) return &attention_kernels[i];
    CHECK(false, "attention has no kernel for heads of %lld", (long long)head_dim);
}

static bool heads_aligned(Heads heads, int64_t head_dim, DType type) {
    const uint64_t bytes = dtype_size(type);
    return ((uintptr_t)heads.data | (uint64_t)heads.stride * bytes | (uint64_t)head_dim * bytes) % 16 == 0;
}

static AttentionArguments arguments_of(const Node *node) {
    const AttentionShape *shape = (const AttentionShape *)node->attributes;
    const Tensor *q = node->in[0], *k = node->in[1], *v = node->in[2], *out = node->out[0];
    const Batch *batch = node->tape->batch;
    const int64_t head_dim = q->cols / shape->heads;
    int32_t *const ranges = node->saved[1]->data;
    const DType type = q->type;
    return (AttentionArguments){
        .q = heads_of(q),
        .k = heads_of(k),
        .v = heads_of(v),
        .out = heads_of(out),
        .out_gradient = heads_of_gradient(out),
        .q_gradient = heads_of_gradient(q),
        .k_gradient = heads_of_gradient(k),
        .v_gradient = heads_of_gradient(v),
        .log_sum_exp = node->saved[0]->data,
        .first_key = ranges,
        .last_query = ranges + q->rows,
        .segment = batch->segment,
        .T = batch->T,
        .head_dim = head_dim,
        .heads = shape->heads,
        .kv_heads = shape->kv_heads,
        .window = shape->window && shape->window < batch->T ? shape->window : batch->T,
        .scale = 1 / sqrtf((float)head_dim),
        .aligned = heads_aligned(heads_of(q), head_dim, type) && heads_aligned(heads_of(k), head_dim, type) &&
                   heads_aligned(heads_of(v), head_dim, type) && heads_aligned(heads_of_gradient(out), head_dim, type)};
}

static void attention_forward(Node *node) {
    const Device *device = node->tape->device;
    const Batch *batch = node->tape->batch;
    const AttentionArguments arguments = arguments_of(node);
    const AttentionKernels *kernels = kernels_for(arguments.head_dim);
    const DType type = node->out[0]->type;
    device->launch(KERNEL_attention_ranges, type, (Grid){blocks_of(batch->T, ATTENTION_TOKENS), batch->B, 1},
                   &arguments);
    device->launch(kernels->forward, type,
                   (Grid){blocks_of(batch->T, kernels->forward_rows[device->gpu]), arguments.heads, batch->B},
                   &arguments);
}

static void attention_backward(Node *node) {
    Tape *tape = node->tape;
    const DType type = node->out[0]->type;
    const int64_t T = tape->batch->T, B = tape->batch->B;
    AttentionArguments arguments = arguments_of(node);
    const AttentionKernels *kernels = kernels_for(arguments.head_dim);
    const int64_t blocks = blocks_of(T, kernels->backward_rows[tape->device->gpu]);
    const int64_t delta_blocks = blocks_of(T, ATTENTION_TOKENS);
    arguments.row_sums_of_head = 2 * delta_blocks * ATTENTION_TOKENS;
    arguments.row_sums =
        tape_workspace(tape, B * arguments.heads * arguments.row_sums_of_head * (int64_t)sizeof(float));
    tape->device->launch(KERNEL_attention_delta, type, (Grid){arguments.heads, delta_blocks, B}, &arguments);
    if (arguments.q_gradient.data)
        tape->device->launch(kernels->queries, type, (Grid){blocks, arguments.heads, B}, &arguments);
    if (arguments.k_gradient.data || arguments.v_gradient.data)
        tape->device->launch(kernels->keys, type, (Grid){blocks, arguments.kv_heads, B}, &arguments);
}

/* The products q k^T and p v over the pairs inside the window; documents are not looked at. */
static Work attention_work(const Node *node) {
    const AttentionArguments a = arguments_of(node);
    const double T = (double)a.T, window = (double)a.window, tokens = (double)node->out[0]->rows;
    const double pairs = tokens * (window - window * (window - 1) / (2 * T));
    const double columns = (double)(2 * node->out[0]->cols + node->in[1]->cols + node->in[2]->cols);
    return (Work){4 * (double)node->out[0]->cols * pairs, tokens * columns * (double)dtype_size(node->out[0]->type)};
}

static const Op attention_op = {"attention", false, attention_forward, attention_backward, attention_work};

Tensor *attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, AttentionShape shape) {
    CHECK(shape.heads > 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && q->cols % shape.heads == 0,
          "attention of %lld columns in %lld heads, %lld for keys", (long long)q->cols, (long long)shape.heads,
          (long long)shape.kv_heads);
    const int64_t kv_cols = q->cols / shape.heads * shape.kv_heads;
    CHECK(k->cols == kv_cols && v->cols == kv_cols && k->rows == q->rows && v->rows == q->rows && shape.window >= 0,
          "attention of different shapes");
    Node *node = tape_node(tape, &attention_op, (Tensor *[]){q, k, v}, 3);
    Tensor *out = node_output(node, q->rows, q->cols, q->type);
    node_save(node, q->rows, shape.heads, F32);
    node_save(node, 2, q->rows, I32);
    *(AttentionShape *)node->attributes = shape;
    node_run(node);
    return out;
}
