#include "kernels/gates/log_sigmoid_gate/log_sigmoid_gate.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, BIAS }; /* BIAS may be NULL */

typedef struct LogSigmoidGateAttributes {
    float factor, clamp_min;
} LogSigmoidGateAttributes;

static void log_sigmoid_gate_forward(Node *node) {
    const Tensor *x = node->in[X], *bias = node->in[BIAS], *g = node->out[0];
    const LogSigmoidGateAttributes *attributes = (const LogSigmoidGateAttributes *)node->attributes;
    const LogSigmoidGateArguments arguments = {
        .x = x->data,
        .bias = bias ? bias->data : NULL,
        .g = g->data,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .g_stride = g->stride,
        .factor = attributes->factor,
        .clamp_min = attributes->clamp_min,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_log_sigmoid_gate, x->type, grid, &arguments);
}

static void log_sigmoid_gate_backward(Node *node) {
    const Tensor *x = node->in[X], *bias = node->in[BIAS], *g = node->out[0];
    const LogSigmoidGateAttributes *attributes = (const LogSigmoidGateAttributes *)node->attributes;
    const Device *device = node->tape->device;
    const int64_t rows = rows_per_sum(x->rows), sums = blocks_of(x->rows, rows);
    float *partial = tape_workspace(node->tape, sums * x->cols * dtype_size(F32));
    const LogSigmoidGateBackwardArguments arguments = {
        .x = x->data,
        .bias = bias ? bias->data : NULL,
        .dg = g->gradient,
        .dx = x->gradient,
        .partial = partial,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .dg_stride = g->stride,
        .factor = attributes->factor,
        .clamp_min = attributes->clamp_min,
    };
    const Grid grid = {sums, blocks_of(x->cols, WARP_COLS), 1};
    device->launch(KERNEL_log_sigmoid_gate_backward, x->type, grid, &arguments);
    if (bias) column_sum(node->tape, partial, sums, bias);
}

static Work log_sigmoid_gate_work(const Node *node) {
    const Tensor *x = node->in[X], *g = node->out[0];
    const double n = (double)x->rows * (double)x->cols;
    return (Work){6 * n, n * (double)(dtype_size(x->type) + dtype_size(g->type)), 0};
}

static const Op log_sigmoid_gate_op = {"log_sigmoid_gate", true, log_sigmoid_gate_forward, log_sigmoid_gate_backward,
                                       log_sigmoid_gate_work};

Tensor *log_sigmoid_gate(Tape *tape, Tensor *x, Tensor *bias, float normalizer, float clamp_min) {
    CHECK(!bias || bias->rows * bias->cols == x->cols, "log_sigmoid_gate with a bias of another width");
    Node *node = tape_node(tape, &log_sigmoid_gate_op, (Tensor *[]){x, bias}, 2);
    Tensor *g = node_output(node, x->rows, x->cols, F32);
    *(LogSigmoidGateAttributes *)node->attributes = (LogSigmoidGateAttributes){1.0f / normalizer, clamp_min};
    node_run(node);
    return g;
}
