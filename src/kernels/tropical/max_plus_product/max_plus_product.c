#include "kernels/tropical/max_plus_product/max_plus_product.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, WEIGHT };

static MaxPlusArguments arguments_of(const Node *node) {
    const Tensor *x = node->in[X], *w = node->in[WEIGHT], *y = node->out[0], *choice = node->saved[0];
    return (MaxPlusArguments){.x = x->data,
                              .w = w->data,
                              .y = y->data,
                              .choice = choice->data,
                              .dy = y->gradient,
                              .dx = x->gradient,
                              .rows = x->rows,
                              .heads = x->cols / w->rows,
                              .cols = w->rows,
                              .outs = w->cols,
                              .rows_per_program = rows_per_program(w->cols),
                              .x_stride = x->stride,
                              .y_stride = y->stride,
                              .choice_stride = choice->stride};
}

static void launch(const Node *node, Kernel kernel, int64_t heads, const MaxPlusArguments *arguments) {
    const Grid grid = {blocks_of(arguments->rows, arguments->rows_per_program), heads, 1};
    node->tape->device->launch(kernel, node->out[0]->type, grid, arguments);
}

static void max_plus_product_forward(Node *node) {
    MaxPlusArguments arguments = arguments_of(node);
    if (node->tape->device->gpu) {
        launch(node, KERNEL_max_plus_product, arguments.heads, &arguments);
    } else {
        arguments.rows_per_program = MAX_PLUS_ROWS;
        launch(node, KERNEL_max_plus_product_block, 1, &arguments);
    }
}

/* On the CPU one kernel computes both gradients. */
static void max_plus_product_backward(Node *node) {
    MaxPlusArguments arguments = arguments_of(node);
    const bool gpu = node->tape->device->gpu;
    if (gpu && arguments.dx) launch(node, KERNEL_max_plus_product_rows, arguments.heads, &arguments);
    if (gpu && !node->in[WEIGHT]->gradient) return;
    arguments.rows_per_program = rows_per_sum(arguments.rows);
    const int64_t sums = blocks_of(arguments.rows, arguments.rows_per_program);
    arguments.partial = tape_workspace(node->tape, sums * arguments.cols * arguments.outs * dtype_size(F32));
    launch(node, gpu ? KERNEL_max_plus_product_weight : KERNEL_max_plus_product_gradients, 1, &arguments);
    if (node->in[WEIGHT]->gradient) column_sum(node->tape, arguments.partial, sums, node->in[WEIGHT]);
}

static Work max_plus_product_work(const Node *node) {
    const Tensor *x = node->in[X], *y = node->out[0];
    const double outputs = (double)y->rows * (double)y->cols, inputs = (double)x->rows * (double)x->cols;
    return (Work){2 * outputs * (double)node->in[WEIGHT]->rows,
                  (inputs + outputs) * (double)dtype_size(x->type) + outputs * (double)dtype_size(I32), 0};
}

static const Op max_plus_product_op = {"max_plus_product", false, max_plus_product_forward, max_plus_product_backward,
                                       max_plus_product_work};

Tensor *max_plus_product(Tape *tape, Tensor *x, Tensor *w) {
    CHECK(x->cols % w->rows == 0 && w->rows <= MAX_PLUS_COLS && w->cols <= MAX_PLUS_COLS,
          "max_plus_product of %lld columns by %lld rows of %lld", (long long)x->cols, (long long)w->rows,
          (long long)w->cols);
    Node *node = tape_node(tape, &max_plus_product_op, (Tensor *[]){x, w}, 2);
    Tensor *y = node_output(node, x->rows, x->cols / w->rows * w->cols, x->type);
    node_save(node, y->rows, y->cols, I32);
    node_run(node);
    return y;
}
