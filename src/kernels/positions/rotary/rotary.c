#include "kernels/positions/rotary/rotary.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct RotaryAttributes {
    int64_t head_dim;
    float theta;
} RotaryAttributes;

/* The table of all positions, in the running op's workspace. */
static const float *table_of(const Node *node) {
    const RotaryAttributes *attributes = (const RotaryAttributes *)node->attributes;
    const int64_t half = attributes->head_dim / 2, T = node->tape->batch->T;
    RotaryTableArguments arguments = {
        .table = tape_workspace(node->tape, T * 2 * half * dtype_size(F32)), .positions = T, .half = half};
    for (int64_t i = 0; i < half; i++)
        arguments.frequency[i] = pow((double)attributes->theta, -2.0 * (double)i / (double)attributes->head_dim);
    const Grid grid = {blocks_of(T, ROTARY_POSITIONS), 1, 1};
    node->tape->device->launch(KERNEL_rotary_table, node->out[0]->type, grid, &arguments);
    return arguments.table;
}

static void rotate(const Node *node, const void *from, int64_t from_stride, void *to, int64_t to_stride,
                   float direction) {
    const Tensor *x = node->in[0];
    const int64_t head_dim = ((const RotaryAttributes *)node->attributes)->head_dim;
    const RotaryArguments arguments = {
        .x = from,
        .table = table_of(node),
        .position = node->tape->batch->position,
        .y = to,
        .rows = x->rows,
        .heads = x->cols / head_dim,
        .half = head_dim / 2,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = from_stride,
        .y_stride = to_stride,
        .direction = direction,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_rotary, x->type, grid, &arguments);
}

static void rotary_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    rotate(node, x->data, x->stride, y->data, y->stride, 1);
}

static void rotary_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    rotate(node, y->gradient, y->stride, x->gradient, x->stride, -1);
}

static Work rotary_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){3 * n, 2 * n * (double)dtype_size(y->type), 0};
}

static const Op rotary_op = {"rotary", true, rotary_forward, rotary_backward, rotary_work};

Tensor *rotary(Tape *tape, Tensor *x, int64_t head_dim, float theta) {
    CHECK(head_dim > 0 && head_dim % 2 == 0 && head_dim <= 2 * ROTARY_HALF && x->cols % head_dim == 0,
          "rotary on %lld columns with heads of %lld", (long long)x->cols, (long long)head_dim);
    Node *node = tape_node(tape, &rotary_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    *(RotaryAttributes *)node->attributes = (RotaryAttributes){head_dim, theta};
    node_run(node);
    return y;
}
