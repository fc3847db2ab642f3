#include "kernels/softmax/simplicial_attention/simplicial_attention.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/softmax/simplicial_attention/simplicial_step.h"
#include "tile/rows.h"

/* The kernels are compiled for a few head sizes. A head uses those for the smallest size that it fits into. */
typedef struct SimplicialKernels {
    int64_t head_dim;
    Kernel forward, queries, first_keys, second_keys, gradients; /* on the CPU, gradients replaces the three before */
} SimplicialKernels;

#define KERNELS_FOR(head)                                                                                              \
    {                                                                                                                  \
        head, KERNEL_simplicial_forward_##head, KERNEL_simplicial_queries_##head, KERNEL_simplicial_first_keys_##head, \
            KERNEL_simplicial_second_keys_##head, KERNEL_simplicial_gradients_##head                                   \
    }
static const SimplicialKernels simplicial_kernels[] = {KERNELS_FOR(32), KERNELS_FOR(64), KERNELS_FOR(128)};
enum { HEAD_SIZES = sizeof simplicial_kernels / sizeof simplicial_kernels[0] };

static const SimplicialKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= simplicial_kernels[i].head_dim) return &simplicial_kernels[i];
    CHECK(false, "simplicial_attention has no kernel for heads of %lld", (long long)head_dim);
}

enum { Q, K1, V1, K2, V2, INPUTS };

static SimplicialArguments arguments_of(const Node *node) {
    const SimplicialShape *shape = (const SimplicialShape *)node->attributes;
    const Batch *batch = node->tape->batch;
    Tensor *const *in = node->in;
    const int64_t head_dim = in[Q]->cols / shape->heads;
    const DType type = in[Q]->type;
    return (SimplicialArguments){.q = heads_of(in[Q]),
                                 .k1 = heads_of(in[K1]),
                                 .v1 = heads_of(in[V1]),
                                 .k2 = heads_of(in[K2]),
                                 .v2 = heads_of(in[V2]),
                                 .out = heads_of(node->out[0]),
                                 .dout = heads_of_gradient(node->out[0]),
                                 .dq = heads_of_gradient(in[Q]),
                                 .dk1 = heads_of_gradient(in[K1]),
                                 .dv1 = heads_of_gradient(in[V1]),
                                 .dk2 = heads_of_gradient(in[K2]),
                                 .dv2 = heads_of_gradient(in[V2]),
                                 .log_sum_exp = node->saved[0]->data,
                                 .position = batch->position,
                                 .B = batch->B,
                                 .T = batch->T,
                                 .head_dim = head_dim,
                                 .heads = shape->heads,
                                 .kv_heads = shape->kv_heads,
                                 .window1 = lesser_index(shape->window1, batch->T),
                                 .window2 = lesser_index(shape->window2, batch->T),
                                 .scale = 1 / sqrtf((float)head_dim),
                                 .k2_bias = shape->k2_bias,
                                 .v2_bias = shape->v2_bias,
                                 .aligned = heads_aligned(heads_of(in[K1]), head_dim, type) &&
                                            heads_aligned(heads_of(in[V1]), head_dim, type)};
}

static void one_token(const Node *node) {
    const SimplicialArguments a = arguments_of(node);
    const SimplicialShape *shape = (const SimplicialShape *)node->attributes;
    const Tape *tape = node->tape;
    const SimplicialStepArguments arguments = {.q = a.q,
                                               .k1 = a.k1,
                                               .v1 = a.v1,
                                               .k2 = a.k2,
                                               .v2 = a.v2,
                                               .out = a.out,
                                               .past_k1 = past_rows(node->past[K1]),
                                               .past_v1 = past_rows(node->past[V1]),
                                               .past_k2 = past_rows(node->past[K2]),
                                               .past_v2 = past_rows(node->past[V2]),
                                               .position = a.position,
                                               .tokens = carried_tokens(tape->carried),
                                               .past = node_past_tokens(node),
                                               .head_dim = a.head_dim,
                                               .heads = a.heads,
                                               .kv_heads = a.kv_heads,
                                               .window1 = shape->window1,
                                               .window2 = shape->window2,
                                               .scale = a.scale,
                                               .k2_bias = a.k2_bias,
                                               .v2_bias = a.v2_bias};
    tape->device->launch(KERNEL_simplicial_step, node->out[0]->type, (Grid){tape->batch->B, a.heads, 1}, &arguments);
}

static void simplicial_forward(Node *node) {
    if (attention_past_fits(node)) {
        one_token(node);
        return;
    }
    const SimplicialArguments a = arguments_of(node);
    const Grid grid = {batch_blocks(node->tape->batch, SIMPLICIAL_ROWS), a.heads, node->tape->batch->B};
    node->tape->device->launch(kernels_for(a.head_dim)->forward, node->out[0]->type, grid, &a);
}

