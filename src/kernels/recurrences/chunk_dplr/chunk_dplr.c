#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

/* The inputs of both ops. chunk_kda has no A and B, chunk_dplr no BETA. */
enum { Q, KEY, VALUE, GATE, INITIAL, A, B, BETA = A, DPLR_INPUTS = B + 1, KDA_INPUTS = BETA + 1 };

typedef struct Shape {
    int64_t heads;
    float scale;
} Shape;

static const Op chunk_dplr_op, chunk_kda_op;

/* The number of keys with which a token writes to the state: k, and b in chunk_dplr. */
static int64_t writers_of(const Node *node) { return node->op == &chunk_dplr_op ? 2 : 1; }

/* The kernels for one and for two writers. Those that carry a state also exist for several numbers of key columns. */
typedef struct WriterKernels {
    Kernel products, dproducts, dkeys;
} WriterKernels;
static const WriterKernels writer_kernels[] = {
    {KERNEL_chunk_dplr_products_1, KERNEL_chunk_dplr_dproducts_1, KERNEL_chunk_dplr_dkeys_1},
    {KERNEL_chunk_dplr_products_2, KERNEL_chunk_dplr_dproducts_2, KERNEL_chunk_dplr_dkeys_2},
};
static const WriterKernels *kernels_of(const Node *node) { return &writer_kernels[writers_of(node) - 1]; }

