#include "kernels/convolution/short_convolution/short_convolution.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, WEIGHT, BIAS }; /* BIAS may be NULL */

typedef struct ShortConvolutionAttributes {
    bool silu;
} ShortConvolutionAttributes;

static bool has_silu(const Node *node) { return ((const ShortConvolutionAttributes *)node->attributes)->silu; }

/* The weight in the layout that kernels with many taps read, in the running op's workspace; NULL if there are few
 * taps. */
static const float *taps_of(const Node *node) {
    const Tensor *weight = node->in[WEIGHT], *bias = node->in[BIAS];
    if (weight->cols <= SHORT_CONVOLUTION_FEW) return NULL;
    const int64_t blocks = blocks_of(weight->rows, SHORT_CONVOLUTION_COLS);
    const int64_t bytes = blocks * SHORT_CONVOLUTION_COLS * (weight->cols + 1) * dtype_size(F32);
    float *taps = tape_workspace(node->tape, bytes);
    const ShortConvolutionTapsArguments arguments = {.weight = weight->data,
                                                     .bias = bias ? bias->data : NULL,
                                                     .taps = taps,
                                                     .cols = weight->rows,
                                                     .width = weight->cols};
    node->tape->device->launch(KERNEL_short_convolution_taps, weight->type, (Grid){blocks, 1, 1}, &arguments);
    return taps;
}

static Grid grid_of(const Tensor *x) {
    return (Grid){blocks_of(x->cols, SHORT_CONVOLUTION_COLS), blocks_of(x->rows, SHORT_CONVOLUTION_ROWS), 1};
}

static void short_convolution_forward(Node *node) {
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT], *bias = node->in[BIAS], *y = node->out[0];
    const ShortConvolutionArguments arguments = {
        .x = x->data,
        .weight = weight->data,
        .bias = bias ? bias->data : NULL,
        .taps = taps_of(node),
        .segment = node->tape->batch->segment,
        .y = y->data,
        .rows = x->rows,
        .cols = x->cols,
        .width = weight->cols,
        .T = node->tape->batch->T,
        .x_stride = x->stride,
        .y_stride = y->stride,
        .silu = has_silu(node),
    };
    const Grid grid = grid_of(x);
    node->tape->device->launch(KERNEL_short_convolution, x->type, grid, &arguments);
}

static void short_convolution_backward(Node *node) {
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT], *bias = node->in[BIAS], *y = node->out[0];
    const Device *device = node->tape->device;
    const Grid grid = grid_of(x);
    const int64_t row_blocks = grid.y;
    const int64_t scratch = weight->cols > SHORT_CONVOLUTION_FEW ? SHORT_CONVOLUTION_SCRATCH(weight->cols) : 0;
    float *partial_bias = bias ? tape_workspace(node->tape, row_blocks * x->cols * dtype_size(F32)) : NULL;
    float *partial = tape_workspace(node->tape, row_blocks * weight->rows * weight->cols * dtype_size(F32));
    const ShortConvolutionBackwardArguments arguments = {
        .x = x->data,
        .dy = y->gradient,
        .weight = weight->data,
        .bias = bias ? bias->data : NULL,
        .taps = taps_of(node),
        .segment = node->tape->batch->segment,
        .dx = x->gradient,
        .partial = partial,
        .partial_bias = partial_bias,
        .scratch = tape_workspace(node->tape, grid.x * grid.y * scratch * dtype_size(F32)),
        .rows = x->rows,
        .cols = x->cols,
        .width = weight->cols,
        .T = node->tape->batch->T,
        .x_stride = x->stride,
        .dy_stride = y->stride,
        .silu = has_silu(node),
    };
    device->launch(KERNEL_short_convolution_backward, x->type, grid, &arguments);
    column_sum(node->tape, partial, row_blocks, weight);
    if (bias) column_sum(node->tape, partial_bias, row_blocks, bias);
}

static Work short_convolution_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){(2 * (double)node->in[WEIGHT]->cols + 4) * n, 2 * n * (double)dtype_size(y->type),
                  node_history(node, node->in[X], node->in[WEIGHT]->cols - 1)};
}

static const Op short_convolution_op = {"short_convolution", true, short_convolution_forward,
                                        short_convolution_backward, short_convolution_work};

Tensor *short_convolution(Tape *tape, Tensor *x, Tensor *weight, Tensor *bias, bool silu) {
    CHECK(weight->rows == x->cols, "short_convolution of %lld columns with %lld filters", (long long)x->cols,
          (long long)weight->rows);
    CHECK(weight->cols >= 1 && weight->cols <= SHORT_CONVOLUTION_WIDTH, "short_convolution is %lld wide, at most %d",
          (long long)weight->cols, SHORT_CONVOLUTION_WIDTH);
    CHECK(!bias || bias->rows * bias->cols == x->cols, "short_convolution with a bias of another width");
    Node *node = tape_node(tape, &short_convolution_op, (Tensor *[]){x, weight, bias}, 3);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    ((ShortConvolutionAttributes *)node->attributes)->silu = silu;
    node_past(node, 1 << X, 0, weight->cols - 1, PAST_IN_FRONT);
    node_run(node);
    return y;
}
