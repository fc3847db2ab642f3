#include "kernels/gates/softplus_decay/softplus_decay.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, A_LOG, DT_BIAS };

/* Rows are short, with one number per head, so a program has up to 128 of them. */
static int64_t rows_of_program(int64_t cols) { return rows_per_program(cols) < 128 ? rows_per_program(cols) : 128; }

static void softplus_decay_forward(Node *node) {
    const Tensor *x = node->in[X], *g = node->out[0], *s = node->outputs > 1 ? node->out[1] : NULL;
    const SoftplusDecayArguments arguments = {
        .x = x->data,
        .A_log = node->in[A_LOG]->data,
        .dt_bias = node->in[DT_BIAS]->data,
        .g = g->data,
        .s = s ? s->data : NULL,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_of_program(x->cols),
        .x_stride = x->stride,
        .g_stride = g->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_softplus_decay, x->type, grid, &arguments);
}

static void softplus_decay_backward(Node *node) {
    const Tensor *x = node->in[X], *g = node->out[0], *s = node->outputs > 1 ? node->out[1] : NULL;
    const Device *device = node->tape->device;
    const int64_t rows = rows_of_program(x->cols), bytes = x->rows * x->cols * dtype_size(F32);
    const SoftplusDecayBackwardArguments arguments = {
        .x = x->data,
        .A_log = node->in[A_LOG]->data,
        .dt_bias = node->in[DT_BIAS]->data,
        .g = g->data,
        .dg = g->gradient,
        .s = s ? s->data : NULL,
        .ds = s ? s->gradient : NULL,
        .dx = x->gradient,
        .partial_A_log = tape_workspace(node->tape, bytes),
        .partial_dt_bias = tape_workspace(node->tape, bytes),
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .g_stride = g->stride,
    };
    device->launch(KERNEL_softplus_decay_backward, x->type, (Grid){blocks_of(x->rows, rows), 1, 1}, &arguments);
    column_sum(node->tape, arguments.partial_A_log, x->rows, node->in[A_LOG]);
    column_sum(node->tape, arguments.partial_dt_bias, x->rows, node->in[DT_BIAS]);
}

static Work softplus_decay_work(const Node *node) {
    const Tensor *x = node->in[X];
    const double n = (double)x->rows * (double)x->cols;
    return (Work){8 * n, n * (double)(dtype_size(x->type) + dtype_size(F32)), 0};
}

static const Op softplus_decay_op = {"softplus_decay", true, softplus_decay_forward, softplus_decay_backward,
                                     softplus_decay_work};

Tensor *softplus_decay(Tape *tape, Tensor *x, Tensor *A_log, Tensor *dt_bias, Tensor **log_step) {
    CHECK(A_log->rows * A_log->cols == x->cols && dt_bias->rows * dt_bias->cols == x->cols,
          "softplus_decay with parameters of another width");
    Node *node = tape_node(tape, &softplus_decay_op, (Tensor *[]){x, A_log, dt_bias}, 3);
    Tensor *g = node_output(node, x->rows, x->cols, F32);
    if (log_step) *log_step = node_output(node, x->rows, x->cols, F32);
    node_run(node);
    return g;
}