typedef struct StateKernels {
    int64_t most_K;
    Kernel state[2], dstate;
} StateKernels;
#define STATE_KERNELS(K)                                                                                               \
    { K, {KERNEL_chunk_dplr_state_1_##K, KERNEL_chunk_dplr_state_2_##K}, KERNEL_chunk_dplr_dstate_##K }
static const StateKernels state_kernels[] = {STATE_KERNELS(64), STATE_KERNELS(128), STATE_KERNELS(256)};
enum { MOST_K = 256 };

static const StateKernels *state_kernels_of(int64_t K) {
    const StateKernels *kernels = state_kernels;
    while (kernels->most_K < K) kernels++;
    return kernels;
}

/* Heads of elements with one row per token: kept_heads in memory that backward may find again, passing_heads for this
 * call only. */
static Heads kept_heads(Node *node, int64_t cols) {
    return (Heads){node_workspace(node, node->in[Q]->rows * cols * dtype_size(node->in[Q]->type)), cols};
}
static Heads passing_heads(const Node *node, int64_t cols) {
    return (Heads){tape_workspace(node->tape, node->in[Q]->rows * cols * dtype_size(node->in[Q]->type)), cols};
}

/* The arguments that forward and backward have in common: the inputs, and memory for what is computed from them. */
static ChunkDplrArguments arguments_of(Node *node) {
    const Shape shape = *(const Shape *)node->attributes;
    const Tensor *q = node->in[Q], *v = node->in[VALUE], *initial = node->in[INITIAL];
    const Batch *batch = node->tape->batch;
    const bool two = writers_of(node) == 2;
    ChunkDplrArguments arguments = {.q = heads_of(q),
                                    .k = heads_of(node->in[KEY]),
                                    .v = heads_of(v),
                                    .g = heads_of(node->in[GATE]),
                                    .segment = batch->segment,
                                    .initial = initial ? initial->data : NULL,
                                    .initial_stride = initial ? initial->stride : 0,
                                    .T = batch->T,
                                    .chunks = blocks_of(batch->T, CHUNK_ROWS),
                                    .heads = shape.heads,
                                    .K = q->cols / shape.heads,
                                    .V = v->cols / shape.heads,
                                    .scale = shape.scale};
    const int64_t bytes = dtype_size(q->type), chunks = batch->B * shape.heads * arguments.chunks;
    const int64_t squares = chunks * CHUNK_ROWS * CHUNK_ROWS * bytes;
    arguments.q_decayed = kept_heads(node, q->cols);
    arguments.a_decayed = kept_heads(node, q->cols);
    arguments.b_decayed = kept_heads(node, q->cols);
    arguments.u = kept_heads(node, v->cols);
    arguments.decay = node_workspace(node, chunks * arguments.K * dtype_size(F32));
    arguments.state = node_workspace(node, chunks * arguments.K * arguments.V * bytes);
    arguments.products[0] = node_workspace(node, squares);
    arguments.solve = node_workspace(node, squares);
    if (two) {
        arguments.a = heads_of(node->in[A]);
        arguments.b = heads_of(node->in[B]);
        arguments.k_decayed = kept_heads(node, q->cols);
        arguments.products[1] = node_workspace(node, squares);
        arguments.inverse = node_workspace(node, squares);
    } else {
        arguments.betas = node_workspace(node, chunks * CHUNK_ROWS * dtype_size(F32));
        arguments.beta = node->in[BETA]->data;
        arguments.beta_stride = node->in[BETA]->stride;
    }
    return arguments;
}

/* The grids of programs: one per chunk and head; one per head and block of V, which carries the state; one per block of
 * V and chunk; and one per block of K and chunk. */
typedef struct Grids {
    Grid chunkwise, carried, by_value, by_key;
} Grids;

static Grids grids_of(const Node *node, const ChunkDplrArguments *arguments) {
    const int64_t sequences = node->tape->batch->B * arguments->heads, chunks = arguments->chunks;
    const int64_t blocks_v = blocks_of(arguments->V, CHUNK_DPLR_V);
    return (Grids){{chunks, sequences, 1},
                   {sequences, blocks_v, 1},
                   {blocks_v, chunks, sequences},
                   {blocks_of(arguments->K, CHUNK_DPLR_K), chunks, sequences}};
}

/* Computes the products, the decayed keys and queries, U, and the states before each chunk. */
static void launch_products_and_states(const Node *node, const ChunkDplrArguments *arguments, Grids grids) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    device->launch(kernels_of(node)->products, type, grids.chunkwise, arguments);
    device->launch(state_kernels_of(arguments->K)->state[writers_of(node) - 1], type, grids.carried, arguments);
}

static void one_token(const Node *node) {
    const Shape shape = *(const Shape *)node->attributes;
    const Tensor *q = node->in[Q], *v = node->in[VALUE], *g = node->in[GATE];
    const bool two = writers_of(node) == 2;
    RecurrentStepArguments arguments = {.q = heads_of(q),
                                        .k = heads_of(node->in[KEY]),
                                        .v = heads_of(v),
                                        .g = g->data,
                                        .g_stride = g->stride,
                                        .of_channels = true,
                                        .K = q->cols / shape.heads,
                                        .V = v->cols / shape.heads,
                                        .heads = shape.heads,
                                        .queries = 1,
                                        .steps = 1,
                                        .q_group = 1,
                                        .k_group = 1,
                                        .v_group = 1,
                                        .erases = two ? ERASES_NOTHING : ERASES_DECAYED,
                                        .scale = shape.scale};
    if (two) {
        arguments.a = heads_of(node->in[A]);
        arguments.b = heads_of(node->in[B]);
    } else {
        arguments.beta = node->in[BETA]->data;
        arguments.beta_stride = node->in[BETA]->stride;
    }
    recurrent_step(node, INITIAL, &arguments);
}

static void chunk_dplr_forward(Node *node) {
    if (recurrent_step_fits(node, node->in[Q]->cols / ((const Shape *)node->attributes)->heads)) {
        one_token(node);
        return;
    }
    ChunkDplrArguments arguments = arguments_of(node);
    arguments.o = heads_of(node->out[0]);
    arguments.final = node->outputs > 1 ? node->out[1]->data : NULL;
    const Grids grids = grids_of(node, &arguments);
    launch_products_and_states(node, &arguments, grids);
    node->tape->device->launch(KERNEL_chunk_dplr_output, node->in[Q]->type, grids.by_value, &arguments);
}

static void chunk_dplr_backward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    const bool two = writers_of(node) == 2;
    ChunkDplrArguments arguments = arguments_of(node);
    const int64_t chunks = node->tape->batch->B * arguments.heads * arguments.chunks, bytes = dtype_size(type);
    arguments.dstate = tape_workspace(node->tape, chunks * arguments.K * arguments.V * bytes);
    arguments.du = passing_heads(node, node->in[VALUE]->cols);
    for (int64_t i = 0; i < 2 * writers_of(node); i++)
        arguments.dproducts[i] = tape_workspace(node->tape, chunks * CHUNK_ROWS * CHUNK_ROWS * bytes);
    arguments.do_ = heads_of_gradient(node->out[0]);
    arguments.dfinal = node->outputs > 1 ? node->out[1]->gradient : NULL;
    arguments.dq = heads_of_gradient(node->in[Q]);
    arguments.dk = heads_of_gradient(node->in[KEY]);
    arguments.dv = heads_of_gradient(node->in[VALUE]);
    arguments.dr = two ? passing_heads(node, node->in[VALUE]->cols) : arguments.dv;
    arguments.dg = heads_of_gradient(node->in[GATE]);
    arguments.dinitial = node->in[INITIAL] ? node->in[INITIAL]->gradient : NULL;
    if (two) {
        arguments.da = heads_of_gradient(node->in[A]);
        arguments.db = heads_of_gradient(node->in[B]);
    } else {
        arguments.dbeta = node->in[BETA]->gradient;
    }

    const Grids grids = grids_of(node, &arguments);
    if (!node_keeps(node)) launch_products_and_states(node, &arguments, grids);
    device->launch(state_kernels_of(arguments.K)->dstate, type, grids.carried, &arguments);
    device->launch(kernels_of(node)->dproducts, type, grids.chunkwise, &arguments);
    if (two) device->launch(KERNEL_chunk_dplr_dv, type, grids.by_value, &arguments);
    device->launch(kernels_of(node)->dkeys, type, grids.by_key, &arguments);
}

