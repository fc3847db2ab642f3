#include "kernels/products/bias/bias.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, BIAS };

static void bias_forward(Node *node) {
    const Tensor *x = node->in[X], *y = node->out[0];
    const BiasArguments arguments = {
        .x = x->data,
        .bias = node->in[BIAS]->data,
        .y = y->data,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_bias, x->type, grid, &arguments);
}

static void bias_backward(Node *node) {
    const Tensor *y = node->out[0];
    const Device *device = node->tape->device;
    const int64_t rows = rows_per_sum(y->rows), sums = blocks_of(y->rows, rows);
    float *partial = tape_workspace(node->tape, sums * y->cols * dtype_size(F32));
    const BiasBackwardArguments arguments = {.dy = y->gradient,
                                             .partial = partial,
                                             .rows = y->rows,
                                             .cols = y->cols,
                                             .rows_per_program = rows,
                                             .dy_stride = y->stride};
    const Grid grid = {sums, blocks_of(y->cols, WARP_COLS), 1};
    device->launch(KERNEL_bias_backward, y->type, grid, &arguments);
    column_sum(node->tape, partial, sums, node->in[BIAS]);
    node_share_gradient(node, X, node->out[0]);
}

static Work bias_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){n, 2 * n * (double)dtype_size(y->type), 0};
}

static const Op bias_op = {"bias", true, bias_forward, bias_backward, bias_work};

Tensor *bias(Tape *tape, Tensor *x, Tensor *bias) {
    CHECK(bias->rows * bias->cols == x->cols, "bias of %lld elements for %lld columns",
          (long long)(bias->rows * bias->cols), (long long)x->cols);
    Node *node = tape_node(tape, &bias_op, (Tensor *[]){x, bias}, 2);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return y;
}
