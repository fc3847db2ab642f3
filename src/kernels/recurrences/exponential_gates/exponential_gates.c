#include "kernels/recurrences/exponential_gates/exponential_gates.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

enum { INPUT, INPUT_BIAS, FORGET, FORGET_BIAS, INITIAL, INPUTS }; /* no FORGET_BIAS: INPUT_BIAS holds both */
enum { LOG_DECAY, LOG_SCALE, MAXIMUM_SO_FAR, FINAL };

typedef struct ExponentialGatesAttributes {
    float cap;
} ExponentialGatesAttributes;

static const void *forget_bias_of(const Node *node) {
    const Tensor *input = node->in[INPUT_BIAS], *forget = node->in[FORGET_BIAS];
    return forget ? forget->data : (const char *)input->data + node->in[INPUT]->cols * dtype_size(input->type);
}

static float cap_of(const Node *node) { return ((const ExponentialGatesAttributes *)node->attributes)->cap; }

static void exponential_gates_forward(Node *node) {
    const Tensor *input = node->in[INPUT], *forget = node->in[FORGET];
    const Device *device = node->tape->device;
    const Batch *batch = node->tape->batch;
    const int64_t chunks = blocks_of(batch->T, EXPONENTIAL_GATES_ROWS);
    const int64_t heads = input->cols, bytes = batch->B * chunks * heads * dtype_size(F32);
    const ExponentialGatesArguments arguments = {.input = input->data,
                                                 .forget = forget->data,
                                                 .input_bias = node->in[INPUT_BIAS]->data,
                                                 .forget_bias = forget_bias_of(node),
                                                 .segment = batch->segment,
                                                 .initial = node->in[INITIAL] ? node->in[INITIAL]->data : NULL,
                                                 .final = node->outputs > FINAL ? node->out[FINAL]->data : NULL,
                                                 .sum = tape_workspace(node->tape, bytes),
                                                 .largest = tape_workspace(node->tape, bytes),
                                                 .log_decay = node->out[LOG_DECAY]->data,
                                                 .log_scale = node->out[LOG_SCALE]->data,
                                                 .m = node->out[MAXIMUM_SO_FAR]->data,
                                                 .T = batch->T,
                                                 .chunks = chunks,
                                                 .heads = heads,
                                                 .input_stride = input->stride,
                                                 .forget_stride = forget->stride,
                                                 .stride = node->out[LOG_DECAY]->stride,
                                                 .cap = cap_of(node)};
    if (node_is_one_token(node)) {
        device->launch(KERNEL_exponential_gates_step, input->type, (Grid){batch->B, 1, 1}, &arguments);
        return;
    }
    const int64_t blocks = blocks_of(heads, EXPONENTIAL_GATES_HEADS);
    const Grid grid = {chunks, batch->B, blocks};
    device->launch(KERNEL_exponential_gates_totals, input->type, grid, &arguments);
    device->launch(KERNEL_exponential_gates_carry, input->type, (Grid){batch->B, blocks, 1}, &arguments);
    device->launch(KERNEL_exponential_gates, input->type, grid, &arguments);
}

static void exponential_gates_backward(Node *node) {
    const Tensor *input = node->in[INPUT], *forget = node->in[FORGET];
    const int64_t rows = rows_per_sum(input->rows), sums = blocks_of(input->rows, rows);
    float *partial = tape_workspace(node->tape, sums * 2 * input->cols * dtype_size(F32));
    const ExponentialGatesBackwardArguments arguments = {.input = input->data,
                                                         .forget = forget->data,
                                                         .input_bias = node->in[INPUT_BIAS]->data,
                                                         .forget_bias = forget_bias_of(node),
                                                         .dlog_decay = node->out[LOG_DECAY]->gradient,
                                                         .dlog_scale = node->out[LOG_SCALE]->gradient,
                                                         .dinput = input->gradient,
                                                         .dforget = forget->gradient,
                                                         .partial = partial,
                                                         .rows = input->rows,
                                                         .heads = input->cols,
                                                         .rows_per_program = rows,
                                                         .input_stride = input->stride,
                                                         .forget_stride = forget->stride,
                                                         .stride = node->out[LOG_DECAY]->stride,
                                                         .cap = cap_of(node)};
    node->tape->device->launch(KERNEL_exponential_gates_backward, input->type, (Grid){sums, 1, 1}, &arguments);
    column_sums(node->tape, partial, sums, (Tensor *[]){node->in[INPUT_BIAS], node->in[FORGET_BIAS]},
                node->in[FORGET_BIAS] ? 2 : 1);
}

static Work exponential_gates_work(const Node *node) {
    const Tensor *input = node->in[INPUT];
    const double n = (double)input->rows * (double)input->cols;
    return (Work){20 * n, n * (double)(2 * dtype_size(input->type) + 3 * dtype_size(F32)),
                  (double)input->cols * (double)dtype_size(F32)};
}

static const Op exponential_gates_op = {"exponential_gates", true, exponential_gates_forward,
                                        exponential_gates_backward, exponential_gates_work};

Tensor *exponential_gates(Tape *tape, Tensor *input, Tensor *input_bias, Tensor *forget, Tensor *forget_bias, float cap,
                          Tensor **log_scale, Tensor **m) {
    const int64_t N = input->rows, heads = input->cols;
    CHECK(N == tape->batch->B * tape->batch->T && forget->rows == N && forget->cols == heads && heads <= WARP_COLS &&
              input->type == forget->type,
          "exponential_gates: the gates are not [N, heads]");
    CHECK(forget_bias ? input_bias->cols == heads && forget_bias->cols == heads : input_bias->cols == 2 * heads,
          "exponential_gates: the biases are not one number per head");
    Node *node =
        tape_node(tape, &exponential_gates_op, (Tensor *[]){input, input_bias, forget, forget_bias, NULL}, INPUTS);
    *(ExponentialGatesAttributes *)node->attributes = (ExponentialGatesAttributes){cap};
    Tensor *log_decay = node_output(node, N, heads, F32);
    *log_scale = node_output(node, N, heads, F32);
    *m = node_output(node, N, heads, F32);
    node_state(node, INITIAL, tape->batch->B, heads, 0, NULL);
    node_run(node);
    return log_decay;
}
