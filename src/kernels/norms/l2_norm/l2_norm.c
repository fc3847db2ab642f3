#include "kernels/norms/l2_norm/l2_norm.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct L2NormAttributes {
    int64_t cols;
    float eps, length;
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
        .length = attributes->length,
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
        .length = attributes->length,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_l2_norm_backward, x->type, grid, &arguments);
}

static Work l2_norm_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){3 * n, 2 * n * (double)dtype_size(y->type), 0};
}

static const Op l2_norm_op = {"l2_norm", true, l2_norm_forward, l2_norm_backward, l2_norm_work};
static const Op rms_norm_plain_op = {"rms_norm_plain", true, l2_norm_forward, l2_norm_backward, l2_norm_work};

static Tensor *norm(Tape *tape, const Op *op, Tensor *x, L2NormAttributes attributes) {
    CHECK(attributes.cols > 0 && x->cols % attributes.cols == 0, "%s of %lld columns in groups of %lld", op->name,
          (long long)x->cols, (long long)attributes.cols);
    Node *node = tape_node(tape, op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_save(node, x->rows, x->cols / attributes.cols, F32);
    *(L2NormAttributes *)node->attributes = attributes;
    node_run(node);
    return y;
}

Tensor *l2_norm(Tape *tape, Tensor *x, int64_t cols, float eps) {
    return norm(tape, &l2_norm_op, x, (L2NormAttributes){cols, eps, 1});
}

/* If the mean of the squares is 1, the length is sqrt(cols). */
Tensor *rms_norm_plain(Tape *tape, Tensor *x, int64_t cols, float eps) {
    return norm(tape, &rms_norm_plain_op, x, (L2NormAttributes){cols, (float)cols * eps, sqrtf((float)cols)});
}
