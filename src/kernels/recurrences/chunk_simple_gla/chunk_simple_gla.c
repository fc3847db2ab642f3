#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

#include <string.h>

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

enum { Q, KEY, VALUE, GATE, SCALE, SKIP, INITIAL, INPUTS }; /* inputs; those from GATE on may be NULL */

static ChunkSimpleGlaShape shape_of(const Node *node) { return *(const ChunkSimpleGlaShape *)node->attributes; }

static int64_t span_of(const Node *node) { return CHUNK_SIMPLE_GLA_SPAN(node->tape->device->gpu); }

static int64_t spans_of(const Node *node, const ChunkSimpleGlaArguments *arguments) {
    return blocks_of(arguments->chunks, span_of(node));
}

static int64_t state_bytes(const Node *node, DType type, const ChunkSimpleGlaArguments *arguments) {
    const int64_t spans = node->tape->batch->B * spans_of(node, arguments);
    return spans * arguments->heads * arguments->K * arguments->V * dtype_size(type);
}

static int64_t product_bytes(const Node *node, const ChunkSimpleGlaArguments *arguments) {
    const int64_t chunks = node->tape->batch->B * arguments->chunks;
    return chunks * arguments->q_heads * CHUNK_ROWS * CHUNK_ROWS * dtype_size(F32);
}

void chunk_simple_gla_take_states(Node *node, DType type, ChunkSimpleGlaArguments *arguments) {
    const int64_t heads = node->tape->batch->B * arguments->chunks * arguments->heads;
    const int64_t rows = CHUNK_SIMPLE_GLA_DECAY_ROWS(node->tape->device->gpu);
    arguments->state = node_workspace(node, state_bytes(node, type, arguments));
    arguments->decays = node_workspace(node, heads * rows * CHUNK_ROWS * dtype_size(F32));
}

static float *product_workspace(Node *node, bool kept, const ChunkSimpleGlaArguments *arguments) {
    const int64_t bytes = product_bytes(node, arguments);
    return kept ? node_workspace(node, bytes) : tape_workspace(node->tape, bytes);
}

void chunk_simple_gla_take_products(Node *node, bool kept, ChunkSimpleGlaArguments *arguments) {
    arguments->products = product_workspace(node, kept, arguments);
    arguments->crossing = span_of(node) > 1 ? product_workspace(node, kept, arguments) : NULL;
}

/* The arguments that forward and backward have in common: the inputs, and memory for the states and products. */
static ChunkSimpleGlaArguments arguments_of(Node *node) {
    const ChunkSimpleGlaShape shape = shape_of(node);
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *g = node->in[GATE];
    const Tensor *s = node->in[SCALE], *skip = node->in[SKIP], *initial = node->in[INITIAL];
    const Batch *batch = node->tape->batch;
    ChunkSimpleGlaArguments arguments = {.q = heads_of(q),
                                         .k = heads_of(k),
                                         .v = heads_of(v),
                                         .g = g ? g->data : NULL,
                                         .s = s ? s->data : NULL,
                                         .skip = skip ? skip->data : NULL,
                                         .segment = batch->segment,
                                         .initial = initial ? initial->data : NULL,
                                         .g_stride = g ? g->stride : 0,
                                         .s_stride = s ? s->stride : 0,
                                         .initial_stride = initial ? initial->stride : 0,
                                         .T = batch->T,
                                         .chunks = blocks_of(batch->T, CHUNK_ROWS),
                                         .heads = shape.heads,
                                         .q_heads = q->cols / shape.key_size,
                                         .k_heads = k->cols / shape.key_size,
                                         .v_heads = v->cols / shape.value_size,
                                         .K = shape.key_size,
                                         .V = shape.value_size,
                                         .scale = shape.scale};
    if (shape.log_decay) memcpy(arguments.log_decay, shape.log_decay, (size_t)shape.heads * sizeof(float));
    chunk_simple_gla_take_states(node, q->type, &arguments);
    chunk_simple_gla_take_products(node, true, &arguments);
    return arguments;
}

/* One program per sequence, head and block of the state. */
static Grid grid_of_states(const Node *node, const ChunkSimpleGlaArguments *arguments) {
    return (Grid){node->tape->batch->B * arguments->heads, blocks_of(arguments->K, CHUNK_SIMPLE_GLA_STATE_K),
                  blocks_of(arguments->V, CHUNK_SIMPLE_GLA_V)};
}

/* One program per chunk or span and block of heads. */
static Grid grid_of_heads(const Node *node, const ChunkSimpleGlaArguments *arguments, int64_t parts) {
    return (Grid){parts, node->tape->batch->B, blocks_of(arguments->heads, CHUNK_SIMPLE_GLA_HEADS)};
}

/* One program per product of a chunk with itself or with another chunk of its span. */
static Grid grid_of_products(const Node *node, const ChunkSimpleGlaArguments *arguments) {
    return (Grid){arguments->chunks, node->tape->batch->B * arguments->q_heads, span_of(node)};
}

