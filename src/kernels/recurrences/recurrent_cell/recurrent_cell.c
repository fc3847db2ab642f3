/* Recurrent cells. Each token takes one product with the hidden weights, for all sequences together, and a kernel for
 * the rest. The products with the inputs are made by the caller, over all tokens at once. The gradient of the hidden
 * weights is one product over all tokens too. */
#include "kernels/recurrences/recurrent_cell/recurrent_cell.h"

#include "base/check.h"
#include "kernels/basic/cast/cast.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "kernels/products/bias/bias.h"
#include "tile/rows.h"

enum { X, HIDDEN, BIAS, INITIAL, INPUTS }; /* inputs; INITIAL may be NULL */
enum { H, FINAL };
enum { BEFORE, SAVED, STATE };

typedef struct Cell {
    int64_t gates, states;
    Kernel step, step_backward;
} Cell;

static const Cell lstm_cell = {4, 2, KERNEL_lstm_step, KERNEL_lstm_step_backward};
static const Cell gru_cell = {3, 1, KERNEL_gru_step, KERNEL_gru_step_backward};

static void *at_column(void *data, int64_t column, DType type) { return (char *)data + column * dtype_size(type); }

static RecurrentCellArguments arguments_of(const Node *node) {
    const Tensor *x = node->in[X], *initial = node->in[INITIAL];
    return (RecurrentCellArguments){
        .x = x->data,
        .bias = node->in[BIAS]->data,
        .initial = initial ? initial->data : NULL,
        .segment = node->tape->batch->segment,
        .h = node->out[H]->data,
        .before = node->saved[BEFORE]->data,
        .saved = node->saved[SAVED]->data,
        .state = node->saved[STATE]->data,
        .T = node->tape->batch->T,
        .D = node->in[HIDDEN]->cols,
        .x_stride = x->stride,
        .h_stride = node->out[H]->stride,
        .initial_stride = initial ? initial->stride : 0,
    };
}

static Grid grid_of(const Node *node) {
    return (Grid){blocks_of(node->in[HIDDEN]->cols, RECURRENT_CELL_COLS), node->tape->batch->B, 1};
}

/* Stores the state that the products of the first tokens read. */
static void store_initial(const Node *node, const RecurrentCellArguments *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[X]->type;
    const int64_t B = node->tape->batch->B, bytes = arguments->D * dtype_size(type);
    if (!arguments->initial) device->fill(arguments->before, 0, B, bytes, arguments->T * bytes);
    for (int64_t b = 0; arguments->initial && b < B; b++) {
        const CastArguments cast = {.from = arguments->initial + b * arguments->initial_stride,
                                    .to = at_column(arguments->before, b * arguments->T * arguments->D, type),
                                    .count = arguments->D};
        device->launch(KERNEL_cast, type, (Grid){blocks_of(cast.count, CAST_BLOCK), 1, 1}, &cast);
    }
}

static void forward(Node *node, const Cell *cell) {
    const Device *device = node->tape->device;
    const Tensor *hidden = node->in[HIDDEN];
    const DType type = node->in[X]->type;
    const int64_t B = node->tape->batch->B;
    RecurrentCellArguments arguments = arguments_of(node);
    float *product = tape_workspace(node->tape, B * hidden->rows * dtype_size(F32));
    arguments.product = product;
    arguments.final = node->outputs > FINAL ? node->out[FINAL]->data : NULL;
    store_initial(node, &arguments);
    for (arguments.t = 0; arguments.t < arguments.T; arguments.t++) {
        const Gemm gemm = {.transpose_b = true,
                           .m = B,
                           .n = hidden->rows,
                           .k = arguments.D,
                           .a = at_column(arguments.before, arguments.t * arguments.D, type),
                           .lda = arguments.T * arguments.D,
                           .b = hidden->data,
                           .ldb = hidden->cols,
                           .c = product,
                           .ldc = hidden->rows,
                           .type = type,
                           .c_type = F32};
        device->gemm(&gemm);
        device->launch(cell->step, type, grid_of(node), &arguments);
    }
}

/* Sets `to` [B, D] to the products of token t's dp with the hidden weights, or adds them to it. */
static void multiply_back(const Node *node, const void *dp, int64_t dp_stride, int64_t t, float *to, int64_t to_stride,
                          bool add) {
    const Tensor *hidden = node->in[HIDDEN];
    const Batch *batch = node->tape->batch;
    const DType type = node->in[X]->type;
    const Gemm gemm = {.accumulate = add,
                       .m = batch->B,
                       .n = hidden->cols,
                       .k = hidden->rows,
                       .a = at_column((void *)dp, t * dp_stride, type),
                       .lda = batch->T * dp_stride,
                       .b = hidden->data,
                       .ldb = hidden->cols,
                       .c = to,
                       .ldc = to_stride,
                       .type = type,
                       .c_type = F32};
    node->tape->device->gemm(&gemm);
}

/* dW += dp^T h_{t-1}, dbias += sum of dp, over all tokens. */
static void add_parameter_gradients(const Node *node, const void *dp, int64_t dp_stride) {
    const Tensor *x = node->in[X], *hidden = node->in[HIDDEN];
    const Device *device = node->tape->device;
    const Gemm gemm = {.transpose_a = true,
                       .accumulate = true,
                       .m = hidden->rows,
                       .n = hidden->cols,
                       .k = x->rows,
                       .a = dp,
                       .lda = dp_stride,
                       .b = node->saved[BEFORE]->data,
                       .ldb = hidden->cols,
                       .c = hidden->gradient,
                       .ldc = hidden->cols,
                       .type = x->type,
                       .c_type = F32};
    if (hidden->gradient) device->gemm(&gemm);
    const int64_t rows = rows_per_sum(x->rows), sums = blocks_of(x->rows, rows);
    float *partial = tape_workspace(node->tape, sums * hidden->rows * dtype_size(F32));
    const BiasBackwardArguments bias = {.dy = dp,
                                        .partial = partial,
                                        .rows = x->rows,
                                        .cols = hidden->rows,
                                        .rows_per_program = rows,
                                        .dy_stride = dp_stride};
    device->launch(KERNEL_bias_backward, x->type, (Grid){sums, blocks_of(hidden->rows, WARP_COLS), 1}, &bias);
    column_sum(node->tape, partial, sums, node->in[BIAS]);
}

