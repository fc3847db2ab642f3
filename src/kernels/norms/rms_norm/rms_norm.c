#include "kernels/norms/rms_norm/rms_norm.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

/* Inputs: x, residual and gate (at least one of these two is NULL), weight. Outputs: y and, if the caller wants it, the
 * sum. Saved: rstd. */
enum { X, RESIDUAL, GATE, WEIGHT, INPUTS };

typedef struct RmsNormAttributes {
    int64_t group_cols;
    float eps;
} RmsNormAttributes;

static const RmsNormAttributes *attributes_of(const Node *node) { return (const RmsNormAttributes *)node->attributes; }

static void rms_norm_forward(Node *node) {
    const Tensor *x = node->in[X], *residual = node->in[RESIDUAL], *weight = node->in[WEIGHT], *y = node->out[0];
    const Tensor *gate = node->in[GATE], *sum = node->outputs > 1 ? node->out[1] : NULL;
    const RmsNormArguments arguments = {
        .x = x->data,
        .residual = residual ? residual->data : NULL,
        .gate = gate ? gate->data : NULL,
        .weight = weight->data,
        .y = y->data,
        .sum = sum ? sum->data : NULL,
        .rstd = node->saved[0]->data,
        .rows = x->rows,
        .groups = x->cols / attributes_of(node)->group_cols,
        .weight_groups = weight->cols / attributes_of(node)->group_cols,
        .cols = attributes_of(node)->group_cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .residual_stride = residual ? residual->stride : 0,
        .gate_stride = gate ? gate->stride : 0,
        .y_stride = y->stride,
        .sum_stride = sum ? sum->stride : 0,
        .eps = attributes_of(node)->eps,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_rms_norm, x->type, grid, &arguments);
}

/* If the rounded sum was kept, it is read in place of x and the residual. */
static void rms_norm_backward(Node *node) {
    const Tensor *sum = node->outputs > 1 ? node->out[1] : NULL, *x = sum ? sum : node->in[X];
    const Tensor *residual = sum ? NULL : node->in[RESIDUAL], *weight = node->in[WEIGHT], *y = node->out[0];
    const Tensor *gate = node->in[GATE];
    const Device *device = node->tape->device;
    const int64_t rows = rows_per_sum(x->rows), sums = blocks_of(x->rows, rows);
    float *partial = tape_workspace(node->tape, sums * weight->cols * dtype_size(F32));
    const RmsNormBackwardArguments arguments = {
        .x = x->data,
        .residual = residual ? residual->data : NULL,
        .gate = gate ? gate->data : NULL,
        .weight = weight->data,
        .dy = y->gradient,
        .dsum = sum ? sum->gradient : NULL,
        .rstd = node->saved[0]->data,
        .ds = node->in[X]->gradient,
        .dgate = gate ? gate->gradient : NULL,
        .partial = partial,
        .rows = x->rows,
        .groups = x->cols / attributes_of(node)->group_cols,
        .weight_groups = weight->cols / attributes_of(node)->group_cols,
        .cols = attributes_of(node)->group_cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .residual_stride = residual ? residual->stride : 0,
        .gate_stride = gate ? gate->stride : 0,
        .dy_stride = y->stride,
        .dsum_stride = sum ? sum->stride : 0,
        .ds_stride = node->in[X]->stride,
    };
    const Grid grid = {sums, arguments.weight_groups * blocks_of(arguments.cols, PROGRAM_COLS), 1};
    device->launch(KERNEL_rms_norm_backward, x->type, grid, &arguments);
    if (node->in[RESIDUAL]) node_share_gradient(node, RESIDUAL, node->in[X]);
    column_sum(node->tape, partial, sums, weight);
}

static Work rms_norm_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols,
                 matrices = 2 + (node->in[RESIDUAL] || node->in[GATE]) + (node->outputs > 1);
    return (Work){4 * n, matrices * n * (double)dtype_size(y->type), 0};
}

static const Op rms_norm_op = {"rms_norm", true, rms_norm_forward, rms_norm_backward, rms_norm_work};

static Tensor *norm(Tape *tape, Tensor *x, Tensor *residual, Tensor *gate, Tensor *weight, RmsNormAttributes attributes,
                    Tensor **sum) {
    CHECK(x->cols % weight->cols == 0 && weight->cols % attributes.group_cols == 0,
          "rms_norm of %lld columns in groups of %lld", (long long)x->cols, (long long)attributes.group_cols);
    CHECK(!residual || (residual->rows == x->rows && residual->cols == x->cols && residual->type == x->type),
          "rms_norm with a residual of another shape");
    CHECK(!gate || (gate->rows == x->rows && gate->cols == x->cols && gate->type == x->type),
          "rms_norm with a gate of another shape");
    Node *node = tape_node(tape, &rms_norm_op, (Tensor *[]){x, residual, gate, weight}, INPUTS);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    if (sum) *sum = residual ? node_output(node, x->rows, x->cols, x->type) : x;
    node_save(node, x->rows, x->cols / attributes.group_cols, F32);
    *(RmsNormAttributes *)node->attributes = attributes;
    node_run(node);
    return y;
}

Tensor *rms_norm(Tape *tape, Tensor *x, Tensor *residual, Tensor *weight, float eps, Tensor **sum) {
    return norm(tape, x, residual, NULL, weight, (RmsNormAttributes){weight->cols, eps}, sum);
}

Tensor *rms_norm_groups(Tape *tape, Tensor *x, Tensor *gate, Tensor *weight, int64_t group_cols, float eps) {
    return norm(tape, x, NULL, gate, weight, (RmsNormAttributes){group_cols, eps}, NULL);
}
