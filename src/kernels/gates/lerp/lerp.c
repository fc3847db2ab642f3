#include "kernels/gates/lerp/lerp.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, Y, W };

static void launch(const Node *node, Kernel kernel) {
    const Tensor *x = node->in[X], *y = node->in[Y], *w = node->in[W], *z = node->out[0];
    const LerpArguments arguments = {
        .x = x->data,
        .y = y->data,
        .w = w->data,
        .dz = z->gradient,
        .z = z->data,
        .dx = x->gradient,
        .dy = y->gradient,
        .dw = w->gradient,
        .rows = z->rows,
        .cols = z->cols,
        .rows_per_program = rows_per_program(z->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .w_stride = w->stride,
        .z_stride = z->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, z->type, grid, &arguments);
}

static void lerp_forward(Node *node) { launch(node, KERNEL_lerp); }

static void lerp_backward(Node *node) { launch(node, KERNEL_lerp_backward); }

static Work lerp_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){3 * n, 4 * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op lerp_op = {"lerp", true, lerp_forward, lerp_backward, lerp_work};

Tensor *lerp(Tape *tape, Tensor *x, Tensor *y, Tensor *w) {
    CHECK(x != y && y != w && x != w, "lerp with a tensor twice: its gradient has two parts");
    CHECK(x->rows == y->rows && x->cols == y->cols && x->type == y->type, "lerp between different shapes");
    CHECK(x->rows == w->rows && x->cols == w->cols && x->type == w->type, "lerp with a weight of another shape");
    Node *node = tape_node(tape, &lerp_op, (Tensor *[]){x, y, w}, 3);
    Tensor *z = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return z;
}
