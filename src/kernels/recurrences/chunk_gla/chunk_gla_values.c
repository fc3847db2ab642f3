/* Value-gated linear attention, the first pass of slot attention (arXiv 2409.07146). Its state, transposed,
 *
 *   R_t = diag(e^g_t) R_{t-1} + s_t k_t^T, R [M, K]         o_t = scale R_t q_t
 *
 * is the state of chunk_gla with keys s and values k; and if chunk_gla's gradient of o is q, its gradient of q is o
 * here. So the kernels are those of chunk_gla with permuted roles:
 *
 *   chunk_gla's     q     k    v    o' (gradient of o)
 *   are here        o'    s    k    q
 *
 *   chunk_gla's     q'    k'    v'    o     g'    S, S' (states and their gradients)
 *   are here        o     s'    k'    q'    g'    R, R'
 *
 * Forward computes chunk_gla's q', backward the rest. g' needs q' = o too, with the same roundings, which must cancel;
 * so backward computes it again. */
#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/recurrences/chunk_gla/chunk_gla.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

enum { QUERY, KEY, SLOT, GATE, INITIAL, INPUTS };

/* The arguments that forward and backward have in common: the inputs, and memory for what launch_states computes. */
static ChunkGlaArguments arguments_of(Node *node) {
    const ChunkGlaShape shape = *(const ChunkGlaShape *)node->attributes;
    const Tensor *q = node->in[QUERY], *k = node->in[KEY], *s = node->in[SLOT], *initial = node->in[INITIAL];
    const Batch *batch = node->tape->batch;
    const int64_t M = s->cols / shape.kv_heads, K = k->cols / shape.kv_heads;
    ChunkGlaArguments arguments = {.do_ = heads_of(q),
                                   .k = heads_of(s),
                                   .v = heads_of(k),
                                   .g = heads_of(node->in[GATE]),
                                   .segment = batch->segment,
                                   .initial = initial ? initial->data : NULL,
                                   .initial_stride = initial ? initial->stride : 0,
                                   .T = batch->T,
                                   .chunks = blocks_of(batch->T, CHUNK_ROWS),
                                   .heads = shape.heads,
                                   .kv_heads = shape.kv_heads,
                                   .K = M,
                                   .V = K,
                                   .scale = chunk_gla_scale(shape.scale, K)};
    const int64_t bytes = dtype_size(q->type), chunks = batch->B * arguments.chunks, N = batch->B * batch->T;
    arguments.k_decayed = (Heads){node_workspace(node, N * shape.kv_heads * M * bytes), shape.kv_heads * M};
    arguments.decay = node_workspace(node, chunks * shape.kv_heads * M * dtype_size(F32));
    arguments.state = node_workspace(node, chunks * shape.kv_heads * M * K * bytes);
    arguments.dproducts = node_workspace(node, chunks * shape.heads * CHUNK_ROWS * CHUNK_ROWS * bytes);
    return arguments;
}

/* Computes the products of q and k, the decayed s, and the states before each chunk. */
static void launch_states(const Node *node, const ChunkGlaArguments *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[QUERY]->type;
    const int64_t B = node->tape->batch->B, blocks = blocks_of(arguments->K, CHUNK_GLA_K);
    device->launch(KERNEL_chunk_gla_keys, type, (Grid){blocks, arguments->chunks, B * arguments->kv_heads}, arguments);
    device->launch(KERNEL_chunk_gla_state, type, chunk_gla_grid_of_states(B, arguments), arguments);
    device->launch(KERNEL_chunk_gla_dproducts, type, (Grid){arguments->chunks, B * arguments->heads, 1}, arguments);
}

static void one_token(const Node *node) {
    const ChunkGlaShape shape = *(const ChunkGlaShape *)node->attributes;
    const Tensor *k = node->in[KEY], *s = node->in[SLOT], *g = node->in[GATE];
    const int64_t K = k->cols / shape.kv_heads;
    RecurrentStepArguments arguments = {.q = heads_of(node->in[QUERY]),
                                        .k = heads_of(s),
                                        .v = heads_of(k),
                                        .g = g->data,
                                        .g_stride = g->stride,
                                        .of_channels = true,
                                        .of_rows = true,
                                        .K = s->cols / shape.kv_heads,
                                        .V = K,
                                        .heads = shape.kv_heads,
                                        .queries = shape.heads / shape.kv_heads,
                                        .q_group = 1,
                                        .k_group = 1,
                                        .v_group = 1,
                                        .scale = chunk_gla_scale(shape.scale, K)};
    recurrent_step(node, INITIAL, &arguments);
}

static void chunk_gla_values_forward(Node *node) {
    if (node_is_one_token(node)) {
        one_token(node);
        return;
    }
    ChunkGlaArguments arguments = arguments_of(node);
    arguments.dq = heads_of(node->out[0]);
    arguments.final = node->outputs > 1 ? node->out[1]->data : NULL;
    launch_states(node, &arguments);
    const Grid grid = {blocks_of(arguments.K, CHUNK_GLA_K), arguments.chunks, node->tape->batch->B * arguments.heads};
    node->tape->device->launch(KERNEL_chunk_gla_dq, node->in[QUERY]->type, grid, &arguments);
}