/* Stores the gradients of h and c before the first token: the product, and what is carried besides it. */
static void store_initial_gradient(const Node *node, const Cell *cell, const RecurrentCellArguments *arguments,
                                   const void *dp, int64_t dp_stride) {
    const Tensor *initial = node->in[INITIAL];
    if (!initial || !initial->gradient) return;
    const int64_t bytes = arguments->D * dtype_size(F32), stride = initial->stride * dtype_size(F32);
    float *dinitial = initial->gradient, *carried = dinitial + (cell->states - 1) * arguments->D;
    node->tape->device->copy(carried, stride, arguments->carried, bytes, node->tape->batch->B, bytes);
    multiply_back(node, dp, dp_stride, 0, dinitial, initial->stride, carried == dinitial);
}

static void backward(Node *node, const Cell *cell) {
    Tape *tape = node->tape;
    const Tensor *x = node->in[X], *hidden = node->in[HIDDEN];
    const int64_t state_bytes = tape->batch->B * hidden->cols * dtype_size(F32);
    RecurrentCellArguments arguments = arguments_of(node);
    float *product = tape_workspace(tape, state_bytes);
    const bool own = cell->step == KERNEL_gru_step; /* whether dp differs from dx */
    const int64_t dp_stride = own ? hidden->rows : x->stride;
    arguments.product = product;
    arguments.carried = tape_workspace(tape, state_bytes);
    arguments.dh = node->out[H]->gradient;
    arguments.dfinal = node->outputs > FINAL ? node->out[FINAL]->gradient : NULL;
    arguments.dx = x->gradient;
    arguments.dp = own ? tape_workspace(tape, x->rows * dp_stride * dtype_size(x->type)) : x->gradient;
    for (arguments.t = arguments.T - 1; arguments.t >= 0; arguments.t--) {
        if (arguments.t + 1 < arguments.T)
            multiply_back(node, arguments.dp, dp_stride, arguments.t + 1, product, hidden->cols, false);
        tape->device->launch(cell->step_backward, x->type, grid_of(node), &arguments);
    }
    store_initial_gradient(node, cell, &arguments, arguments.dp, dp_stride);
    add_parameter_gradients(node, arguments.dp, dp_stride);
}

static void lstm_forward(Node *node) { forward(node, &lstm_cell); }
static void lstm_backward(Node *node) { backward(node, &lstm_cell); }
static void gru_forward(Node *node) { forward(node, &gru_cell); }
static void gru_backward(Node *node) { backward(node, &gru_cell); }

/* Counts the weights as read once for each token of a sequence. */
static Work work(const Node *node, const Cell *cell) {
    const Tensor *hidden = node->in[HIDDEN];
    const double weights = (double)hidden->rows * (double)hidden->cols, size = (double)dtype_size(node->in[X]->type);
    const double rows = (double)node->in[X]->rows;
    const double state = (double)cell->states * (double)hidden->cols * (double)dtype_size(F32);
    return (Work){
        2 * rows * weights,
        size * ((double)node->tape->batch->T * weights + rows * ((double)hidden->rows + (double)hidden->cols)), state};
}

static Work lstm_work(const Node *node) { return work(node, &lstm_cell); }
static Work gru_work(const Node *node) { return work(node, &gru_cell); }

static const Op lstm_op = {"lstm", false, lstm_forward, lstm_backward, lstm_work};
static const Op gru_op = {"gru", false, gru_forward, gru_backward, gru_work};

static Tensor *cell_op(Tape *tape, const Op *op, const Cell *cell, Tensor *x, Tensor *hidden, Tensor *bias,
                       Tensor *initial, Tensor **final) {
    const int64_t B = tape->batch->B, D = hidden->cols;
    CHECK(x->rows == B * tape->batch->T && x->cols == cell->gates * D && hidden->rows == x->cols &&
              bias->rows * bias->cols == x->cols && hidden->type == x->type,
          "%s: x is not the batch's tokens by %lld gates of %lld, or the weights are of another shape", op->name,
          (long long)cell->gates, (long long)D);
    CHECK(!initial || (initial->rows == B && initial->cols == cell->states * D && initial->type == F32),
          "%s: the initial state is not fp32 [B, %lld]", op->name, (long long)(cell->states * D));
    Node *node = tape_node(tape, op, (Tensor *[]){x, hidden, bias, initial}, INPUTS);
    Tensor *h = node_output(node, x->rows, D, x->type);
    node_state(node, INITIAL, B, cell->states * D, 0, final);
    node_save(node, x->rows, D, x->type);
    node_save(node, x->rows, RECURRENT_CELL_SAVED * D, x->type);
    node_save(node, x->rows, D, F32);
    node_run(node);
    return h;
}

Tensor *lstm(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial, Tensor **final) {
    return cell_op(tape, &lstm_op, &lstm_cell, x, hidden, bias, initial, final);
}

Tensor *gru(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial, Tensor **final) {
    return cell_op(tape, &gru_op, &gru_cell, x, hidden, bias, initial, final);
}
