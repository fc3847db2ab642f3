#include "kernels/softmax/attention/attention.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/softmax/attention/attention_past.h"
#include "tile/rows.h"

/* The kernels are compiled for a few head sizes. A head uses those for the smallest size that it fits into. */
typedef struct AttentionKernels {
    int64_t head_dim, forward_rows[2], forward_blocks[2]; /* [0]: on the CPU, [1]: on a GPU */
    Kernel forward;
    AttentionGradients gradients;
} AttentionKernels;

#define KERNELS_FOR(head, gates, suffix)                                                                               \
    {                                                                                                                  \
        .head_dim = head, .forward_rows = {ATTENTION_FORWARD_ROWS(0, head), ATTENTION_FORWARD_ROWS(1, head)},          \
        .forward_blocks = {ATTENTION_BLOCKS(0, head), ATTENTION_BLOCKS(1, head)},                                      \
        .forward = KERNEL_attention_forward##suffix##_##head, .gradients = ATTENTION_GRADIENTS(head, gates, suffix)    \
    }
#define KERNELS_FOR_HEADS(gates, suffix)                                                                               \
    {                                                                                                                  \
        KERNELS_FOR(32, gates, suffix), KERNELS_FOR(64, gates, suffix), KERNELS_FOR(128, gates, suffix),               \
            KERNELS_FOR(256, gates, suffix)                                                                            \
    }
enum { HEAD_SIZES = 4 };
static const AttentionKernels attention_kernels[][HEAD_SIZES] = {KERNELS_FOR_HEADS(false, ),
                                                                 KERNELS_FOR_HEADS(true, _gates)};

enum { Q, K, V, G }; /* inputs; G, the log gates, may be NULL */

static const AttentionKernels *kernels_of(const Node *node, int64_t head_dim) {
    const AttentionKernels *kernels = attention_kernels[node->in[G] != NULL];
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= kernels[i].head_dim) return &kernels[i];
    CHECK(false, "attention has no kernel for heads of %lld", (long long)head_dim);
}

static AttentionArguments arguments_of(const Node *node) {
    const AttentionShape *shape = (const AttentionShape *)node->attributes;
    const Tensor *q = node->in[Q], *k = node->in[K], *v = node->in[V], *out = node->out[0];
    const Batch *batch = node->tape->batch;
    const int64_t head_dim = q->cols / shape->heads;
    int32_t *const ranges = node->saved[1]->data;
    const DType type = q->type;
    return (AttentionArguments){
        .q = heads_of(q),
        .k = heads_of(k),
        .v = heads_of(v),
        .out = heads_of(out),
        .dout = heads_of_gradient(out),
        .dq = heads_of_gradient(q),
        .dk = heads_of_gradient(k),
        .dv = heads_of_gradient(v),
        .log_sum_exp = node->saved[0]->data,
        .first_key = ranges,
        .last_query = ranges + q->rows,
        .segment = batch->segment,
        .T = batch->T,
        .head_dim = head_dim,
        .heads = shape->heads,
        .kv_heads = shape->kv_heads,
        .sequences = batch->B,
        .tokens = blocks_of(batch->T, ATTENTION_TOKENS) * ATTENTION_TOKENS,
        .decay_of_head = RUNNING_SUMS(blocks_of(batch->T, ATTENTION_TOKENS)),
        .window = shape->window && shape->window < batch->T ? shape->window : batch->T,
        .scale = 1 / sqrtf((float)head_dim),
        .aligned = heads_aligned(heads_of(q), head_dim, type) && heads_aligned(heads_of(k), head_dim, type) &&
                   heads_aligned(heads_of(v), head_dim, type) && heads_aligned(heads_of_gradient(out), head_dim, type)};
}

/* The size in bytes of fp32 [B, heads, floats]. */
static int64_t bytes_of_heads(const Node *node, const AttentionArguments *a, int64_t floats) {
    return node->tape->batch->B * a->heads * floats * (int64_t)sizeof(float);
}

static void running_sums(Node *node, const AttentionArguments *a, RunningSumsArguments sums) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    const int64_t B = node->tape->batch->B, tiles = a->tokens / ATTENTION_TOKENS * ATTENTION_TILES;
    sums.parts = tape_workspace(node->tape, 2 * bytes_of_heads(node, a, RUNNING_SUM_PARTS));
    sums.T = a->T;
    sums.heads = a->heads;
    sums.tokens = a->tokens;
    sums.sums_of_head = a->decay_of_head;
    const Grid grid = {blocks_of(tiles, RUNNING_SUM_WALKS), blocks_of(a->heads, RUNNING_SUM_HEADS), B};
    device->launch(KERNEL_running_sums_within, type, grid, &sums);
    device->launch(KERNEL_running_sums_before, type, (Grid){a->heads, B, 1}, &sums);
}

