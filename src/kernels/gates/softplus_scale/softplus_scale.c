#include "kernels/gates/softplus_scale/softplus_scale.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, DT, DT_BIAS };

static void softplus_scale_forward(Node *node) {
    const Tensor *x = node->in[X], *dt = node->in[DT], *y = node->out[0];
    const SoftplusScaleArguments arguments = {
        .x = x->data,
        .dt = dt->data,
        .dt_bias = node->in[DT_BIAS]->data,
        .y = y->data,
        .rows = x->rows,
        .heads = dt->cols,
        .cols = x->cols / dt->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .dt_stride = dt->stride,
        .y_stride = y->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_softplus_scale, x->type, grid, &arguments);
}

static void softplus_scale_backward(Node *node) {
    const Tensor *x = node->in[X], *dt = node->in[DT], *y = node->out[0];
    const Device *device = node->tape->device;
    const int64_t rows = rows_per_program(x->cols);
    float *partial = tape_workspace(node->tape, x->rows * dt->cols * dtype_size(F32));
    const SoftplusScaleBackwardArguments arguments = {
        .x = x->data,
        .dt = dt->data,
        .dt_bias = node->in[DT_BIAS]->data,
        .dy = y->gradient,
        .dx = x->gradient,
        .ddt = dt->gradient,
        .partial = partial,
        .rows = x->rows,
        .heads = dt->cols,
        .cols = x->cols / dt->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .dt_stride = dt->stride,
        .dy_stride = y->stride,
    };
    device->launch(KERNEL_softplus_scale_backward, x->type, (Grid){blocks_of(x->rows, rows), 1, 1}, &arguments);
    column_sum(node->tape, partial, x->rows, node->in[DT_BIAS]);
}

static Work softplus_scale_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){n, 2 * n * (double)dtype_size(y->type)};
}

static const Op softplus_scale_op = {"softplus_scale", true, softplus_scale_forward, softplus_scale_backward,
                                     softplus_scale_work};

Tensor *softplus_scale(Tape *tape, Tensor *x, Tensor *dt, Tensor *dt_bias) {
    CHECK(dt->rows == x->rows && dt->type == x->type && x->cols % dt->cols == 0,
          "softplus_scale of %lld columns by %lld", (long long)x->cols, (long long)dt->cols);
    CHECK(dt_bias->rows * dt_bias->cols == dt->cols, "softplus_scale with a bias of another width");
    Node *node = tape_node(tape, &softplus_scale_op, (Tensor *[]){x, dt, dt_bias}, 3);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return y;
}
