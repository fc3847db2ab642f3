#include "kernels/positions/sinusoid_table/sinusoid_table.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static void sinusoid_table_forward(Node *node) {
    const Tensor *y = node->out[0];
    const SinusoidTableArguments arguments = {.y = y->data,
                                              .rows = y->rows,
                                              .half = y->cols / 2,
                                              .rows_per_program = rows_per_program(y->cols),
                                              .step = *(const double *)node->attributes};
    const Grid grid = {blocks_of(y->rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_sinusoid_table, y->type, grid, &arguments);
}

static void sinusoid_table_backward(Node *node) { (void)node; }

static Work sinusoid_table_work(const Node *node) { return (Work){0, (double)tensor_bytes(node->out[0]), 0}; }

static const Op sinusoid_table_op = {"sinusoid_table", true, sinusoid_table_forward, sinusoid_table_backward,
                                     sinusoid_table_work};

Tensor *sinusoid_table(Tape *tape, int64_t rows, int64_t cols, float theta) {
    CHECK(cols % 2 == 0, "a sinusoid_table of %lld columns", (long long)cols);
    Node *node = tape_node(tape, &sinusoid_table_op, NULL, 0);
    Tensor *y = node_output(node, rows, cols, tape->type);
    *(double *)node->attributes = 2 * log((double)theta) / (double)cols;
    node_run(node);
    return y;
}
