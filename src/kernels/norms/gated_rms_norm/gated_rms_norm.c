#include "kernels/norms/gated_rms_norm/gated_rms_norm.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, GATE, WEIGHT }; /* inputs; saved: rstd */

typedef struct GatedRmsNormAttributes {
    float eps;
    bool sigmoid;
} GatedRmsNormAttributes;

static const GatedRmsNormAttributes *attributes_of(const Node *node) {
    return (const GatedRmsNormAttributes *)node->attributes;
}

static void gated_rms_norm_forward(Node *node) {
    const Tensor *x = node->in[X], *gate = node->in[GATE], *weight = node->in[WEIGHT], *y = node->out[0];
    const GatedRmsNormArguments arguments = {
        .x = x->data,
        .gate = gate->data,
        .weight = weight->data,
        .y = y->data,
        .rstd = node->saved[0]->data,
        .rows = x->rows,
        .groups = x->cols / weight->cols,
        .cols = weight->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .gate_stride = gate->stride,
        .y_stride = y->stride,
        .eps = attributes_of(node)->eps,
        .sigmoid = attributes_of(node)->sigmoid,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_gated_rms_norm, x->type, grid, &arguments);
}

static void gated_rms_norm_backward(Node *node) {
    const Tensor *x = node->in[X], *gate = node->in[GATE], *weight = node->in[WEIGHT], *y = node->out[0];
    const Device *device = node->tape->device;
    const int64_t rows = rows_per_sum(x->rows), sums = blocks_of(x->rows, rows);
    float *partial = tape_workspace(node->tape, sums * weight->cols * dtype_size(F32));
    const GatedRmsNormBackwardArguments arguments = {
        .x = x->data,
        .gate = gate->data,
        .weight = weight->data,
        .y = y->data,
        .dy = y->gradient,
        .rstd = node->saved[0]->data,
        .dx = x->gradient,
        .dgate = gate->gradient,
        .partial = partial,
        .rows = x->rows,
        .groups = x->cols / weight->cols,
        .cols = weight->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .gate_stride = gate->stride,
        .y_stride = y->stride,
        .sigmoid = attributes_of(node)->sigmoid,
    };
    const Grid grid = {sums, blocks_of(weight->cols, PROGRAM_COLS), 1};
    device->launch(KERNEL_gated_rms_norm_backward, x->type, grid, &arguments);
    column_sum(node->tape, partial, sums, weight);
}

static Work gated_rms_norm_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){8 * n, 3 * n * (double)dtype_size(y->type), 0};
}

static const Op gated_rms_norm_op = {"gated_rms_norm", true, gated_rms_norm_forward, gated_rms_norm_backward,
                                     gated_rms_norm_work};

Tensor *gated_rms_norm(Tape *tape, Tensor *x, Tensor *gate, Tensor *weight, Activation f, float eps) {
    CHECK(x->cols % weight->cols == 0, "gated_rms_norm of %lld columns in groups of %lld", (long long)x->cols,
          (long long)weight->cols);
    CHECK(gate->rows == x->rows && gate->cols == x->cols && gate->type == x->type,
          "gated_rms_norm with a gate of another shape");
    CHECK(f == ACTIVATION_SILU || f == ACTIVATION_SIGMOID, "gated_rms_norm with another gate than silu or sigmoid");
    Node *node = tape_node(tape, &gated_rms_norm_op, (Tensor *[]){x, gate, weight}, 3);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_save(node, x->rows, x->cols / weight->cols, F32);
    *(GatedRmsNormAttributes *)node->attributes = (GatedRmsNormAttributes){eps, f == ACTIVATION_SIGMOID};
    node_run(node);
    return y;
}
