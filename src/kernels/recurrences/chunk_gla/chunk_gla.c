#include "kernels/recurrences/chunk_gla/chunk_gla.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

enum { Q, KEY, VALUE, GATE, INITIAL, INPUTS };

/* The arguments that forward and backward have in common: the inputs, and memory for the states and products. */
static ChunkGlaArguments arguments_of(Node *node) {
    const ChunkGlaShape shape = *(const ChunkGlaShape *)node->attributes;
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *g = node->in[GATE];
    const Tensor *initial = node->in[INITIAL];
    const Batch *batch = node->tape->batch;
    const int64_t K = k->cols / shape.kv_heads, V = v->cols / shape.kv_heads;
    ChunkGlaArguments arguments = {.q = heads_of(q),
                                   .k = heads_of(k),
                                   .v = heads_of(v),
                                   .g = heads_of(g),
                                   .segment = batch->segment,
                                   .initial = initial ? initial->data : NULL,
                                   .initial_stride = initial ? initial->stride : 0,
                                   .T = batch->T,
                                   .chunks = blocks_of(batch->T, CHUNK_ROWS),
                                   .heads = shape.heads,
                                   .kv_heads = shape.kv_heads,
                                   .K = K,
                                   .V = V,
                                   .scale = chunk_gla_scale(shape.scale, K)};
    const int64_t bytes = dtype_size(q->type), chunks = batch->B * arguments.chunks, N = batch->B * batch->T;
    arguments.q_decayed = (Heads){node_workspace(node, N * shape.heads * K * bytes), shape.heads * K};
    arguments.k_decayed = (Heads){node_workspace(node, N * shape.kv_heads * K * bytes), shape.kv_heads * K};
    arguments.decay = node_workspace(node, chunks * shape.kv_heads * K * dtype_size(F32));
    arguments.state = node_workspace(node, chunks * shape.kv_heads * K * V * bytes);
    arguments.products = node_workspace(node, chunks * shape.heads * CHUNK_ROWS * CHUNK_ROWS * bytes);
    return arguments;
}

/* Computes the products A, the decayed q and k, and the states before each chunk. */
static void launch_products_and_states(const Node *node, const ChunkGlaArguments *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    const int64_t B = node->tape->batch->B;
    device->launch(KERNEL_chunk_gla_products, type, (Grid){arguments->chunks, B * arguments->heads, 1}, arguments);
    device->launch(KERNEL_chunk_gla_state, type, chunk_gla_grid_of_states(B, arguments), arguments);
}

static void one_token(const Node *node) {
    const ChunkGlaShape shape = *(const ChunkGlaShape *)node->attributes;
    const Tensor *k = node->in[KEY], *v = node->in[VALUE], *g = node->in[GATE];
    const int64_t K = k->cols / shape.kv_heads;
    RecurrentStepArguments arguments = {.q = heads_of(node->in[Q]),
                                        .k = heads_of(k),
                                        .v = heads_of(v),
                                        .g = g->data,
                                        .g_stride = g->stride,
                                        .of_channels = true,
                                        .K = K,
                                        .V = v->cols / shape.kv_heads,
                                        .heads = shape.kv_heads,
                                        .queries = shape.heads / shape.kv_heads,
                                        .steps = 1,
                                        .q_group = 1,
                                        .k_group = 1,
                                        .v_group = 1,
                                        .scale = chunk_gla_scale(shape.scale, K)};
    recurrent_step(node, INITIAL, &arguments);
}

static void chunk_gla_forward(Node *node) {
    if (recurrent_step_fits(node, node->in[KEY]->cols / ((const ChunkGlaShape *)node->attributes)->kv_heads)) {
        one_token(node);
        return;
    }
    ChunkGlaArguments arguments = arguments_of(node);
    arguments.o = heads_of(node->out[0]);
    arguments.final = node->outputs > 1 ? node->out[1]->data : NULL;
    launch_products_and_states(node, &arguments);
    const Grid grid = {blocks_of(arguments.V, CHUNK_GLA_V), arguments.chunks, node->tape->batch->B * arguments.heads};
    node->tape->device->launch(KERNEL_chunk_gla_output, node->in[Q]->type, grid, &arguments);
}

