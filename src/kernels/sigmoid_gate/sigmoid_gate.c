#include "kernels/sigmoid_gate/sigmoid_gate.h"

#include "kernels/ops.h"
#include "kernels/rows.h"

typedef struct SigmoidGateAttributes {
    float factor;
} SigmoidGateAttributes;

static void sigmoid_gate_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const SigmoidGateArguments arguments = {
        .x = x->data,
        .y = y->data,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .factor = ((const SigmoidGateAttributes *)node->attributes)->factor,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_sigmoid_gate, x->type, grid, &arguments);
}

static void sigmoid_gate_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const SigmoidGateBackwardArguments arguments = {
        .x = x->data,
        .dy = y->gradient,
        .dx = x->gradient,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .dy_stride = y->stride,
        .factor = ((const SigmoidGateAttributes *)node->attributes)->factor,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_sigmoid_gate_backward, x->type, grid, &arguments);
}

static Work sigmoid_gate_work(const Node *node) {
    const Tensor *x = node->in[0];
    const double n = (double)x->rows * (double)x->cols;
    return (Work){4 * n, n * (double)(dtype_size(x->type) + dtype_size(F32))};
}

static const Op sigmoid_gate_op = {"sigmoid_gate", true, sigmoid_gate_forward, sigmoid_gate_backward,
                                   sigmoid_gate_work};

Tensor *sigmoid_gate(Tape *tape, Tensor *x, float factor) {
    Node *node = tape_node(tape, &sigmoid_gate_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, F32);
    ((SigmoidGateAttributes *)node->attributes)->factor = factor;
    node_run(node);
    return y;
}