void chunk_simple_gla_states(const Node *node, DType type, const ChunkSimpleGlaArguments *arguments) {
    const Device *device = node->tape->device;
    device->launch(KERNEL_chunk_simple_gla_decays, type, grid_of_heads(node, arguments, arguments->chunks), arguments);
    device->launch(KERNEL_chunk_simple_gla_state, type, grid_of_states(node, arguments), arguments);
}

void chunk_simple_gla_products(const Node *node, DType type, const ChunkSimpleGlaArguments *arguments) {
    node->tape->device->launch(KERNEL_chunk_simple_gla_products, type, grid_of_products(node, arguments), arguments);
}

static void one_token(const Node *node) {
    const ChunkSimpleGlaShape shape = shape_of(node);
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *g = node->in[GATE], *s = node->in[SCALE];
    RecurrentStepArguments arguments = {.q = heads_of(q),
                                        .k = heads_of(k),
                                        .v = heads_of(v),
                                        .g = g ? g->data : NULL,
                                        .g_stride = g ? g->stride : 0,
                                        .s = s ? s->data : NULL,
                                        .s_stride = s ? s->stride : 0,
                                        .skip = node->in[SKIP] ? node->in[SKIP]->data : NULL,
                                        .K = shape.key_size,
                                        .V = shape.value_size,
                                        .heads = shape.heads,
                                        .queries = 1,
                                        .steps = 1,
                                        .q_group = shape.heads * shape.key_size / q->cols,
                                        .k_group = shape.heads * shape.key_size / k->cols,
                                        .v_group = shape.heads * shape.value_size / v->cols,
                                        .scale = shape.scale};
    if (shape.log_decay) memcpy(arguments.log_decay, shape.log_decay, (size_t)shape.heads * sizeof(float));
    recurrent_step(node, INITIAL, &arguments);
}

static bool is_one_token(const Node *node) {
    const ChunkSimpleGlaShape shape = shape_of(node);
    return recurrent_step_fits(node, shape.key_size) && (node->in[GATE] || shape.heads <= RECURRENT_STEP_DECAYS);
}

static void chunk_simple_gla_forward(Node *node) {
    if (is_one_token(node)) {
        one_token(node);
        return;
    }
    ChunkSimpleGlaArguments arguments = arguments_of(node);
    const DType type = node->in[Q]->type;
    arguments.o = heads_of(node->out[0]);
    arguments.final = node->outputs > 1 ? node->out[1]->data : NULL;
    chunk_simple_gla_states(node, type, &arguments);
    chunk_simple_gla_products(node, type, &arguments);
    const Grid states = grid_of_states(node, &arguments), grid = {states.z, arguments.chunks, states.x};
    node->tape->device->launch(KERNEL_chunk_simple_gla_output, type, grid, &arguments);
}

void chunk_simple_gla_gradients(Node *node, DType type, ChunkSimpleGlaArguments *arguments) {
    const Device *device = node->tape->device;
    const int64_t B = node->tape->batch->B, chunks = arguments->chunks, spans = spans_of(node, arguments),
                  blocks_k = blocks_of(arguments->K, CHUNK_SIMPLE_GLA_K);
    const int64_t parts = B * chunks * arguments->heads * (CHUNK_SIMPLE_GLA_PARTS + 2 * blocks_k) * CHUNK_ROWS;
    const bool gates = arguments->g || arguments->s || arguments->skip;
    arguments->dstate = tape_workspace(node->tape, state_bytes(node, type, arguments));
    arguments->dproducts = tape_workspace(node->tape, product_bytes(node, arguments));
    arguments->dcrossing = span_of(node) > 1 ? tape_workspace(node->tape, product_bytes(node, arguments)) : NULL;
    arguments->parts = gates ? tape_workspace(node->tape, parts * dtype_size(F32)) : NULL;
    arguments->dskip =
        arguments->skip ? tape_workspace(node->tape, B * spans * arguments->heads * dtype_size(F32)) : NULL;

    const Grid states = grid_of_states(node, arguments);
    device->launch(KERNEL_chunk_simple_gla_dstate, type, states, arguments);
    device->launch(KERNEL_chunk_simple_gla_dv, type, (Grid){states.z, chunks, B * arguments->v_heads}, arguments);
    device->launch(KERNEL_chunk_simple_gla_dproducts, type, grid_of_products(node, arguments), arguments);
    const Grid heads = {blocks_k, chunks, B * (arguments->q_heads + arguments->k_heads)};
    device->launch(KERNEL_chunk_simple_gla_dqk, type, heads, arguments);
    if (gates) device->launch(KERNEL_chunk_simple_gla_dg, type, grid_of_heads(node, arguments, spans), arguments);
}

