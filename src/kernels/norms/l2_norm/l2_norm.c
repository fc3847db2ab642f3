#include "kernels/norms/l2_norm/l2_norm.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct L2NormAttributes {
    int64_t cols;
    float eps;
} L2NormAttributes;

static void l2_norm_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const L2NormAttributes *attributes = (const L2NormAttributes *)node->attributes;
    const L2NormArguments arguments = {
        .x = x->data,
        .y = y->data,
        .inverse = node->saved[0]->data,
        .rows = x->rows,
        .groups = x->cols / attributes->cols,
        .cols = attributes->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .eps = attributes->eps,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_l2_norm, x->type, grid, &arguments);
}

static void l2_norm_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const L2NormAttributes *attributes = (const L2NormAttributes *)node->attributes;
    const L2NormBackwardArguments arguments = {
        .x = x->data,
        .dy = y->gradient,
        .inverse = node->saved[0]->data,
        .dx = x->gradient,
        .rows = x->rows,
        .groups = x->cols / attributes->cols,
        .cols = attributes->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .dy_stride = y->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_l2_norm_backward, x->type, grid, &arguments);
}

static Work l2_norm_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){3 * n, 2 * n * (double)dtype_size(y->type)};
}

static const Op l2_norm_op = {"l2_norm", true, l2_norm_forward, l2_norm_backward, l2_norm_work};

Tensor *l2_norm(Tape *tape, Tensor *x, int64_t cols, float eps) {
    CHECK(cols > 0 && x->cols % cols == 0, "l2_norm of %lld columns in groups of %lld", (long long)x->cols,
          (long long)cols);
    Node *node = tape_node(tape, &l2_norm_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_save(node, x->rows, x->cols / cols, F32);
    *(L2NormAttributes *)node->attributes = (L2NormAttributes){cols, eps};
    node_run(node);
    return y;
}