static void chunk_gla_values_backward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->in[QUERY]->type;
    const int64_t B = node->tape->batch->B, bytes = dtype_size(type);
    ChunkGlaArguments arguments = arguments_of(node);
    const int64_t chunks = B * arguments.chunks, N = B * arguments.T, width = arguments.heads * arguments.K;
    arguments.q = heads_of_gradient(node->out[0]);
    arguments.o = heads_of_gradient(node->in[QUERY]);
    arguments.dk = heads_of_gradient(node->in[SLOT]);
    arguments.dv = heads_of_gradient(node->in[KEY]);
    arguments.dg = heads_of_gradient(node->in[GATE]);
    arguments.dfinal = node->outputs > 1 ? node->out[1]->gradient : NULL;
    arguments.dinitial = node->in[INITIAL] ? node->in[INITIAL]->gradient : NULL;
    arguments.q_decayed = (Heads){tape_workspace(node->tape, N * width * bytes), width};
    arguments.products = tape_workspace(node->tape, chunks * arguments.heads * CHUNK_ROWS * CHUNK_ROWS * bytes);
    arguments.dstate = tape_workspace(node->tape, chunks * arguments.kv_heads * arguments.K * arguments.V * bytes);

    if (!node_keeps(node)) launch_states(node, &arguments);
    const int64_t blocks_k = blocks_of(arguments.K, CHUNK_GLA_K), blocks_v = blocks_of(arguments.V, CHUNK_GLA_V);
    const int64_t heads = B * arguments.heads, kv_heads = B * arguments.kv_heads;
    device->launch(KERNEL_chunk_gla_products, type, (Grid){arguments.chunks, heads, 1}, &arguments);
    device->launch(KERNEL_chunk_gla_dstate, type, chunk_gla_grid_of_states(B, &arguments), &arguments);
    device->launch(KERNEL_chunk_gla_dv, type, (Grid){blocks_v, arguments.chunks, kv_heads}, &arguments);
    device->launch(KERNEL_chunk_gla_output, type, (Grid){blocks_v, arguments.chunks, heads}, &arguments);
    arguments.dq = arguments.q_decayed; /* o again; neither is needed from here on */
    device->launch(KERNEL_chunk_gla_dqkg, type, (Grid){blocks_k, arguments.chunks, kv_heads}, &arguments);
}

/* Counts the products inside chunks as full matrices, as in chunk_gla. */
static Work chunk_gla_values_work(const Node *node) {
    const ChunkGlaShape shape = *(const ChunkGlaShape *)node->attributes;
    const Tensor *q = node->in[QUERY], *k = node->in[KEY], *s = node->in[SLOT], *g = node->in[GATE];
    const Tensor *o = node->out[0];
    const double N = (double)q->rows, C = CHUNK_ROWS, heads = (double)shape.heads, kv_heads = (double)shape.kv_heads;
    const double K = (double)k->cols / kv_heads, M = (double)s->cols / kv_heads;
    const double flops = N * (heads * 2 * (C * K + C * M + K * M) + kv_heads * 2 * K * M);
    const double elements = N * (double)(q->cols + k->cols + s->cols + o->cols) * (double)dtype_size(q->type);
    return (Work){flops, elements + N * (double)g->cols * (double)dtype_size(F32),
                  kv_heads * K * M * (double)dtype_size(F32)};
}

static const Op chunk_gla_values_op = {"chunk_gla_values", false, chunk_gla_values_forward, chunk_gla_values_backward,
                                       chunk_gla_values_work};

Tensor *chunk_gla_values(Tape *tape, Tensor *q, Tensor *k, Tensor *s, Tensor *g, ChunkGlaShape shape, Tensor *initial,
                         Tensor **final) {
    CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0, "chunk_gla_values with %lld heads over %lld",
          (long long)shape.heads, (long long)shape.kv_heads);
    const int64_t K = k->cols / shape.kv_heads, M = s->cols / shape.kv_heads, N = tape->batch->B * tape->batch->T;
    CHECK(K * shape.kv_heads == k->cols && M * shape.kv_heads == s->cols && q->cols == shape.heads * K &&
              g->cols == s->cols,
          "chunk_gla_values: the columns of q, k, s and g are not heads of one size");
    CHECK(q->rows == N && k->rows == N && s->rows == N && g->rows == N,
          "chunk_gla_values: rows are not the batch's tokens");
    CHECK(q->type == k->type && q->type == s->type && g->type == F32, "chunk_gla_values: element types");
    CHECK(!q->parameter && !k->parameter && !s->parameter && !g->parameter && !(initial && initial->parameter),
          "chunk_gla_values stores the gradients of its inputs, a parameter's are added to");
    const int64_t state_rows = tape->batch->B * shape.kv_heads * M;
    CHECK(!initial || (initial->rows == state_rows && initial->cols == K && initial->type == F32),
          "chunk_gla_values: the initial state is not fp32 [B*kv_heads*M, K]");
    Node *node = tape_node(tape, &chunk_gla_values_op, (Tensor *[]){q, k, s, g, initial}, INPUTS);
    *(ChunkGlaShape *)node->attributes = shape;
    Tensor *o = node_output(node, N, shape.heads * M, q->type);
    node_state(node, INITIAL, state_rows, K, 0, final);
    node_run(node);
    return o;
}
