#include "kernels/positions/lrpe/lrpe.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, THETA };

static void lrpe_forward(Node *node) {
    const Tensor *x = node->in[X], *theta = node->in[THETA], *y = node->out[0];
    const LrpeArguments arguments = {
        .x = x->data,
        .theta = theta->data,
        .position = node->tape->batch->position,
        .y = y->data,
        .rows = x->rows,
        .heads = theta->rows,
        .D = theta->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
    };
    const Grid grid = {blocks_of(x->rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_lrpe, x->type, grid, &arguments);
}

static void lrpe_backward(Node *node) {
    const Tensor *x = node->in[X], *theta = node->in[THETA], *y = node->out[0];
    const int64_t rows = rows_per_sum(x->rows), programs = blocks_of(x->rows, rows);
    float *partial = tape_workspace(node->tape, programs * x->cols * dtype_size(F32));
    const LrpeBackwardArguments arguments = {
        .x = x->data,
        .theta = theta->data,
        .dy = y->gradient,
        .position = node->tape->batch->position,
        .dx = x->gradient,
        .partial = partial,
        .rows = x->rows,
        .heads = theta->rows,
        .D = theta->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .y_stride = y->stride,
    };
    node->tape->device->launch(KERNEL_lrpe_backward, x->type, (Grid){programs, theta->rows, 1}, &arguments);
    column_sum(node->tape, partial, programs, theta);
}

/* A sine and a cosine with their argument take about 30 operations. */
static Work lrpe_work(const Node *node) {
    const double n = (double)node->in[X]->rows * (double)node->in[X]->cols;
    return (Work){32 * n, 3 * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op lrpe_op = {"lrpe", true, lrpe_forward, lrpe_backward, lrpe_work};

Tensor *lrpe(Tape *tape, Tensor *x, Tensor *theta) {
    CHECK(x->cols == theta->rows * theta->cols && theta->cols <= PROGRAM_COLS,
          "lrpe on %lld columns with frequencies of %lld heads of %lld", (long long)x->cols, (long long)theta->rows,
          (long long)theta->cols);
    Node *node = tape_node(tape, &lrpe_op, (Tensor *[]){x, theta}, 2);
    Tensor *y = node_output(node, x->rows, 2 * x->cols, x->type);
    node_run(node);
    return y;
}
