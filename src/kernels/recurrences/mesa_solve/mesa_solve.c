#include "kernels/recurrences/mesa_solve/mesa_solve.h"

#include "base/check.h"
#include "core/add.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "kernels/recurrences/mesa_solve/mesa_step.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

enum { Q, KEY, GATE, SCALE, LAMBDA, INITIAL, INPUTS }; /* inputs; INITIAL may be NULL */

static const float fla_damping = 1e-5f;

static MesaSolveArguments arguments_of(Node *node) {
    const MesaSolveShape shape = *(const MesaSolveShape *)node->attributes;
    const Tensor *k = node->in[KEY], *g = node->in[GATE], *s = node->in[SCALE], *initial = node->in[INITIAL];
    const Batch *batch = node->tape->batch;
    const int64_t K = k->cols / shape.heads;
    ChunkSimpleGlaArguments of_state = {.k = heads_of(k),
                                        .v = heads_of(k),
                                        .g = g->data,
                                        .s = s->data,
                                        .segment = batch->segment,
                                        .initial = initial ? initial->data : NULL,
                                        .g_stride = g->stride,
                                        .s_stride = s->stride,
                                        .initial_stride = initial ? initial->stride : 0,
                                        .T = batch->T,
                                        .chunks = blocks_of(batch->T, CHUNK_ROWS),
                                        .heads = shape.heads,
                                        .q_heads = shape.heads,
                                        .k_heads = shape.heads,
                                        .v_heads = shape.heads,
                                        .K = K,
                                        .V = K};
    chunk_simple_gla_take_states(node, k->type, &of_state);
    return (MesaSolveArguments){.of_state = of_state,
                                .raw_lambda = node->in[LAMBDA]->data,
                                .lower_bound = shape.lower_bound,
                                .steps = shape.steps};
}

static void launch_solve(const Node *node, const MesaSolveArguments *arguments) {
    const ChunkSimpleGlaArguments *of_state = &arguments->of_state;
    const Grid grid = {of_state->chunks, of_state->heads, node->tape->batch->B};
    const Kernel kernel = of_state->K <= 64 ? KERNEL_mesa_solve_64 : KERNEL_mesa_solve_128;
    node->tape->device->launch(kernel, node->in[Q]->type, grid, arguments);
}

static void one_token(const Node *node) {
    const MesaSolveShape shape = *(const MesaSolveShape *)node->attributes;
    const Tensor *q = node->in[Q], *g = node->in[GATE], *s = node->in[SCALE];
    const MesaStepArguments arguments = {.q = heads_of(q),
                                         .k = heads_of(node->in[KEY]),
                                         .x = heads_of(node->out[0]),
                                         .g = g->data,
                                         .s = s->data,
                                         .raw_lambda = node->in[LAMBDA]->data,
                                         .state = node->in[INITIAL]->data,
                                         .final = node->out[1]->data,
                                         .g_stride = g->stride,
                                         .s_stride = s->stride,
                                         .K = q->cols / shape.heads,
                                         .heads = shape.heads,
                                         .lower_bound = shape.lower_bound,
                                         .damping = fla_damping,
                                         .steps = shape.steps};
    node->tape->device->launch(KERNEL_mesa_step, q->type, (Grid){shape.heads, node->tape->batch->B, 1}, &arguments);
}

static void mesa_solve_forward(Node *node) {
    if (node_is_one_token(node)) {
        one_token(node);
        return;
    }
    MesaSolveArguments arguments = arguments_of(node);
    arguments.of_state.final = node->outputs > 1 ? node->out[1]->data : NULL;
    arguments.q = heads_of(node->in[Q]);
    arguments.x = heads_of(node->out[0]);
    arguments.damping = fla_damping;
    chunk_simple_gla_states(node, node->in[Q]->type, &arguments.of_state);
    launch_solve(node, &arguments);
}

/* Solves for y, the gradient of q, with the kernel of forward. */
static void solve_backward(Node *node, MesaSolveArguments *arguments) {
    const double targets = node->tape->batch->mean_of > 1 ? (double)node->tape->batch->mean_of : 1;
    const int64_t parts = node->tape->batch->B * arguments->of_state.chunks;
    arguments->q = heads_of_gradient(node->out[0]);
    arguments->x = heads_of_gradient(node->in[Q]);
    arguments->solved = heads_of(node->out[0]);
    arguments->damping = (float)((double)fla_damping * targets * targets);
    arguments->of_raw_lambda = tape_workspace(node->tape, parts * node->in[Q]->cols * dtype_size(F32));
    launch_solve(node, arguments);
    column_sum(node->tape, arguments->of_raw_lambda, parts, node->in[LAMBDA]);
}

