#include "kernels/products/biased_product/biased_product.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, X_BIAS, Y, Y_BIAS };

static void biased_product_forward(Node *node) {
    const Tensor *x = node->in[X], *y = node->in[Y], *z = node->out[0];
    const BiasedProductArguments arguments = {
        .x = x->data,
        .y = y->data,
        .x_bias = node->in[X_BIAS]->data,
        .y_bias = node->in[Y_BIAS]->data,
        .z = z->data,
        .rows = x->rows,
        .heads = x->cols / node->in[X_BIAS]->cols,
        .cols = node->in[X_BIAS]->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .z_stride = z->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_biased_product, x->type, grid, &arguments);
}

static void biased_product_backward(Node *node) {
    const Tensor *x = node->in[X], *y = node->in[Y], *z = node->out[0], *x_bias = node->in[X_BIAS];
    const Device *device = node->tape->device;
    const int64_t rows = rows_per_sum(x->rows), sums = blocks_of(x->rows, rows),
                  bytes = sums * x_bias->cols * dtype_size(F32);
    const BiasedProductBackwardArguments arguments = {
        .x = x->data,
        .y = y->data,
        .x_bias = x_bias->data,
        .y_bias = node->in[Y_BIAS]->data,
        .dz = z->gradient,
        .dx = x->gradient,
        .dy = y->gradient,
        .partial_x = tape_workspace(node->tape, bytes),
        .partial_y = tape_workspace(node->tape, bytes),
        .rows = x->rows,
        .heads = x->cols / x_bias->cols,
        .cols = x_bias->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .y_stride = y->stride,
        .dz_stride = z->stride,
    };
    const Grid grid = {sums, blocks_of(x_bias->cols, WARP_COLS), 1};
    device->launch(KERNEL_biased_product_backward, x->type, grid, &arguments);
    column_sum(node->tape, arguments.partial_x, sums, x_bias);
    column_sum(node->tape, arguments.partial_y, sums, node->in[Y_BIAS]);
}

static Work biased_product_work(const Node *node) {
    const Tensor *z = node->out[0];
    const double n = (double)z->rows * (double)z->cols;
    return (Work){3 * n, 3 * n * (double)dtype_size(z->type), 0};
}

static const Op biased_product_op = {"biased_product", true, biased_product_forward, biased_product_backward,
                                     biased_product_work};

Tensor *biased_product(Tape *tape, Tensor *x, Tensor *x_bias, Tensor *y, Tensor *y_bias) {
    CHECK(x->rows == y->rows && x->cols == y->cols && x->type == y->type, "biased_product of two shapes");
    CHECK(x_bias->rows == 1 && y_bias->rows == 1 && x_bias->cols == y_bias->cols && x->cols % x_bias->cols == 0,
          "biased_product: %lld columns with biases of %lld and %lld", (long long)x->cols, (long long)x_bias->cols,
          (long long)y_bias->cols);
    Node *node = tape_node(tape, &biased_product_op, (Tensor *[]){x, x_bias, y, y_bias}, 4);
    Tensor *z = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return z;
}