static void chunk_simple_gla_backward(Node *node) {
    const DType type = node->in[Q]->type;
    const Tensor *g = node->in[GATE], *s = node->in[SCALE], *skip = node->in[SKIP], *initial = node->in[INITIAL];
    ChunkSimpleGlaArguments arguments = arguments_of(node);
    arguments.do_ = heads_of_gradient(node->out[0]);
    arguments.dfinal = node->outputs > 1 ? node->out[1]->gradient : NULL;
    arguments.dq = heads_of_gradient(node->in[Q]);
    arguments.dk = heads_of_gradient(node->in[KEY]);
    arguments.dv = heads_of_gradient(node->in[VALUE]);
    arguments.dg = g ? g->gradient : NULL;
    arguments.ds = s ? s->gradient : NULL;
    arguments.dinitial = initial ? initial->gradient : NULL;
    if (!node_keeps(node)) {
        chunk_simple_gla_states(node, type, &arguments);
        chunk_simple_gla_products(node, type, &arguments);
    }
    chunk_simple_gla_gradients(node, type, &arguments);
    const int64_t spans = node->tape->batch->B * spans_of(node, &arguments);
    if (skip) column_sum(node->tape, arguments.dskip, spans, skip);
}

/* Counts the products inside chunks as full matrices, as fla does. */
static Work chunk_simple_gla_work(const Node *node) {
    const ChunkSimpleGlaShape shape = shape_of(node);
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *g = node->in[GATE], *o = node->out[0];
    const double N = (double)q->rows, C = CHUNK_ROWS, K = (double)shape.key_size, V = (double)shape.value_size;
    const double flops = N * 2 * (C * (double)q->cols + (double)shape.heads * (C * V + 2 * K * V));
    const double elements = N * (double)(q->cols + k->cols + v->cols + o->cols) * (double)dtype_size(q->type);
    return (Work){flops, elements + (g ? N * (double)g->cols * (double)dtype_size(F32) : 0),
                  (double)shape.heads * K * V * (double)dtype_size(F32)};
}

static const Op chunk_simple_gla_op = {"chunk_simple_gla", false, chunk_simple_gla_forward, chunk_simple_gla_backward,
                                       chunk_simple_gla_work};

static void check_heads(const Tensor *q, const Tensor *k, const Tensor *v, ChunkSimpleGlaShape shape) {
    const int64_t heads = shape.heads, K = shape.key_size, V = shape.value_size;
    CHECK(q->cols % K == 0 && k->cols % K == 0 && v->cols % V == 0,
          "chunk_simple_gla: the columns of q, k and v are not heads of %lld, %lld and %lld", (long long)K,
          (long long)K, (long long)V);
    CHECK(heads % (q->cols / K) == 0 && heads % (v->cols / V) == 0 && q->cols % k->cols == 0,
          "chunk_simple_gla: %lld heads over %lld of q, %lld of k and %lld of v", (long long)heads,
          (long long)(q->cols / K), (long long)(k->cols / K), (long long)(v->cols / V));
    CHECK(!shape.log_decay || heads <= CHUNK_SIMPLE_GLA_DECAYS, "chunk_simple_gla: constant decays of %lld heads",
          (long long)heads);
}

Tensor *chunk_simple_gla(Tape *tape, Tensor *q, Tensor *k, Tensor *v, ChunkSimpleGlaGates gates,
                         ChunkSimpleGlaShape shape, Tensor *initial, Tensor **final) {
    const int64_t N = tape->batch->B * tape->batch->T, heads = shape.heads;
    Tensor *g = gates.log_decay, *s = gates.log_scale, *skip = gates.skip;
    check_heads(q, k, v, shape);
    CHECK(q->rows == N && k->rows == N && v->rows == N && (!g || g->rows == N) && (!s || s->rows == N),
          "chunk_simple_gla: rows are not the batch's tokens");
    CHECK(q->type == k->type && q->type == v->type, "chunk_simple_gla: element types");
    CHECK(!g || (g->cols == heads && g->type == F32 && !shape.log_decay),
          "chunk_simple_gla: the gates are not fp32 [N, heads], or there are two kinds of them");
    CHECK(!s || (s->cols == heads && s->type == F32), "chunk_simple_gla: the scales are not fp32 [N, heads]");
    CHECK(!skip || skip->rows * skip->cols == heads, "chunk_simple_gla: the skip is not [heads]");
    CHECK(!q->parameter && !k->parameter && !v->parameter && !(g && g->parameter) && !(s && s->parameter) &&
              !(initial && initial->parameter),
          "chunk_simple_gla stores the gradients of its inputs, a parameter's are added to");
    const int64_t state_rows = tape->batch->B * heads * shape.key_size;
    CHECK(!initial || (initial->rows == state_rows && initial->cols == shape.value_size && initial->type == F32),
          "chunk_simple_gla: the initial state is not fp32 [B*heads*K, V]");
    Node *node = tape_node(tape, &chunk_simple_gla_op, (Tensor *[]){q, k, v, g, s, skip, initial}, INPUTS);
    *(ChunkSimpleGlaShape *)node->attributes = shape;
    Tensor *o = node_output(node, N, heads * shape.value_size, q->type);
    node_state(node, INITIAL, state_rows, shape.value_size, 0, final);
    node_run(node);
    return o;
}
