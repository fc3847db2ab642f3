#include "kernels/gates/multiply/multiply.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static void launch(const Node *node, Kernel kernel) {
    const Tensor *x = node->in[0], *y = node->in[1], *z = node->out[0];
    const MultiplyArguments arguments = {
        .x = x->data,
        .y = y->data,
        .dz = z->gradient,
        .z = z->data,
        .dx = x->gradient,
        .dy = y->gradient,
        .rows = z->rows,
        .cols = z->cols,
        .rows_per_program = rows_per_program(z->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .z_stride = z->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, z->type, grid, &arguments);
}

static void multiply_forward(Node *node) { launch(node, KERNEL_multiply); }

static void multiply_backward(Node *node) { launch(node, KERNEL_multiply_backward); }

static Work multiply_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){n, 3 * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op multiply_op = {"multiply", true, multiply_forward, multiply_backward, multiply_work};

Tensor *multiply(Tape *tape, Tensor *x, Tensor *y) {
    CHECK(x != y, "multiply of a tensor by itself: its gradient has two parts");
    CHECK(x->rows == y->rows && x->cols == y->cols && x->type == y->type, "multiply of different shapes");
    Node *node = tape_node(tape, &multiply_op, (Tensor *[]){x, y}, 2);
    Tensor *z = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return z;
}
