#include "kernels/recurrences/chunk_delta/chunk_delta.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

enum { Q, KEY, VALUE, BETA, GATE, INITIAL, INPUTS };

/* The distance, in elements, between rows if a tensor is taken as N * steps rows. */
static int64_t step_stride(const Tensor *tensor, int64_t steps) {
    return steps == 1 ? tensor->stride : tensor->cols / steps;
}

/* A tensor, or its gradient, taken as N * steps rows of heads. */
static Heads update_heads(const Tensor *tensor, void *data, int64_t steps) {
    return (Heads){data, step_stride(tensor, steps)};
}

static void *data_of(const Tensor *tensor) { return tensor ? tensor->data : NULL; }
static void *gradient_of(const Tensor *tensor) { return tensor ? tensor->gradient : NULL; }

/* The kernels that carry a state: for o, for what backward needs, and for the gradients. On a GPU registers hold the
 * state, and a head uses the kernels for the smallest key size that it fits into. For wider keys, and on the host's
 * cores with their caches, the state is in memory. */
typedef struct StateKernels {
    int64_t most_K;
    Kernel output, state, dstate;
} StateKernels;

#define HELD_FOR(K)                                                                                                    \
    { K, KERNEL_chunk_delta_output_##K, KERNEL_chunk_delta_state_##K, KERNEL_chunk_delta_dstate_##K }
static const StateKernels held_kernels[] = {HELD_FOR(64), HELD_FOR(128), HELD_FOR(256)};
static const StateKernels memory_kernels = {INT64_MAX, KERNEL_chunk_delta_state, KERNEL_chunk_delta_state,
                                            KERNEL_chunk_delta_dstate};
enum { HELD_SIZES = sizeof held_kernels / sizeof held_kernels[0] };

static const StateKernels *state_kernels(const Node *node) {
    const int64_t K = node->in[Q]->cols / ((const ChunkDeltaShape *)node->attributes)->heads;
    for (int i = 0; i < HELD_SIZES && node->tape->device->gpu; i++)
        if (K <= held_kernels[i].most_K) return &held_kernels[i];
    return &memory_kernels;
}
static bool state_in_memory(const Node *node) { return state_kernels(node) == &memory_kernels; }

/* Workspace for `count` fp32 numbers, or for `count` elements. */
static float *numbers(const Node *node, int64_t count) { return tape_workspace(node->tape, count * dtype_size(F32)); }
static void *elements(const Node *node, int64_t count) {
    return tape_workspace(node->tape, count * dtype_size(node->in[Q]->type));
}

/* Workspace for N * steps rows of value heads, each `width` elements wide. */
static Heads update_elements(const Node *node, ChunkDeltaShape shape, int64_t width) {
    const Batch *batch = node->tape->batch;
    const int64_t stride = shape.v_heads * width;
    return (Heads){elements(node, batch->B * batch->T * shape.steps * stride), stride};
}

/* The arguments that forward and backward have in common: the inputs, and memory for what is computed from them. Only
 * backward needs the overlaps, U and all states. */
static ChunkDeltaArguments arguments_of(Node *node, bool backward) {
    const ChunkDeltaShape shape = *(const ChunkDeltaShape *)node->attributes;
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE];
    const Tensor *beta = node->in[BETA], *g = node->in[GATE], *initial = node->in[INITIAL];
    const Batch *batch = node->tape->batch;
    const int64_t K = q->cols / shape.heads, V = node->out[0]->cols / shape.v_heads;
    ChunkDeltaArguments arguments = {.q = heads_of(q),
                                     .k = update_heads(k, k->data, shape.steps),
                                     .v = update_heads(v, v->data, shape.steps),
                                     .g = data_of(g),
                                     .beta = data_of(beta),
                                     .segment = batch->segment,
                                     .initial = data_of(initial),
                                     .g_stride = g ? g->stride : 0,
                                     .beta_stride = beta ? step_stride(beta, shape.steps) : 0,
                                     .initial_stride = initial ? initial->stride : 0,
                                     .T = batch->T,
                                     .steps = shape.steps,
                                     .transposed = !state_in_memory(node),
                                     .aligned = V * dtype_size(q->type) % 16 == 0,
                                     .chunks = blocks_of(batch->T, CHUNK_ROWS / shape.steps),
                                     .chunk_tokens = CHUNK_ROWS / shape.steps,
                                     .heads = shape.heads,
                                     .v_heads = shape.v_heads,
                                     .K = K,
                                     .V = V,
                                     .blocks_k = blocks_of(K, CHUNK_DELTA_WIDTH),
                                     .scale = 1.0f / sqrtf((float)K),
                                     .undecayed = shape.undecayed};
    const int64_t chunks = batch->B * shape.v_heads * arguments.chunks, squares = chunks * CHUNK_ROWS * CHUNK_ROWS;
    arguments.gates = node_workspace(node, chunks * 4 * CHUNK_ROWS * dtype_size(F32));
    arguments.products = node_workspace(node, squares * dtype_size(q->type));
    arguments.inverse = node_workspace(node, squares * dtype_size(q->type));
    arguments.state_stride = arguments.transposed ? arguments.blocks_k * CHUNK_DELTA_WIDTH : V;
    arguments.state_size = arguments.transposed ? V * arguments.state_stride : K * V;
    if (state_in_memory(node)) arguments.carried = numbers(node, batch->B * shape.v_heads * K * V);
    if (backward || node_keeps(node)) {
        const int64_t updates = batch->B * batch->T * shape.steps * shape.v_heads * V;
        arguments.overlaps = node_workspace(node, squares * dtype_size(F32));
        arguments.u = (Heads){node_workspace(node, updates * dtype_size(q->type)), shape.v_heads * V};
        arguments.state = node_workspace(node, chunks * arguments.state_size * dtype_size(q->type));
    }
    return arguments;
}

