#include "kernels/positions/sinusoid/sinusoid.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/positions/rotary/rotary.h"
#include "tile/rows.h"

static void sinusoid_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const int64_t half = x->cols / 2;
    RotaryTableArguments table = {.half = half};
    for (int64_t i = 0; i < half; i++) table.frequency[i] = half > 1 ? pow(10000, -(double)i / (double)(half - 1)) : 1;
    const int32_t *entry = rotary_table(node, &table);
    const SinusoidArguments arguments = {.x = x->data,
                                         .table = table.table,
                                         .entry = entry,
                                         .y = y->data,
                                         .rows = x->rows,
                                         .half = half,
                                         .rows_per_program = rows_per_program(x->cols),
                                         .x_stride = x->stride,
                                         .y_stride = y->stride};
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_sinusoid, x->type, grid, &arguments);
}

static void sinusoid_backward(Node *node) { node_share_gradient(node, 0, node->out[0]); }

static Work sinusoid_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){n, 2 * n * (double)dtype_size(y->type), 0};
}

static const Op sinusoid_op = {"sinusoid", true, sinusoid_forward, sinusoid_backward, sinusoid_work};

Tensor *sinusoid(Tape *tape, Tensor *x) {
    CHECK(x->cols % 2 == 0 && x->cols <= 2 * ROTARY_HALF, "sinusoid of %lld columns", (long long)x->cols);
    Node *node = tape_node(tape, &sinusoid_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return y;
}