static void chunk_gla_backward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    const int64_t B = node->tape->batch->B;
    ChunkGlaArguments arguments = arguments_of(node);
    const int64_t chunks = B * arguments.chunks, bytes = dtype_size(type);
    arguments.dstate = tape_workspace(node->tape, chunks * arguments.kv_heads * arguments.K * arguments.V * bytes);
    arguments.dproducts = tape_workspace(node->tape, chunks * arguments.heads * CHUNK_ROWS * CHUNK_ROWS * bytes);
    arguments.do_ = heads_of_gradient(node->out[0]);
    arguments.dfinal = node->outputs > 1 ? node->out[1]->gradient : NULL;
    arguments.dq = heads_of_gradient(node->in[Q]);
    arguments.dk = heads_of_gradient(node->in[KEY]);
    arguments.dv = heads_of_gradient(node->in[VALUE]);
    arguments.dg = heads_of_gradient(node->in[GATE]);
    arguments.dinitial = node->in[INITIAL] ? node->in[INITIAL]->gradient : NULL;

    if (!node_keeps(node)) launch_products_and_states(node, &arguments);
    const int64_t blocks_k = blocks_of(arguments.K, CHUNK_GLA_K), blocks_v = blocks_of(arguments.V, CHUNK_GLA_V);
    const int64_t kv_heads = B * arguments.kv_heads;
    device->launch(KERNEL_chunk_gla_dproducts, type, (Grid){arguments.chunks, B * arguments.heads, 1}, &arguments);
    device->launch(KERNEL_chunk_gla_dstate, type, chunk_gla_grid_of_states(B, &arguments), &arguments);
    device->launch(KERNEL_chunk_gla_dv, type, (Grid){blocks_v, arguments.chunks, kv_heads}, &arguments);
    device->launch(KERNEL_chunk_gla_dqkg, type, (Grid){blocks_k, arguments.chunks, kv_heads}, &arguments);
}

/* Counts the products inside chunks as full matrices, as fla does. */
static Work chunk_gla_work(const Node *node) {
    const ChunkGlaShape shape = *(const ChunkGlaShape *)node->attributes;
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *g = node->in[GATE], *o = node->out[0];
    const double N = (double)q->rows, C = CHUNK_ROWS, heads = (double)shape.heads, kv_heads = (double)shape.kv_heads;
    const double K = (double)k->cols / kv_heads, V = (double)v->cols / kv_heads;
    const double flops = N * (heads * 2 * (C * K + C * V + K * V) + kv_heads * 2 * K * V);
    const double elements = N * (double)(q->cols + k->cols + v->cols + o->cols) * (double)dtype_size(q->type);
    return (Work){flops, elements + N * (double)g->cols * (double)dtype_size(F32),
                  kv_heads * K * V * (double)dtype_size(F32)};
}

static const Op chunk_gla_op = {"chunk_gla", false, chunk_gla_forward, chunk_gla_backward, chunk_gla_work};

Tensor *chunk_gla(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *g, ChunkGlaShape shape, Tensor *initial,
                  Tensor **final) {
    CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0, "chunk_gla with %lld heads over %lld",
          (long long)shape.heads, (long long)shape.kv_heads);
    const int64_t K = k->cols / shape.kv_heads, V = v->cols / shape.kv_heads, N = tape->batch->B * tape->batch->T;
    CHECK(K * shape.kv_heads == k->cols && V * shape.kv_heads == v->cols && q->cols == shape.heads * K &&
              g->cols == k->cols,
          "chunk_gla: the columns of q, k, v and g are not heads of one size");
    CHECK(q->rows == N && k->rows == N && v->rows == N && g->rows == N, "chunk_gla: rows are not the batch's tokens");
    CHECK(q->type == k->type && q->type == v->type && g->type == F32, "chunk_gla: element types");
    CHECK(!q->parameter && !k->parameter && !v->parameter && !g->parameter && !(initial && initial->parameter),
          "chunk_gla stores the gradients of its inputs, a parameter's are added to");
    const int64_t state_rows = tape->batch->B * shape.kv_heads * K;
    CHECK(!initial || (initial->rows == state_rows && initial->cols == V && initial->type == F32),
          "chunk_gla: the initial state is not fp32 [B*kv_heads*K, V]");
    Node *node = tape_node(tape, &chunk_gla_op, (Tensor *[]){q, k, v, g, initial}, INPUTS);
    *(ChunkGlaShape *)node->attributes = shape;
    Tensor *o = node_output(node, N, shape.heads * V, q->type);
    node_state(node, INITIAL, state_rows, V, 0, final);
    node_run(node);
    return o;
}