/* The grids of programs: one per chunk and value head; one per sequence, value head and block of V, which carries the
 * state; and one per block of K, chunk and query head. */
typedef struct Grids {
    Grid chunkwise, carried, by_key;
} Grids;

static Grids grids_of(const Node *node, const ChunkDeltaArguments *arguments) {
    const int64_t B = node->tape->batch->B, sequences = B * arguments->v_heads, chunks = arguments->chunks;
    return (Grids){{chunks, sequences, 1},
                   {sequences, blocks_of(arguments->V, CHUNK_DELTA_WIDTH), 1},
                   {arguments->blocks_k, chunks, B * arguments->heads}};
}

static void one_token(const Node *node) {
    const ChunkDeltaShape shape = *(const ChunkDeltaShape *)node->attributes;
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE];
    const Tensor *beta = node->in[BETA], *g = node->in[GATE];
    const int64_t K = q->cols / shape.heads, group = shape.v_heads / shape.heads;
    RecurrentStepArguments arguments = {.q = heads_of(q),
                                        .k = update_heads(k, k->data, shape.steps),
                                        .v = update_heads(v, v->data, shape.steps),
                                        .g = data_of(g),
                                        .g_stride = g ? g->stride : 0,
                                        .beta = data_of(beta),
                                        .beta_stride = beta ? step_stride(beta, shape.steps) : 0,
                                        .K = K,
                                        .V = node->out[0]->cols / shape.v_heads,
                                        .heads = shape.v_heads,
                                        .queries = 1,
                                        .steps = shape.steps,
                                        .q_group = group,
                                        .k_group = group,
                                        .v_group = 1,
                                        .erases = shape.undecayed ? ERASES_BEFORE : ERASES_DECAYED,
                                        .scale = 1.0f / sqrtf((float)K)};
    recurrent_step(node, INITIAL, &arguments);
}

static bool is_one_token(const Node *node) {
    const ChunkDeltaShape shape = *(const ChunkDeltaShape *)node->attributes;
    return (node->in[GATE] || shape.v_heads <= RECURRENT_STEP_DECAYS) &&
           recurrent_step_fits(node, node->in[Q]->cols / shape.heads);
}

static void chunk_delta_forward(Node *node) {
    if (is_one_token(node)) {
        one_token(node);
        return;
    }
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    ChunkDeltaArguments arguments = arguments_of(node, false);
    arguments.o = heads_of(node->out[0]);
    arguments.final = node->outputs > 1 ? node->out[1]->data : NULL;
    const Grids grids = grids_of(node, &arguments);
    device->launch(KERNEL_chunk_delta_prepare, type, grids.chunkwise, &arguments);
    device->launch(state_kernels(node)->output, type, grids.carried, &arguments);
}

static void chunk_delta_backward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    const ChunkDeltaShape shape = *(const ChunkDeltaShape *)node->attributes;
    ChunkDeltaArguments arguments = arguments_of(node, true);
    const int64_t chunks = node->tape->batch->B * shape.v_heads * arguments.chunks;
    const int64_t products = chunks * CHUNK_ROWS * CHUNK_ROWS;
    arguments.dproducts = elements(node, products);
    arguments.doverlaps = elements(node, products);
    arguments.dr = update_elements(node, shape, arguments.V);
    arguments.dstate = elements(node, chunks * arguments.state_size);
    arguments.sums_stride = chunks * 2 * CHUNK_ROWS;
    arguments.sums = numbers(node, (1 + 2 * arguments.blocks_k) * arguments.sums_stride);
    arguments.do_ = heads_of_gradient(node->out[0]);
    arguments.dfinal = node->outputs > 1 ? node->out[1]->gradient : NULL;
    arguments.dq = heads_of_gradient(node->in[Q]);
    arguments.dk = update_heads(node->in[KEY], node->in[KEY]->gradient, arguments.steps);
    arguments.dv = update_heads(node->in[VALUE], node->in[VALUE]->gradient, arguments.steps);
    arguments.dbeta = gradient_of(node->in[BETA]);
    arguments.dg = gradient_of(node->in[GATE]);
    arguments.dinitial = gradient_of(node->in[INITIAL]);

    const Grids grids = grids_of(node, &arguments);
    if (!node_keeps(node)) {
        device->launch(KERNEL_chunk_delta_prepare, type, grids.chunkwise, &arguments);
        device->launch(state_kernels(node)->state, type, grids.carried, &arguments);
    }
    device->launch(state_kernels(node)->dstate, type, grids.carried, &arguments);
    device->launch(KERNEL_chunk_delta_dproducts, type, grids.chunkwise, &arguments);
    device->launch(KERNEL_chunk_delta_dqk, type, grids.by_key, &arguments);
    device->launch(KERNEL_chunk_delta_dgates, type, grids.chunkwise, &arguments);
}

