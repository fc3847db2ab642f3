#include "kernels/gates/channel_decay/channel_decay.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, A_LOG, DT_BIAS };

static ChannelDecayArguments arguments_of(const Node *node) {
    const Tensor *x = node->in[X], *A_log = node->in[A_LOG], *g = node->out[0];
    const int64_t heads = A_log->rows * A_log->cols;
    return (ChannelDecayArguments){.x = x->data,
                                   .A_log = A_log->data,
                                   .dt_bias = node->in[DT_BIAS]->data,
                                   .g = g->data,
                                   .dg = g->gradient,
                                   .dx = x->gradient,
                                   .rows = x->rows,
                                   .heads = heads,
                                   .cols = x->cols / heads,
                                   .rows_per_program = rows_per_program(x->cols / heads),
                                   .x_stride = x->stride,
                                   .g_stride = g->stride,
                                   .lower_bound = *(const float *)node->attributes};
}

static void channel_decay_forward(Node *node) {
    const ChannelDecayArguments arguments = arguments_of(node);
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), arguments.heads, 1};
    node->tape->device->launch(KERNEL_channel_decay, node->in[X]->type, grid, &arguments);
}

static void channel_decay_backward(Node *node) {
    const Tensor *x = node->in[X];
    ChannelDecayArguments arguments = arguments_of(node);
    arguments.rows_per_program = rows_per_sum(x->rows);
    const int64_t sums = blocks_of(x->rows, arguments.rows_per_program);
    arguments.partial_A_log = tape_workspace(node->tape, sums * arguments.heads * dtype_size(F32));
    arguments.partial_dt_bias = tape_workspace(node->tape, sums * x->cols * dtype_size(F32));
    node->tape->device->launch(KERNEL_channel_decay_backward, x->type, (Grid){sums, arguments.heads, 1}, &arguments);
    column_sum(node->tape, arguments.partial_A_log, sums, node->in[A_LOG]);
    column_sum(node->tape, arguments.partial_dt_bias, sums, node->in[DT_BIAS]);
}

static Work channel_decay_work(const Node *node) {
    const Tensor *x = node->in[X];
    const double n = (double)x->rows * (double)x->cols;
    return (Work){8 * n, n * (double)(dtype_size(x->type) + dtype_size(F32)), 0};
}

static const Op channel_decay_op = {"channel_decay", true, channel_decay_forward, channel_decay_backward,
                                    channel_decay_work};

Tensor *channel_decay(Tape *tape, Tensor *x, Tensor *A_log, Tensor *dt_bias, float lower_bound) {
    const int64_t heads = A_log->rows * A_log->cols;
    CHECK(x->cols % heads == 0 && x->cols / heads <= CHANNEL_DECAY_COLS && dt_bias->rows * dt_bias->cols == x->cols,
          "channel_decay with parameters of another width, or more than %d channels per head", CHANNEL_DECAY_COLS);
    Node *node = tape_node(tape, &channel_decay_op, (Tensor *[]){x, A_log, dt_bias}, 3);
    *(float *)node->attributes = lower_bound;
    Tensor *g = node_output(node, x->rows, x->cols, F32);
    node_run(node);
    return g;
}