/* The states get the gradient that outputs H_t^T (-y_t) with the gradient x_t would give them. k gets the gradients of
 * both the keys and the values. */
static void mesa_solve_backward(Node *node) {
    const Tensor *q = node->in[Q], *k = node->in[KEY], *initial = node->in[INITIAL];
    const DType type = q->type;
    MesaSolveArguments arguments = arguments_of(node);
    ChunkSimpleGlaArguments *of_state = &arguments.of_state;
    if (!node_keeps(node)) chunk_simple_gla_states(node, type, of_state);
    solve_backward(node, &arguments);

    const int64_t bytes = q->rows * q->cols * dtype_size(type);
    of_state->q = arguments.x;
    of_state->scale = -1;
    of_state->do_ = arguments.solved;
    of_state->dfinal = node->outputs > 1 ? node->out[1]->gradient : NULL;
    of_state->dq = (Heads){tape_workspace(node->tape, bytes), q->cols}; /* not wanted */
    of_state->dk = heads_of_gradient(k);
    of_state->dv = (Heads){tape_workspace(node->tape, bytes), q->cols};
    of_state->dg = node->in[GATE]->gradient;
    of_state->ds = node->in[SCALE]->gradient;
    of_state->dinitial = initial ? initial->gradient : NULL;
    chunk_simple_gla_take_products(node, false, of_state);
    chunk_simple_gla_products(node, type, of_state);
    chunk_simple_gla_gradients(node, type, of_state);
    const AddArguments sum = {.x = of_state->dk.data,
                              .y = of_state->dv.data,
                              .z = of_state->dk.data,
                              .rows = k->rows,
                              .cols = k->cols,
                              .x_stride = of_state->dk.stride,
                              .y_stride = of_state->dv.stride,
                              .z_stride = of_state->dk.stride};
    add_launch(node->tape->device, type, &sum);
}

static Work mesa_solve_work(const Node *node) {
    const MesaSolveShape shape = *(const MesaSolveShape *)node->attributes;
    const Tensor *q = node->in[Q];
    const double N = (double)q->rows, K = (double)q->cols / (double)shape.heads, C = CHUNK_ROWS;
    const double flops = N * (double)q->cols * 2 * (K + (double)shape.steps * (K + 2 * C));
    const double gates = 2 * N * (double)shape.heads * (double)dtype_size(F32);
    return (Work){flops, 3 * N * (double)q->cols * (double)dtype_size(q->type) + gates,
                  K * (double)q->cols * (double)dtype_size(F32)};
}

static const Op mesa_solve_op = {"mesa_solve", false, mesa_solve_forward, mesa_solve_backward, mesa_solve_work};

Tensor *mesa_solve(Tape *tape, Tensor *q, Tensor *k, Tensor *g, Tensor *s, Tensor *lambda, MesaSolveShape shape,
                   Tensor *initial, Tensor **final) {
    const int64_t N = tape->batch->B * tape->batch->T, K = q->cols / shape.heads;
    CHECK(q->rows == N && k->rows == N && g->rows == N && s->rows == N, "mesa_solve: rows are not the batch's tokens");
    CHECK(q->cols == k->cols && q->type == k->type && q->cols == K * shape.heads && K <= MESA_SOLVE_K,
          "mesa_solve: q and k are not alike, or heads of %lld key columns", (long long)K);
    CHECK(g->cols == shape.heads && g->type == F32 && s->cols == shape.heads && s->type == F32,
          "mesa_solve: the gates are not fp32 [N, heads]");
    CHECK(lambda->rows * lambda->cols == q->cols, "mesa_solve: lambda is not [heads*K]");
    CHECK(!q->parameter && !k->parameter && !g->parameter && !s->parameter && !(initial && initial->parameter),
          "mesa_solve stores the gradients of its inputs, a parameter's are added to");
    const int64_t state_rows = tape->batch->B * q->cols;
    CHECK(!initial || (initial->rows == state_rows && initial->cols == K && initial->type == F32),
          "mesa_solve: the initial state is not fp32 [B*heads*K, K]");
    Node *node = tape_node(tape, &mesa_solve_op, (Tensor *[]){q, k, g, s, lambda, initial}, INPUTS);
    *(MesaSolveShape *)node->attributes = shape;
    Tensor *x = node_output(node, N, q->cols, q->type);
    node_state(node, INITIAL, state_rows, K, 0, final);
    node_run(node);
    return x;
}
