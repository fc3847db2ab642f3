#include "kernels/convolution/token_shift/token_shift.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static void launch(const Node *node, const void *from, int64_t from_stride, void *to, int64_t to_stride, int64_t step) {
    const Tensor *x = node->in[0];
    const TokenShiftArguments arguments = {
        .from = from,
        .to = to,
        .position = node->tape->batch->position,
        .rows = x->rows,
        .cols = x->cols,
        .step = step,
        .rows_per_program = rows_per_program(x->cols),
        .from_stride = from_stride,
        .to_stride = to_stride,
        .fp32 = x->type == F32,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_token_shift, node->tape->type, grid, &arguments);
}

static void token_shift_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    launch(node, x->data, x->stride, y->data, y->stride, -1);
}

static void token_shift_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    launch(node, y->gradient, y->stride, x->gradient, x->stride, 1);
}

/* The work has no state: a recurrence reads the shifted rows (rwkv6), and can take in a token's row before the next
 * token comes. */
static Work token_shift_work(const Node *node) {
    const Tensor *y = node->out[0];
    return (Work){0, 2 * (double)y->rows * (double)y->cols * (double)dtype_size(y->type), 0};
}

static const Op token_shift_op = {"token_shift", true, token_shift_forward, token_shift_backward, token_shift_work};

Tensor *token_shift(Tape *tape, Tensor *x) {
    CHECK(x->type == tape->type || x->type == F32, "token_shift of neither elements nor fp32 numbers");
    Node *node = tape_node(tape, &token_shift_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_past(node, 1, 0, 1, PAST_IN_FRONT);
    node_run(node);
    return y;
}