/* The running sums of the log gates, in units of scores before scaling; NULL without gates. If `made`, the sums are
 * there already. */
static float *decay_of(Node *node, const AttentionArguments *a, bool made) {
    const Tensor *g = node->in[G];
    if (!g) return NULL;
    float *decay = node_workspace(node, bytes_of_heads(node, a, a->decay_of_head));
    if (!made)
        running_sums(node, a,
                     (RunningSumsArguments){.x = g->data,
                                            .token_stride = g->stride,
                                            .head_stride = 1,
                                            .sequence_stride = a->T * g->stride,
                                            .sums = decay,
                                            .factor = 1 / a->scale});
    return decay;
}

/* Computes the gradient of the log gates from that of their running sums. */
static void gate_gradient(Node *node, const AttentionArguments *a) {
    const Tensor *g = node->in[G];
    float *sums = tape_workspace(node->tape, bytes_of_heads(node, a, a->decay_of_head));
    running_sums(node, a,
                 (RunningSumsArguments){.x = a->gradient_of_query,
                                        .minus = a->gradient_of_key,
                                        .token_stride = 1,
                                        .head_stride = a->tokens,
                                        .sequence_stride = a->heads * a->tokens,
                                        .sums = sums,
                                        .factor = 1});
    const GateGradientArguments arguments = {.sums = sums,
                                             .dg = g->gradient,
                                             .segment = a->segment,
                                             .last_query = a->last_query,
                                             .T = a->T,
                                             .heads = a->heads,
                                             .sums_of_head = a->decay_of_head,
                                             .stride = g->stride};
    const Grid grid = {blocks_of(a->T, 2 * ATTENTION_TOKENS), a->heads, node->tape->batch->B};
    node->tape->device->launch(KERNEL_attention_gate_gradient, node->out[0]->type, grid, &arguments);
}

/* On the CPU: enough programs for many threads. The numbers are fixed, because the number of threads must not change
 * results. */
enum { PROGRAMS_WANTED = 32, MOST_PARTS = 4 };

/* x, clamped to 1 .. most. */
static int64_t at_most(int64_t x, int64_t most) { return x < 1 ? 1 : x > most ? most : x; }

static void forward_with_past(const Node *node) {
    const AttentionShape *shape = (const AttentionShape *)node->attributes;
    const Tensor *q = node->in[Q];
    AttentionPastArguments arguments = {.q = heads_of(q),
                                        .heads = shape->heads,
                                        .kv_heads = shape->kv_heads,
                                        .window = shape->window ? shape->window : INT64_MAX,
                                        .scale = 1 / sqrtf((float)(q->cols / shape->heads)),
                                        .gate_scale = 1};
    attention_past(node, K, V, G, &arguments);
}

static void attention_forward(Node *node) {
    if (attention_past_fits(node)) {
        forward_with_past(node);
        return;
    }
    const Device *device = node->tape->device;
    const Batch *batch = node->tape->batch;
    AttentionArguments arguments = arguments_of(node);
    const AttentionKernels *kernels = kernels_of(node, arguments.head_dim);
    arguments.decay = decay_of(node, &arguments, false);
    const DType type = node->out[0]->type;
    device->launch(KERNEL_attention_ranges, type, (Grid){blocks_of(batch->T, ATTENTION_TOKENS), batch->B, 1},
                   &arguments);
    const int64_t rows = kernels->forward_rows[device->gpu], blocks = blocks_of(batch->T, rows);
    arguments.forward_blocks =
        at_most(blocks * arguments.heads * batch->B / PROGRAMS_WANTED, kernels->forward_blocks[device->gpu]);
    device->launch(kernels->forward, type,
                   (Grid){batch_blocks(batch, rows * arguments.forward_blocks), arguments.heads, batch->B}, &arguments);
}

