#include "kernels/softmax/selected_attention/selected_attention.h"

#include "base/check.h"
#include "kernels/ops.h"

/* The kernels are compiled for a few head sizes. A head uses those for the smallest size that it fits into. */
typedef struct SelectedKernels {
    int64_t head_dim;
    Kernel forward, queries, keys, gradients; /* gradients: on the CPU, in place of queries and keys */
} SelectedKernels;

#define KERNELS_FOR(head)                                                                                              \
    {                                                                                                                  \
        head, KERNEL_selected_forward_##head, KERNEL_selected_queries_##head, KERNEL_selected_keys_##head,             \
            KERNEL_selected_gradients_##head                                                                           \
    }
static const SelectedKernels selected_kernels[] = {KERNELS_FOR(32), KERNELS_FOR(64), KERNELS_FOR(128)};
enum { HEAD_SIZES = sizeof selected_kernels / sizeof selected_kernels[0] };

static const SelectedKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= selected_kernels[i].head_dim) return &selected_kernels[i];
    CHECK(false, "selected_attention has no kernel for heads of %lld", (long long)head_dim);
}

static SelectedArguments arguments_of(const Node *node) {
    const BlockAttentionShape *shape = (const BlockAttentionShape *)node->attributes;
    const Tensor k = node_joined(node, 1);
    return (SelectedArguments){.grouped = grouped_arguments(node, shape->heads, shape->kv_heads),
                               .selected = node->in[3]->data,
                               .block = shape->block,
                               .words = node->in[3]->cols / shape->kv_heads,
                               .B = node->tape->batch->B,
                               .rows = k.rows / node->tape->batch->B};
}

static Grid grid_of_rows(const Node *node, const SelectedArguments *a) {
    const GroupedArguments *g = &a->grouped;
    return (Grid){blocks_of(g->T * g->group, GROUPED_ROWS(node->tape->device->gpu)), g->kv_heads, a->B};
}

static void selected_forward(Node *node) {
    const SelectedArguments a = arguments_of(node);
    node->tape->device->launch(kernels_for(a.grouped.head_dim)->forward, node->out[0]->type, grid_of_rows(node, &a),
                               &a);
}

static void gradients_on_cpu(const Node *node, SelectedArguments *a) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    const GroupedArguments *g = &a->grouped;
    const int64_t rows = a->B * a->rows, cols = g->kv_heads * g->head_dim;
    a->parts = grouped_parts(node, g);
    a->partial = tape_workspace(node->tape, 2 * a->parts * rows * cols * (int64_t)sizeof(float));
    device->launch(kernels_for(g->head_dim)->gradients, type, (Grid){a->parts, g->kv_heads, a->B}, a);
    device->launch(KERNEL_selected_key_sums, type, (Grid){rows, 2, 1}, a);
}

static void gradients_on_gpu(const Node *node, SelectedArguments *a) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    const GroupedArguments *g = &a->grouped;
    const SelectedKernels *kernels = kernels_for(g->head_dim);
    const int64_t tiles = blocks_of(g->T, SELECTED_KEYS), words = blocks_of(g->T, BITS_OF_WORD);
    a->queries = tape_workspace(node->tape, a->B * g->kv_heads * tiles * words * (int64_t)sizeof(uint32_t));
    if (g->dq.data) device->launch(kernels->queries, type, grid_of_rows(node, a), a);
    if (!g->dk.data && !g->dv.data) return;
    device->launch(KERNEL_selected_queries_of_keys, type,
                   (Grid){tiles * blocks_of(words, SELECTED_WORDS), g->kv_heads, a->B}, a);
    device->launch(kernels->keys, type, (Grid){tiles, g->kv_heads, a->B}, a);
}

static void selected_backward(Node *node) {
    const Device *device = node->tape->device;
    SelectedArguments a = arguments_of(node);
    GroupedArguments *g = &a.grouped;
    g->delta = tape_workspace(node->tape, a.B * g->kv_heads * g->T * g->group * (int64_t)sizeof(float));
    device->launch(KERNEL_selected_delta, node->out[0]->type,
                   (Grid){blocks_of(g->T, GROUPED_DELTA_TOKENS), g->kv_heads, a.B}, &a);
    if (device->gpu)
        gradients_on_gpu(node, &a);
    else
        gradients_on_cpu(node, &a);
}

/* Counts the products q k^T and p v over the pairs of a query and a key that it can select, as if each sequence were
 * one document. */
static Work selected_work(const Node *node) {
    const BlockAttentionShape *shape = (const BlockAttentionShape *)node->attributes;
    const Tensor *q = node->in[0], *k = node->in[1];
    const double T = (double)node->tape->batch->T, all = (double)(shape->block * shape->count);
    const double most = all < T ? all : T, pairs = (double)q->rows * (most - most * (most - 1) / (2 * T));
    const double entries = 2 * (double)q->rows * (double)q->cols + 2 * (double)k->rows * (double)k->cols;
    const int64_t tokens = node->tape->batch->T; /* any block may be selected */
    const double state = node_history(node, node->in[1], tokens) + node_history(node, node->in[2], tokens);
    return (Work){4 * (double)q->cols * pairs, entries * (double)dtype_size(q->type), state};
}

static const Op selected_attention_op = {"selected_attention", false, selected_forward, selected_backward,
                                         selected_work};

Tensor *selected_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *selected, BlockAttentionShape shape) {
    CHECK(shape.kv_heads > 0 && shape.heads % (shape.kv_heads * ROWS_OF_TOKEN) == 0 && q->cols % shape.heads == 0,
          "selected_attention of %lld columns in %lld heads, %lld for keys", (long long)q->cols, (long long)shape.heads,
          (long long)shape.kv_heads);
    const int64_t cols = q->cols / shape.heads * shape.kv_heads;
    CHECK(k->cols == cols && v->cols == cols && k->rows == q->rows && v->rows == q->rows && selected->rows == q->rows &&
              selected->cols == shape.kv_heads * words_of_blocks(tape_tokens(tape), shape.block),
          "selected_attention of different shapes");
    Node *node = tape_node(tape, &selected_attention_op, (Tensor *[]){q, k, v, selected}, 4);
    Tensor *out = node_output(node, q->rows, q->cols, q->type);
    node_save(node, q->rows, shape.heads, F32);
    *(BlockAttentionShape *)node->attributes = shape;
    node_past(node, 1 << 1 | 1 << 2, 0, INT64_MAX, PAST_JOINED);
    node_run(node);
    return out;
}