/* Counts the products inside chunks as full matrices, as fla does. For each token and head there are those of q and a
 * with the writers, W, M v, A U (and A v), and W S, the update of the state and q S. */
static Work chunk_dplr_work(const Node *node) {
    const Shape shape = *(const Shape *)node->attributes;
    const Tensor *q = node->in[Q], *v = node->in[VALUE], *g = node->in[GATE];
    const double N = (double)q->rows, C = CHUNK_ROWS, heads = (double)shape.heads, written = (double)writers_of(node);
    const double K = (double)q->cols / heads, V = (double)v->cols / heads;
    const double flops = 2 * N * heads * (C * K * (2 * written + 1) + C * V * (1 + written) + K * V * (2 + written));
    const double of_K = written == 2 ? 4 : 2; /* q and k, a and b */
    const double elements = N * (of_K * (double)q->cols + 2 * (double)v->cols) * (double)dtype_size(q->type);
    return (Work){flops, elements + N * ((double)g->cols + (written == 1 ? heads : 0)) * (double)dtype_size(F32),
                  heads * K * V * (double)dtype_size(F32)};
}

static const Op chunk_dplr_op = {"chunk_dplr", false, chunk_dplr_forward, chunk_dplr_backward, chunk_dplr_work};
static const Op chunk_kda_op = {"chunk_kda", false, chunk_dplr_forward, chunk_dplr_backward, chunk_dplr_work};

static Tensor *recurrence(Tape *tape, const Op *op, Tensor *const in[], int inputs, Shape shape, Tensor **final) {
    const Tensor *q = in[Q], *v = in[VALUE], *g = in[GATE], *initial = in[INITIAL];
    const int64_t N = tape->batch->B * tape->batch->T, heads = shape.heads;
    CHECK(heads > 0 && q->cols % heads == 0 && v->cols % heads == 0, "%s: q or v is not %lld heads of one size",
          op->name, (long long)heads);
    const int64_t K = q->cols / heads, V = v->cols / heads;
    CHECK(K <= MOST_K, "%s with heads of %lld key columns, more than %d", op->name, (long long)K, MOST_K);
    CHECK(v->rows == N && v->type == q->type, "%s: v is not as q", op->name);
    CHECK(g->rows == N && g->cols == q->cols && g->type == F32, "%s: g is not fp32 [N, heads*K]", op->name);
    CHECK(!initial || (initial->rows == tape->batch->B * heads * K && initial->cols == V && initial->type == F32),
          "%s: the initial state is not fp32 [B*heads*K, V]", op->name);
    for (int i = 0; i < inputs; i++)
        CHECK(!in[i] || !in[i]->parameter, "%s stores the gradients of its inputs, a parameter's are added to",
              op->name);
    Node *node = tape_node(tape, op, in, inputs);
    *(Shape *)node->attributes = shape;
    Tensor *o = node_output(node, N, v->cols, q->type);
    node_state(node, INITIAL, tape->batch->B * heads * K, V, 0, final);
    node_run(node);
    return o;
}

/* Whether x has the rows, columns and type of q. */
static bool is_like(const Tensor *x, const Tensor *q) {
    return x->rows == q->rows && x->cols == q->cols && x->type == q->type;
}

Tensor *chunk_dplr(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *a, Tensor *b, Tensor *g, int64_t heads,
                   float scale, Tensor *initial, Tensor **final) {
    CHECK(is_like(k, q) && is_like(a, q) && is_like(b, q), "chunk_dplr: k, a or b is not as q");
    Tensor *const in[DPLR_INPUTS] = {
        [Q] = q, [KEY] = k, [VALUE] = v, [GATE] = g, [INITIAL] = initial, [A] = a, [B] = b};
    return recurrence(tape, &chunk_dplr_op, in, DPLR_INPUTS, (Shape){heads, scale}, final);
}

Tensor *chunk_kda(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, Tensor *g, int64_t heads, Tensor *initial,
                  Tensor **final) {
    CHECK(is_like(k, q), "chunk_kda: k is not as q");
    CHECK(beta->rows == q->rows && beta->cols == heads && beta->type == F32, "chunk_kda: beta is not fp32 [N, heads]");
    Tensor *const in[KDA_INPUTS] = {[Q] = q, [KEY] = k, [VALUE] = v, [GATE] = g, [INITIAL] = initial, [BETA] = beta};
    const Shape shape = {heads, 1.0f / sqrtf((float)(q->cols / heads))};
    return recurrence(tape, &chunk_kda_op, in, KDA_INPUTS, shape, final);
}