void attention_gradients(const Node *node, const AttentionGradients *kernels, AttentionArguments *a) {
    Tape *tape = node->tape;
    const Device *device = tape->device;
    const DType type = node->out[0]->type;
    const int64_t most = at_most(blocks_of(a->T, kernels->rows), MOST_PARTS);
    a->parts = device->gpu ? 1 : at_most(PROGRAMS_WANTED / (a->kv_heads * a->sequences), most);
    if (a->decay) {
        a->gradient_of_query = tape_workspace(tape, a->parts * bytes_of_heads(node, a, a->tokens));
        a->gradient_of_key = tape_workspace(tape, bytes_of_heads(node, a, a->tokens));
    }
    if (!device->gpu) {
        a->query_sums = tape_workspace(tape, a->parts * bytes_of_heads(node, a, a->T * a->head_dim));
        device->launch(kernels->all, type, (Grid){a->parts, a->kv_heads, a->sequences}, a);
        device->launch(KERNEL_attention_query_sums, type,
                       (Grid){blocks_of(a->T, ATTENTION_TOKENS), a->heads, a->sequences}, a);
        return;
    }
    if (a->dq.data || a->decay)
        device->launch(kernels->queries, type, (Grid){blocks_of(a->T, kernels->query_rows), a->heads, a->sequences}, a);
    if (a->dk.data || a->dv.data || a->decay)
        device->launch(kernels->keys, type, (Grid){blocks_of(a->T, kernels->key_rows), a->kv_heads, a->sequences}, a);
}

static void attention_backward(Node *node) {
    Tape *tape = node->tape;
    const DType type = node->out[0]->type;
    const int64_t T = tape->batch->T, B = tape->batch->B;
    AttentionArguments arguments = arguments_of(node);
    const AttentionKernels *kernels = kernels_of(node, arguments.head_dim);
    const int64_t delta_blocks = blocks_of(T, ATTENTION_TOKENS);
    arguments.decay = decay_of(node, &arguments, node_keeps(node));
    arguments.row_sums_of_head = 2 * arguments.tokens;
    arguments.row_sums = tape_workspace(tape, bytes_of_heads(node, &arguments, arguments.row_sums_of_head));
    tape->device->launch(KERNEL_attention_delta, type, (Grid){arguments.heads, delta_blocks, B}, &arguments);
    attention_gradients(node, &kernels->gradients, &arguments);
    if (node->in[G] && node->in[G]->gradient) gate_gradient(node, &arguments);
}

/* Counts the products q k^T and p v over the pairs inside the window, as if each sequence were one document. */
static Work attention_work(const Node *node) {
    const AttentionArguments a = arguments_of(node);
    const double T = (double)a.T, window = (double)a.window, tokens = (double)node->out[0]->rows;
    const double pairs = tokens * (window - window * (window - 1) / (2 * T));
    const double columns = (double)(2 * node->out[0]->cols + node->in[K]->cols + node->in[V]->cols);
    const double gates = node->in[G] ? tokens * (double)a.heads * (double)dtype_size(F32) : 0;
    const double sums = node->in[G] ? window * (double)a.heads * (double)dtype_size(F32) : 0; /* of the gates */
    const int64_t wanted = ((const AttentionShape *)node->attributes)->window;
    const int64_t kept = wanted > 0 && wanted <= a.T ? wanted - 1 : a.T;
    const double state = node_history(node, node->in[K], kept) + node_history(node, node->in[V], kept) + sums;
    return (Work){4 * (double)node->out[0]->cols * pairs,
                  tokens * columns * (double)dtype_size(node->out[0]->type) + gates, state};
}

static const Op attention_op = {"attention", false, attention_forward, attention_backward, attention_work};

static Tensor *attend(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *g, AttentionShape shape) {
    CHECK(shape.heads > 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && q->cols % shape.heads == 0,
          "attention of %lld columns in %lld heads, %lld for keys", (long long)q->cols, (long long)shape.heads,
          (long long)shape.kv_heads);
    const int64_t kv_cols = q->cols / shape.heads * shape.kv_heads;
    CHECK(k->cols == kv_cols && v->cols == kv_cols && k->rows == q->rows && v->rows == q->rows && shape.window >= 0,
          "attention of different shapes");
    CHECK(!g || (g->rows == q->rows && g->cols == shape.heads && g->type == F32 && shape.window == 0),
          "attention with gates of another shape, or with a window");
    Node *node = tape_node(tape, &attention_op, (Tensor *[]){q, k, v, g}, 4);
    Tensor *out = node_output(node, q->rows, q->cols, q->type);
    node_save(node, q->rows, shape.heads, F32);
    node_save(node, q->rows, 2, I32);
    *(AttentionShape *)node->attributes = shape;
    node_past(node, 1 << K | 1 << V | 1 << G, 1 << Q, shape.window ? shape.window - 1 : INT64_MAX,
              tape->batch->T < ATTENTION_TOKENS ? PAST_READ : PAST_IN_FRONT);
    node_run(node);
    return out;
}

Tensor *attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, AttentionShape shape) {
    return attend(tape, q, k, v, NULL, shape);
}

Tensor *forgetting_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *g, AttentionShape shape) {
    return attend(tape, q, k, v, g, shape);
}
