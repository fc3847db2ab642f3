#include "kernels/basic/reverse/reverse.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static void launch(const Node *node, const void *from, int64_t from_stride, void *to, int64_t to_stride) {
    const Tensor *x = node->in[0];
    const Batch *batch = node->tape->batch;
    const ReverseArguments arguments = {.from = from,
                                        .to = to,
                                        .segment = batch->segment,
                                        .position = batch->position,
                                        .rows = x->rows,
                                        .T = batch->T,
                                        .cols = x->cols,
                                        .rows_per_program = rows_per_program(x->cols),
                                        .from_stride = from_stride,
                                        .to_stride = to_stride};
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_reverse, x->type, grid, &arguments);
}

static void reverse_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    launch(node, x->data, x->stride, y->data, y->stride);
}

static void reverse_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    launch(node, y->gradient, y->stride, x->gradient, x->stride);
}

static Work reverse_work(const Node *node) {
    const Tensor *y = node->out[0];
    return (Work){0, 2 * (double)y->rows * (double)y->cols * (double)dtype_size(y->type), 0};
}

static const Op reverse_op = {"reverse", true, reverse_forward, reverse_backward, reverse_work};

Tensor *reverse(Tape *tape, Tensor *x) {
    CHECK(x->type == tape->type, "reverse of elements only");
    Node *node = tape_node(tape, &reverse_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return y;
}