/* Counts the products inside chunks as full matrices, as fla does. */
static Work chunk_delta_work(const Node *node) {
    const ChunkDeltaShape shape = *(const ChunkDeltaShape *)node->attributes;
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *o = node->out[0];
    const double N = (double)q->rows, C = CHUNK_ROWS, heads = (double)shape.v_heads, steps = (double)shape.steps;
    const double K = (double)q->cols / (double)shape.heads, V = (double)o->cols / heads;
    const double of_update = C * K + C * V + 2 * K * V, of_query = C * K + C * V + K * V;
    const double elements = N * (double)(q->cols + k->cols + v->cols + o->cols) * (double)dtype_size(q->type);
    return (Work){2 * N * heads * (steps * of_update + of_query), elements + N * heads * (1 + steps) * 4,
                  heads * K * V * (double)dtype_size(F32)};
}

static const Op chunk_delta_op = {"chunk_delta", false, chunk_delta_forward, chunk_delta_backward, chunk_delta_work};

static void check_shapes(const Tape *tape, Tensor *const in[INPUTS], ChunkDeltaShape shape) {
    const Tensor *q = in[Q], *k = in[KEY], *v = in[VALUE], *beta = in[BETA], *g = in[GATE], *initial = in[INITIAL];
    const int64_t N = tape->batch->B * tape->batch->T;
    CHECK(shape.heads > 0 && shape.v_heads % shape.heads == 0 && shape.steps > 0 && shape.steps <= CHUNK_ROWS,
          "chunk_delta with %lld heads over %lld, %lld steps", (long long)shape.v_heads, (long long)shape.heads,
          (long long)shape.steps);
    CHECK(shape.steps == 1 || !shape.undecayed, "chunk_delta erases from an undecayed state in %lld steps",
          (long long)shape.steps);
    const int64_t K = q->cols / shape.heads, V = v->cols / (shape.steps * shape.v_heads);
    CHECK(q->cols == K * shape.heads && k->cols == q->cols * shape.steps && v->cols == V * shape.steps * shape.v_heads,
          "chunk_delta: the columns of q, k and v are not heads of one size");
    CHECK(!beta || (beta->rows == N && beta->cols == shape.steps * shape.v_heads && beta->type == F32),
          "chunk_delta: beta is not fp32 [N, steps*v_heads]");
    CHECK(!g || (g->rows == N && g->cols == shape.v_heads && g->type == F32),
          "chunk_delta: g is not fp32 [N, v_heads]");
    CHECK(!initial ||
              (initial->rows == tape->batch->B * shape.v_heads * K && initial->cols == V && initial->type == F32),
          "chunk_delta: the initial state is not fp32 [B*v_heads*K, V]");
    CHECK(q->rows == N && k->rows == N && v->rows == N, "chunk_delta: rows are not the batch's tokens");
    CHECK(q->type == k->type && q->type == v->type, "chunk_delta: element types");
    CHECK(shape.steps == 1 || (k->stride == k->cols && v->stride == v->cols && (!beta || beta->stride == beta->cols)),
          "chunk_delta: with several steps, k, v and beta must not be columns of wider matrices");
    for (int i = 0; i < INPUTS; i++)
        CHECK(!in[i] || !in[i]->parameter,
              "chunk_delta stores the gradients of its inputs, a parameter's are added to");
}

Tensor *chunk_delta(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, Tensor *g, ChunkDeltaShape shape,
                    Tensor *initial, Tensor **final) {
    Tensor *const in[INPUTS] = {q, k, v, beta, g, initial};
    check_shapes(tape, in, shape);
    const int64_t K = q->cols / shape.heads, V = v->cols / (shape.steps * shape.v_heads);
    Node *node = tape_node(tape, &chunk_delta_op, in, INPUTS);
    *(ChunkDeltaShape *)node->attributes = shape;
    Tensor *o = node_output(node, q->rows, shape.v_heads * V, q->type);
    node_state(node, INITIAL, tape->batch->B * shape.v_heads * K, V, 0, final);
    node_run(node);
    return o;
}
