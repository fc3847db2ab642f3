/* A term of the loss in addition to the cross-entropy. Backward ignores the gradient of the output: x gets that of the
 * loss. */
#include "kernels/basic/add_loss/add_loss.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static AddLossArguments arguments_of(const Node *node) {
    const Tensor *x = node->in[0];
    const Batch *batch = node->tape->batch;
    const bool adds = node->tape->recording && !node->has_run; /* not when the node is recomputed for backward */
    return (AddLossArguments){.x = x->data,
                              .dx = x->gradient,
                              .y = node->out[0]->data,
                              .losses = adds ? batch->added_losses : NULL,
                              .labels = batch->labels,
                              .rows = x->rows,
                              .T = batch->T,
                              .cols = x->cols,
                              .x_stride = x->stride,
                              .rows_per_program = rows_per_program(x->cols),
                              .factor = *(const float *)node->attributes};
}

static void launch(const Node *node, Kernel kernel) {
    const AddLossArguments arguments = arguments_of(node);
    node->tape->device->launch(kernel, node->tape->type,
                               (Grid){blocks_of(arguments.rows, arguments.rows_per_program), 1, 1}, &arguments);
}

static void add_loss_forward(Node *node) { launch(node, KERNEL_add_loss); }

static void add_loss_backward(Node *node) { launch(node, KERNEL_add_loss_backward); }

static Work add_loss_work(const Node *node) {
    const double n = (double)node->in[0]->rows * (double)node->in[0]->cols;
    return (Work){n, n * (double)dtype_size(F32), 0};
}

static const Op add_loss_op = {"add_loss", true, add_loss_forward, add_loss_backward, add_loss_work};

Tensor *add_loss(Tape *tape, Tensor *x, float factor) {
    CHECK(x->type == F32, "add_loss of numbers that are not fp32");
    Node *node = tape_node(tape, &add_loss_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, 1, F32);
    *(float *)node->attributes = factor;
    node_run(node);
    return y;
}
