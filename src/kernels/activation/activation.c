#include "kernels/activation/activation.h"

#include "core/check.h"
#include "kernels/ops.h"
#include "kernels/rows.h"

typedef struct ActivationAttributes {
    Activation kind;
} ActivationAttributes;

static void activation_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const ActivationArguments arguments = {
        .x = x->data,
        .y = y->data,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .kind = ((const ActivationAttributes *)node->attributes)->kind,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_activation, x->type, grid, &arguments);
}

static void activation_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const ActivationBackwardArguments arguments = {
        .x = x->data,
        .dy = y->gradient,
        .dx = x->gradient,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .dy_stride = y->stride,
        .kind = ((const ActivationAttributes *)node->attributes)->kind,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_activation_backward, x->type, grid, &arguments);
}

static Work activation_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){4 * n, 2 * n * (double)dtype_size(y->type)};
}

static const Op activation_op = {"activation", true, activation_forward, activation_backward, activation_work};

Tensor *activation(Tape *tape, Tensor *x, Activation kind) {
    CHECK(kind >= 0 && kind < ACTIVATIONS, "there is no activation %d", (int)kind);
    Node *node = tape_node(tape, &activation_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    ((ActivationAttributes *)node->attributes)->kind = kind;
    node_run(node);
    return y;
}
