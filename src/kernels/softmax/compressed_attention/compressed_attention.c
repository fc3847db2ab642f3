#include "kernels/softmax/compressed_attention/compressed_attention.h"

#include "base/check.h"
#include "kernels/ops.h"

/* The kernels are compiled for a few head sizes. A head uses those for the smallest size that it fits into. */
typedef struct CompressedKernels {
    int64_t head_dim;
    Kernel forward, select, queries, keys, gradients; /* gradients: on the CPU, in place of queries and keys */
} CompressedKernels;

#define KERNELS_FOR(head)                                                                                              \
    {                                                                                                                  \
        head, KERNEL_compressed_forward_##head, KERNEL_compressed_select_##head, KERNEL_compressed_queries_##head,     \
            KERNEL_compressed_keys_##head, KERNEL_compressed_gradients_##head                                          \
    }
static const CompressedKernels compressed_kernels[] = {KERNELS_FOR(32), KERNELS_FOR(64), KERNELS_FOR(128)};
enum { HEAD_SIZES = sizeof compressed_kernels / sizeof compressed_kernels[0] };

static const CompressedKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= compressed_kernels[i].head_dim) return &compressed_kernels[i];
    CHECK(false, "compressed_attention has no kernel for heads of %lld", (long long)head_dim);
}

static CompressedArguments arguments_of(const Node *node) {
    const BlockAttentionShape *shape = (const BlockAttentionShape *)node->attributes;
    const Batch *batch = node->tape->batch;
    return (CompressedArguments){.grouped = grouped_arguments(node, shape->heads, shape->kv_heads),
                                 .selected = node->out[1]->data,
                                 .rows = node->in[1]->rows / batch->B,
                                 .block = shape->block,
                                 .count = shape->count,
                                 .words = node->out[1]->cols / shape->kv_heads,
                                 .B = batch->B};
}

static Grid grid_of_rows(const Node *node, const CompressedArguments *a) {
    const GroupedArguments *g = &a->grouped;
    return (Grid){blocks_of(g->T * g->group, GROUPED_ROWS(node->tape->device->gpu)), g->kv_heads, a->B};
}

static void compressed_forward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    CompressedArguments a = arguments_of(node);
    const GroupedArguments *g = &a.grouped;
    const CompressedKernels *kernels = kernels_for(g->head_dim);
    a.importance = tape_workspace(node->tape, a.B * g->kv_heads * g->T * a.rows * (int64_t)sizeof(float));
    device->launch(kernels->forward, type, grid_of_rows(node, &a), &a);
    device->launch(kernels->select, type, (Grid){blocks_of(g->T, SELECT_TOKENS), g->kv_heads, a.B}, &a);
}

static void gradients_by_kernels(const Node *node, const CompressedArguments *a) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    const GroupedArguments *g = &a->grouped;
    const CompressedKernels *kernels = kernels_for(g->head_dim);
    if (!device->gpu) {
        device->launch(kernels->gradients, type, (Grid){a->parts, g->kv_heads, a->B}, a);
        return;
    }
    if (g->dq.data) device->launch(kernels->queries, type, grid_of_rows(node, a), a);
    if (g->dk.data || g->dv.data)
        device->launch(kernels->keys, type, (Grid){blocks_of(a->rows, COMPRESSED_KEYS), g->kv_heads, a->B * a->parts},
                       a);
}

static void compressed_backward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    CompressedArguments a = arguments_of(node);
    GroupedArguments *g = &a.grouped;
    const int64_t rows = a.B * a.rows, cols = g->kv_heads * g->head_dim;
    a.parts = device->gpu ? blocks_of(g->T, COMPRESSED_PART) : grouped_parts(node, g);
    g->delta = tape_workspace(node->tape, a.B * g->kv_heads * g->T * g->group * (int64_t)sizeof(float));
    a.partial = tape_workspace(node->tape, 2 * a.parts * rows * cols * (int64_t)sizeof(float));
    device->launch(KERNEL_compressed_delta, type, (Grid){blocks_of(g->T, GROUPED_DELTA_TOKENS), g->kv_heads, a.B}, &a);
    gradients_by_kernels(node, &a);
    if (g->dk.data || g->dv.data) device->launch(KERNEL_compressed_sum, type, (Grid){rows, 2, 1}, &a);
}

/* Counts the products q k^T, p v and, for the importance, q k^T again, as if each sequence were one document. The
 * state: later tokens see the means of whole blocks. */
static Work compressed_work(const Node *node) {
    const Tensor *q = node->in[0], *k = node->in[1];
    const int64_t T = node->tape->batch->T, block = ((const BlockAttentionShape *)node->attributes)->block;
    const double pairs = (double)q->rows * (double)block_rows(T, block) / 2;
    const double entries = 2 * (double)q->rows * (double)q->cols + 2 * (double)k->rows * (double)k->cols;
    const double state = node_history(node, node->in[1], T / block) + node_history(node, node->in[2], T / block);
    return (Work){6 * (double)q->cols * pairs, entries * (double)dtype_size(q->type), state};
}

static const Op compressed_attention_op = {"compressed_attention", false, compressed_forward, compressed_backward,
                                           compressed_work};

Tensor *compressed_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, BlockAttentionShape shape,
                             Tensor **selected) {
    const Batch *batch = tape->batch;
    CHECK(shape.kv_heads > 0 && shape.heads % (shape.kv_heads * ROWS_OF_TOKEN) == 0 && q->cols % shape.heads == 0,
          "compressed_attention of %lld columns in %lld heads, %lld for keys", (long long)q->cols,
          (long long)shape.heads, (long long)shape.kv_heads);
    CHECK(shape.block > 0 && shape.count >= FORCED_BLOCKS, "%lld blocks of %lld tokens", (long long)shape.count,
          (long long)shape.block);
    const int64_t cols = q->cols / shape.heads * shape.kv_heads,
                  rows = batch->B * block_rows(tape_tokens_limit(tape), shape.block);
    CHECK(k->cols == cols && v->cols == cols && k->rows == rows && v->rows == rows,
          "compressed_attention of different shapes");
    Node *node = tape_node(tape, &compressed_attention_op, (Tensor *[]){q, k, v}, 3);
    Tensor *out = node_output(node, q->rows, q->cols, q->type);
    *selected = node_output(node, q->rows, shape.kv_heads * words_of_blocks(tape_tokens(tape), shape.block), I32);
    node_save(node, q->rows, shape.heads, F32);
    *(BlockAttentionShape *)node->attributes = shape;
    node_run(node);
    return out;
}
