#include "core/add.h"

#include "base/check.h"
#include "kernels/ops.h"

static void add_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->in[1], *z = node->out[0];
    const AddArguments arguments = {.x = x->data,
                                    .y = y->data,
                                    .z = z->data,
                                    .rows = z->rows,
                                    .cols = z->cols,
                                    .x_stride = x->stride,
                                    .y_stride = y->stride,
                                    .z_stride = z->stride};
    add_launch(node->tape->device, z->type, &arguments);
}

static void add_backward(Node *node) {
    node_share_gradient(node, 0, node->out[0]);
    node_share_gradient(node, 1, node->out[0]);
}

static Work add_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){n, 3 * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op add_op = {"add", false, add_forward, add_backward, add_work};

Tensor *add(Tape *tape, Tensor *x, Tensor *y) {
    CHECK(x->rows == y->rows && x->cols == y->cols && x->type == y->type, "add of different shapes");
    Node *node = tape_node(tape, &add_op, (Tensor *[]){x, y}, 2);
    Tensor *z = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return z;
}
