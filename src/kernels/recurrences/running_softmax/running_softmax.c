#include "kernels/recurrences/running_softmax/running_softmax.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { S, INITIAL }; /* inputs; INITIAL may be NULL */
enum { WEIGHT, GATE, FINAL };

static int64_t chunks_of(const Node *node) { return blocks_of(node->tape->batch->T, RUNNING_SOFTMAX_ROWS); }

/* Workspace for one of the two numbers per column that chunks pass on. */
static float *workspace_of_chunks(const Node *node) {
    const int64_t numbers = node->tape->batch->B * chunks_of(node) * node->in[S]->cols;
    return tape_workspace(node->tape, numbers * dtype_size(F32));
}

/* Launches three kernels: over the rows of each chunk, then over the chunks, then over the rows again. */
static void launch(const Node *node, Kernel totals, Kernel carry, Kernel rows, const void *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[S]->type;
    const int64_t B = node->tape->batch->B, blocks = blocks_of(node->in[S]->cols, RUNNING_SOFTMAX_COLS);
    const Grid grid = {blocks, chunks_of(node), B};
    device->launch(totals, type, grid, arguments);
    device->launch(carry, type, (Grid){blocks, B, 1}, arguments);
    device->launch(rows, type, grid, arguments);
}

static void running_softmax_forward(Node *node) {
    const Tensor *s = node->in[S], *initial = node->in[INITIAL], *weight = node->out[WEIGHT], *g = node->out[GATE];
    const RunningSoftmaxArguments arguments = {
        .s = s->data,
        .initial = initial ? initial->data : NULL,
        .segment = node->tape->batch->segment,
        .largest = workspace_of_chunks(node),
        .sum = workspace_of_chunks(node),
        .weight = weight->data,
        .g = g->data,
        .final = node->outputs > FINAL ? node->out[FINAL]->data : NULL,
        .T = node->tape->batch->T,
        .chunks = chunks_of(node),
        .cols = s->cols,
        .s_stride = s->stride,
        .weight_stride = weight->stride,
        .g_stride = g->stride,
        .initial_stride = initial ? initial->stride : 0,
    };
    launch(node, KERNEL_running_softmax_totals, KERNEL_running_softmax_carry, KERNEL_running_softmax, &arguments);
}

static void running_softmax_backward(Node *node) {
    const Tensor *s = node->in[S], *initial = node->in[INITIAL], *weight = node->out[WEIGHT], *g = node->out[GATE];
    const RunningSoftmaxBackwardArguments arguments = {
        .weight = weight->data,
        .dweight = weight->gradient,
        .g = g->data,
        .dg = g->gradient,
        .dfinal = node->outputs > FINAL ? node->out[FINAL]->gradient : NULL,
        .segment = node->tape->batch->segment,
        .factor = workspace_of_chunks(node),
        .term = workspace_of_chunks(node),
        .ds = s->gradient,
        .dinitial = initial ? initial->gradient : NULL,
        .T = node->tape->batch->T,
        .chunks = chunks_of(node),
        .cols = s->cols,
        .s_stride = s->stride,
        .weight_stride = weight->stride,
        .g_stride = g->stride,
        .initial_stride = initial ? initial->stride : 0,
        .has_initial = initial != NULL,
    };
    launch(node, KERNEL_running_softmax_backward_totals, KERNEL_running_softmax_backward_carry,
           KERNEL_running_softmax_backward, &arguments);
}

static Work running_softmax_work(const Node *node) {
    const Tensor *s = node->in[S];
    const double n = (double)s->rows * (double)s->cols;
    return (Work){8 * n, n * (double)(2 * dtype_size(s->type) + dtype_size(F32)),
                  (double)s->cols * (double)dtype_size(F32)};
}

static const Op running_softmax_op = {"running_softmax", true, running_softmax_forward, running_softmax_backward,
                                      running_softmax_work};

Tensor *running_softmax(Tape *tape, Tensor *s, Tensor *initial, Tensor **g, Tensor **final) {
    const int64_t B = tape->batch->B;
    CHECK(s->rows == B * tape->batch->T, "running_softmax: rows are not the batch's tokens");
    CHECK(!initial || (initial->rows == B && initial->cols == s->cols && initial->type == F32),
          "running_softmax: the initial state is not fp32 [B, cols]");
    Node *node = tape_node(tape, &running_softmax_op, (Tensor *[]){s, initial}, 2);
    Tensor *weight = node_output(node, s->rows, s->cols, s->type);
    *g = node_output(node, s->rows, s->cols, F32);
    node_state(node, INITIAL, B, s->cols, RUNNING_SOFTMAX_NO_BYTES, final);
    node_run(node);
    return weight;
}
