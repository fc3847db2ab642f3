#include "kernels/gates/swiglu/swiglu.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { GATE, UP };

static void swiglu_forward(Node *node) {
    const Tensor *gate = node->in[GATE], *up = node->in[UP], *y = node->out[0];
    const SwigluArguments arguments = {
        .gate = gate->data,
        .up = up->data,
        .y = y->data,
        .rows = y->rows,
        .cols = y->cols,
        .rows_per_program = rows_per_program(y->cols),
        .gate_stride = gate->stride,
        .up_stride = up->stride,
        .y_stride = y->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_swiglu, y->type, grid, &arguments);
}

static void swiglu_backward(Node *node) {
    const Tensor *gate = node->in[GATE], *up = node->in[UP], *y = node->out[0];
    const SwigluBackwardArguments arguments = {
        .gate = gate->data,
        .up = up->data,
        .dy = y->gradient,
        .dgate = gate->gradient,
        .dup = up->gradient,
        .rows = y->rows,
        .cols = y->cols,
        .rows_per_program = rows_per_program(y->cols),
        .gate_stride = gate->stride,
        .up_stride = up->stride,
        .dy_stride = y->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_swiglu_backward, y->type, grid, &arguments);
}

static Work swiglu_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){5 * n, 3 * n * (double)dtype_size(y->type), 0};
}

static const Op swiglu_op = {"swiglu", true, swiglu_forward, swiglu_backward, swiglu_work};

Tensor *swiglu(Tape *tape, Tensor *gate, Tensor *up) {
    CHECK(gate->rows == up->rows && gate->cols == up->cols && gate->type == up->type, "swiglu of different shapes");
    Node *node = tape_node(tape, &swiglu_op, (Tensor *[]){gate, up}, 2);
    Tensor *y = node_output(node, up->rows, up->cols, up->type);
    node_run(node);
    return y;
}