static void gradients_on_gpu(const Node *node, const SimplicialArguments *a) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    const SimplicialKernels *kernels = kernels_for(a->head_dim);
    const int64_t blocks = blocks_of(a->T, SIMPLICIAL_ROWS);
    if (a->dq.data) device->launch(kernels->queries, type, (Grid){blocks, a->heads, a->B}, a);
    if (a->dk1.data || a->dv1.data) device->launch(kernels->first_keys, type, (Grid){blocks, a->kv_heads, a->B}, a);
    if (a->dk2.data || a->dv2.data) device->launch(kernels->second_keys, type, (Grid){blocks, a->kv_heads, a->B}, a);
}

/* Enough programs for a CPU with many threads. The numbers are fixed, because the number of threads must not change
 * results. */
enum { PROGRAMS_WANTED = 32, MOST_PARTS = 8 };

static void gradients_on_cpu(const Node *node, SimplicialArguments *a) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    const int64_t rows = a->B * a->T, cols = a->kv_heads * a->head_dim, wanted = PROGRAMS_WANTED / (a->kv_heads * a->B);
    a->parts = wanted < 1 ? 1 : lesser_index(wanted, MOST_PARTS);
    a->partial = tape_workspace(node->tape, 4 * a->parts * rows * cols * (int64_t)sizeof(float));
    device->launch(kernels_for(a->head_dim)->gradients, type, (Grid){a->parts, a->kv_heads, a->B}, a);
    device->launch(KERNEL_simplicial_key_sums, type, (Grid){rows, 4, 1}, a);
}

static void simplicial_backward(Node *node) {
    const Device *device = node->tape->device;
    SimplicialArguments a = arguments_of(node);
    a.delta = tape_workspace(node->tape, a.B * a.heads * a.T * (int64_t)sizeof(float));
    device->launch(KERNEL_simplicial_delta, node->out[0]->type, (Grid){blocks_of(a.T, SIMPLICIAL_ROWS), a.heads, a.B},
                   &a);
    if (device->gpu)
        gradients_on_gpu(node, &a);
    else
        gradients_on_cpu(node, &a);
}

/* How many tokens a query sees in a window on average, if each sequence is one document. */
static double tokens_seen(double T, double window) { return window - window * (window - 1) / (2 * T); }

/* Counts the products (q * k2) k1^T and p v1 for every pair of tokens that a query sees. */
static Work simplicial_work(const Node *node) {
    const SimplicialArguments a = arguments_of(node);
    const Tensor *q = node->in[Q], *k1 = node->in[K1];
    const double T = (double)a.T, tokens = (double)q->rows;
    const double pairs = tokens * tokens_seen(T, (double)a.window1) * tokens_seen(T, (double)a.window2);
    const double columns = 2 * (double)q->cols + 4 * (double)k1->cols;
    double state = 0;
    for (int i = K1; i < INPUTS; i++) state += node_history(node, node->in[i], i < K2 ? a.window1 : a.window2);
    return (Work){4 * (double)q->cols * pairs, tokens * columns * (double)dtype_size(q->type), state};
}

static const Op simplicial_attention_op = {"simplicial_attention", false, simplicial_forward, simplicial_backward,
                                           simplicial_work};

Tensor *simplicial_attention(Tape *tape, SimplicialInputs in, SimplicialShape shape) {
    Tensor *inputs[INPUTS] = {in.q, in.k1, in.v1, in.k2, in.v2};
    CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && in.q->cols % shape.heads == 0,
          "simplicial_attention of %lld columns in %lld heads, %lld for keys", (long long)in.q->cols,
          (long long)shape.heads, (long long)shape.kv_heads);
    CHECK(shape.window1 > 0 && shape.window2 > 0, "simplicial_attention with windows of %lld and %lld",
          (long long)shape.window1, (long long)shape.window2);
    for (int i = K1; i < INPUTS; i++)
        CHECK(inputs[i]->rows == in.q->rows && inputs[i]->cols == in.q->cols / shape.heads * shape.kv_heads,
              "simplicial_attention of different shapes");
    Node *node = tape_node(tape, &simplicial_attention_op, inputs, INPUTS);
    Tensor *out = node_output(node, in.q->rows, in.q->cols, in.q->type);
    node_save(node, in.q->rows, shape.heads, F32);
    *(SimplicialShape *)node->attributes = shape;
    const PastForm form = tape->batch->T == 1 ? PAST_READ : PAST_IN_BLOCKS;
    node_past(node, 1 << K1 | 1 << V1, 1 << Q, shape.window1 - 1, form);
    node_past(node, 1 << K2 | 1 << V2, 1 << Q, shape.window2 - 1, form);
    node_run(node);
    return out;
}
