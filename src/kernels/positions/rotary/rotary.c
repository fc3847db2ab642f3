#include "kernels/positions/rotary/rotary.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct RotaryAttributes {
    int64_t head_dim;
    float theta;
} RotaryAttributes;

const int32_t *rotary_table(const Node *node, RotaryTableArguments *arguments) {
    const Tape *tape = node->tape;
    const Batch *batch = tape->batch;
    arguments->position = tape->carried ? batch->position : NULL;
    arguments->entries = tape->carried ? batch->B * batch->T : batch->T;
    arguments->table = tape_workspace(node->tape, arguments->entries * 2 * arguments->half * dtype_size(F32));
    const Grid grid = {blocks_of(arguments->entries, ROTARY_POSITIONS), 1, 1};
    tape->device->launch(KERNEL_rotary_table, node->out[0]->type, grid, arguments);
    return tape->carried ? NULL : batch->position;
}

static void rotate(const Node *node, const void *from, int64_t from_stride, void *to, int64_t to_stride,
                   float direction) {
    const Tensor *x = node->in[0];
    const RotaryAttributes *attributes = (const RotaryAttributes *)node->attributes;
    const int64_t head_dim = attributes->head_dim, half = head_dim / 2;
    RotaryTableArguments table = {.half = half};
    for (int64_t i = 0; i < half; i++)
        table.frequency[i] = pow((double)attributes->theta, -2.0 * (double)i / (double)head_dim);
    const int32_t *entry = rotary_table(node, &table);
    const RotaryArguments arguments = {
        .x = from,
        .table = table.table,
        .entry = entry,
        .y = to,
        .rows = x->rows,
        .heads = x->cols / head_dim,
        .half = half,
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
