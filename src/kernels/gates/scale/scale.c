#include "kernels/gates/scale/scale.h"

#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct ScaleAttributes {
    float factor;
} ScaleAttributes;

static void multiply_by_factor(const Node *node, const void *from, int64_t from_stride, void *to, int64_t to_stride) {
    const Tensor *x = node->in[0];
    const ScaleArguments arguments = {
        .x = from,
        .y = to,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = from_stride,
        .y_stride = to_stride,
        .factor = ((const ScaleAttributes *)node->attributes)->factor,
    };
    const Grid grid = {blocks_of(x->rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_scale, x->type, grid, &arguments);
}

static void scale_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    multiply_by_factor(node, x->data, x->stride, y->data, y->stride);
}

static void scale_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    multiply_by_factor(node, y->gradient, y->stride, x->gradient, x->stride);
}

static Work scale_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){n, 2 * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op scale_op = {"scale", true, scale_forward, scale_backward, scale_work};

Tensor *scale(Tape *tape, Tensor *x, float factor) {
    Node *node = tape_node(tape, &scale_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    ((ScaleAttributes *)node->attributes)->factor = factor;
    node_run(node);
    return y;
}
