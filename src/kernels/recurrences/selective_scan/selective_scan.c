#include "kernels/recurrences/selective_scan/selective_scan.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "kernels/recurrences/scan_part.h"

enum { X, TIME, IN, OUT, A_LOG, DT_BIAS, INITIAL, INPUTS }; /* inputs; INITIAL may be NULL */
enum { Y, FINAL };

/* How many programs a GPU needs, two for each multiprocessor, and the cores of a host. */
enum { GPU_PROGRAMS = 256, HOST_PROGRAMS = 32 };

static int64_t column_blocks(const SelectiveScanArguments *arguments) {
    return blocks_of(arguments->cols, SELECTIVE_SCAN_COLS);
}

/* The arguments that forward and backward have in common: the inputs, and memory for the states. */
static SelectiveScanArguments arguments_of(Node *node) {
    const Tensor *x = node->in[X], *dt = node->in[TIME], *B = node->in[IN], *C = node->in[OUT];
    const Tensor *initial = node->in[INITIAL], *y = node->out[Y];
    const Batch *batch = node->tape->batch;
    SelectiveScanArguments arguments = {
        .x = x->data,
        .dt = dt->data,
        .A_log = node->in[A_LOG]->data,
        .dt_bias = node->in[DT_BIAS]->data,
        .B = B->data,
        .C = C->data,
        .initial = initial ? initial->data : NULL,
        .segment = batch->segment,
        .y = y->data,
        .T = batch->T,
        .rows = x->rows,
        .cols = x->cols,
        .N = B->cols,
        .padded = blocks_of(B->cols, SELECTIVE_SCAN_BLOCK) * SELECTIVE_SCAN_BLOCK,
        .chunks = blocks_of(batch->T, SELECTIVE_SCAN_ROWS),
        .x_stride = x->stride,
        .dt_stride = dt->stride,
        .B_stride = B->stride,
        .C_stride = C->stride,
        .y_stride = y->stride,
        .initial_stride = initial ? initial->stride : 0,
    };
    const int64_t programs = node->tape->device->gpu ? GPU_PROGRAMS : HOST_PROGRAMS;
    const ScanCut cut = scan_cut(arguments.chunks, batch->B * column_blocks(&arguments), programs);
    arguments.parts = cut.parts;
    arguments.part_chunks = cut.part_chunks;
    const int64_t matrix = arguments.padded * arguments.cols * dtype_size(F32), parts = batch->B * arguments.parts;
    arguments.state = node_workspace(node, batch->B * arguments.chunks * matrix);
    arguments.part_time = tape_workspace(node->tape, parts * arguments.cols * dtype_size(F32));
    arguments.part_state = tape_workspace(node->tape, parts * matrix);
    return arguments;
}

static Grid grid_of(const Node *node, const SelectiveScanArguments *arguments, int64_t parts) {
    return (Grid){column_blocks(arguments), parts, node->tape->batch->B};
}

static void launch_forward(const Node *node, const SelectiveScanArguments *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[X]->type;
    const int64_t parts = arguments->parts;
    if (parts > 1) device->launch(KERNEL_selective_scan_part, type, grid_of(node, arguments, parts - 1), arguments);
    device->launch(KERNEL_selective_scan, type, grid_of(node, arguments, parts), arguments);
}

static void selective_scan_forward(Node *node) {
    SelectiveScanArguments arguments = arguments_of(node);
    arguments.final = node->outputs > FINAL ? node->out[FINAL]->data : NULL;
    launch_forward(node, &arguments);
}

static void selective_scan_backward(Node *node) {
    Tape *tape = node->tape;
    const DType type = node->in[X]->type;
    SelectiveScanArguments arguments = arguments_of(node);
    const int64_t parts = tape->batch->B * arguments.parts, cols = arguments.cols, bytes = dtype_size(F32);
    if (!node_keeps(node)) launch_forward(node, &arguments);

    arguments.dy = node->out[Y]->gradient;
    arguments.dfinal = node->outputs > FINAL ? node->out[FINAL]->gradient : NULL;
    arguments.dx = node->in[X]->gradient;
    arguments.ddt = node->in[TIME]->gradient;
    arguments.dB = node->in[IN]->gradient;
    arguments.dC = node->in[OUT]->gradient;
    arguments.dinitial = node->in[INITIAL] ? node->in[INITIAL]->gradient : NULL;
    arguments.carried = tape_workspace(tape, parts * arguments.padded * cols * bytes);
    arguments.partial_A_log = tape_workspace(tape, parts * cols * arguments.N * bytes);
    arguments.partial_dt_bias = tape_workspace(tape, parts * cols * bytes);
    arguments.partial_BC =
        tape_workspace(tape, column_blocks(&arguments) * arguments.rows * 2 * arguments.padded * bytes);
    if (arguments.parts > 1)
        tape->device->launch(KERNEL_selective_scan_dpart, type, grid_of(node, &arguments, arguments.parts - 1),
                             &arguments);
    tape->device->launch(KERNEL_selective_scan_backward, type, grid_of(node, &arguments, arguments.parts), &arguments);
    tape->device->launch(KERNEL_selective_scan_sums, type, (Grid){arguments.rows, 1, 1}, &arguments);
    column_sum(tape, arguments.partial_A_log, parts, node->in[A_LOG]);
    column_sum(tape, arguments.partial_dt_bias, parts, node->in[DT_BIAS]);
}

/* Counts, for each state and token, two products and a sum with the state's decay and input, an exponential, and two
 * operations for y. */
static Work selective_scan_work(const Node *node) {
    const Tensor *x = node->in[X], *B = node->in[IN];
    const double n = (double)x->rows * (double)x->cols;
    return (Work){8 * n * (double)B->cols,
                  (3 * n + 2 * (double)B->rows * (double)B->cols) * (double)dtype_size(x->type),
                  (double)x->cols * (double)B->cols * (double)dtype_size(F32)};
}

static const Op selective_scan_op = {"selective_scan", false, selective_scan_forward, selective_scan_backward,
                                     selective_scan_work};

Tensor *selective_scan(Tape *tape, Tensor *x, Tensor *dt, Tensor *B, Tensor *C, Tensor *A_log, Tensor *dt_bias,
                       Tensor *initial, Tensor **final) {
    const int64_t cols = x->cols, N = B->cols, state_rows = tape->batch->B * cols;
    CHECK(x->rows == tape->batch->B * tape->batch->T && dt->rows == x->rows && dt->cols == cols && dt->type == x->type,
          "selective_scan: dt has another shape than x, or rows are not the batch's tokens");
    CHECK(B->rows == x->rows && C->rows == x->rows && C->cols == N && B->type == x->type && C->type == x->type,
          "selective_scan: B and C have another shape than each other, or other rows than x");
    CHECK(N <= SELECTIVE_SCAN_STATES, "selective_scan: %lld states per channel, at most %d", (long long)N,
          SELECTIVE_SCAN_STATES);
    CHECK(A_log->rows * A_log->cols == cols * N && dt_bias->rows * dt_bias->cols == cols,
          "selective_scan with parameters of another width");
    CHECK(!initial || (initial->rows == state_rows && initial->cols == N && initial->type == F32),
          "selective_scan: the initial state is not fp32 [B*cols, N]");
    Node *node = tape_node(tape, &selective_scan_op, (Tensor *[]){x, dt, B, C, A_log, dt_bias, initial}, INPUTS);
    Tensor *y = node_output(node, x->rows, cols, x->type);
    node_state(node, INITIAL, state_rows, N, 0, final);
    node_run(node);
    return y;
}
