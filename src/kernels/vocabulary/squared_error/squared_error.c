#include "kernels/vocabulary/squared_error/squared_error.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { Y, VALUE };

static SquaredErrorArguments arguments_of(const Node *node) {
    const Tensor *y = node->in[Y];
    return (SquaredErrorArguments){.y = y->data,
                                   .value = node->in[VALUE]->data,
                                   .labels = node->tape->batch->labels,
                                   .rows = y->rows,
                                   .y_stride = y->stride};
}

static void squared_error_forward(Node *node) {
    SquaredErrorArguments arguments = arguments_of(node);
    arguments.loss = node->out[0]->data;
    const Grid grid = {blocks_of(arguments.rows, ERROR_ROWS), 1, 1};
    node->tape->device->launch(KERNEL_squared_error, node->in[Y]->type, grid, &arguments);
}

static void squared_error_backward(Node *node) {
    SquaredErrorArguments arguments = arguments_of(node);
    arguments.dy = node->in[Y]->gradient;
    arguments.dvalue = node->in[VALUE]->gradient;
    const Grid grid = {blocks_of(arguments.rows, ERROR_ROWS), 1, 1};
    node->tape->device->launch(KERNEL_squared_error_backward, node->in[Y]->type, grid, &arguments);
}

static Work squared_error_work(const Node *node) {
    const double n = (double)node->in[Y]->rows;
    return (Work){2 * n, n * (double)(dtype_size(node->in[Y]->type) + 12), 0};
}

static const Op squared_error_op = {"squared_error", true, squared_error_forward, squared_error_backward,
                                    squared_error_work};

Tensor *squared_error(Tape *tape, Tensor *y, Tensor *value) {
    CHECK(y->cols == 1 && value->cols == 1 && value->stride == 1 && value->type == F32, "squared_error of columns");
    Node *node = tape_node(tape, &squared_error_op, (Tensor *[]){y, value}, 2);
    Tensor *losses = node_output(node, y->rows, 1, F32);
    CHECK(losses->stride == 1, "losses lie apart");
    node_run(node);
    return losses;
}
