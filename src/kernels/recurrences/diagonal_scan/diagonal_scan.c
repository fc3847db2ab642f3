#include "kernels/recurrences/diagonal_scan/diagonal_scan.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/recurrences/scan_part.h"

enum { X, GATE, INITIAL }; /* inputs; INITIAL may be NULL */
enum { STATES, FINAL };

/* How many programs fill a GPU, and the cores of a host. */
enum { GPU_PROGRAMS = 768, HOST_PROGRAMS = 8 };

static int64_t column_blocks(const DiagonalScanArguments *arguments) {
    return blocks_of(arguments->cols, DIAGONAL_SCAN_COLS);
}

/* The arguments that forward and backward have in common: the inputs, the states, and memory for the parts. */
static DiagonalScanArguments arguments_of(const Node *node) {
    const Tensor *x = node->in[X], *g = node->in[GATE], *initial = node->in[INITIAL], *h = node->out[STATES];
    const Batch *batch = node->tape->batch;
    DiagonalScanArguments arguments = {
        .x = x->data,
        .g = g->data,
        .initial = initial ? initial->data : NULL,
        .segment = batch->segment,
        .h = h->data,
        .T = batch->T,
        .cols = x->cols,
        .chunks = blocks_of(batch->T, DIAGONAL_SCAN_ROWS),
        .x_stride = x->stride,
        .g_stride = g->stride,
        .h_stride = h->stride,
        .initial_stride = initial ? initial->stride : 0,
    };
    const int64_t programs = node->tape->device->gpu ? GPU_PROGRAMS : HOST_PROGRAMS;
    const ScanCut cut = scan_cut(arguments.chunks, batch->B * column_blocks(&arguments), programs);
    const int64_t bytes = batch->B * cut.parts * x->cols * dtype_size(F32);
    arguments.parts = cut.parts;
    arguments.part_chunks = cut.part_chunks;
    arguments.part_decay = tape_workspace(node->tape, bytes);
    arguments.part_state = tape_workspace(node->tape, bytes);
    return arguments;
}

/* `of_part` runs for all parts but one, whose result no other part needs. */
static void launch(const Node *node, Kernel of_part, Kernel of_all, const DiagonalScanArguments *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[X]->type;
    const int64_t blocks = column_blocks(arguments), parts = arguments->parts, B = node->tape->batch->B;
    if (parts > 1) device->launch(of_part, type, (Grid){blocks, parts - 1, B}, arguments);
    device->launch(of_all, type, (Grid){blocks, parts, B}, arguments);
}

static void diagonal_scan_forward(Node *node) {
    DiagonalScanArguments arguments = arguments_of(node);
    arguments.final = node->outputs > FINAL ? node->out[FINAL]->data : NULL;
    launch(node, KERNEL_diagonal_scan_part, KERNEL_diagonal_scan, &arguments);
}

static void diagonal_scan_backward(Node *node) {
    DiagonalScanArguments arguments = arguments_of(node);
    arguments.dh = node->out[STATES]->gradient;
    arguments.dfinal = node->outputs > FINAL ? node->out[FINAL]->gradient : NULL;
    arguments.dx = node->in[X]->gradient;
    arguments.dg = node->in[GATE]->gradient;
    arguments.dinitial = node->in[INITIAL] ? node->in[INITIAL]->gradient : NULL;
    launch(node, KERNEL_diagonal_scan_dpart, KERNEL_diagonal_scan_backward, &arguments);
}

static Work diagonal_scan_work(const Node *node) {
    const Tensor *x = node->in[X];
    const double n = (double)x->rows * (double)x->cols;
    return (Work){3 * n, n * (double)(2 * dtype_size(x->type) + dtype_size(F32)),
                  (double)x->cols * (double)dtype_size(F32)};
}

static const Op diagonal_scan_op = {"diagonal_scan", false, diagonal_scan_forward, diagonal_scan_backward,
                                    diagonal_scan_work};

Tensor *diagonal_scan(Tape *tape, Tensor *x, Tensor *g, Tensor *initial, Tensor **final) {
    const int64_t B = tape->batch->B;
    CHECK(x->rows == B * tape->batch->T && g->rows == x->rows && g->cols == x->cols && g->type == F32,
          "diagonal_scan: the gates are not fp32 of the shape of x, or rows are not the batch's tokens");
    CHECK(!initial || (initial->rows == B && initial->cols == x->cols && initial->type == F32),
          "diagonal_scan: the initial state is not fp32 [B, cols]");
    Node *node = tape_node(tape, &diagonal_scan_op, (Tensor *[]){x, g, initial}, 3);
    Tensor *h = node_output(node, x->rows, x->cols, x->type);
    node_state(node, INITIAL, B, x->cols, 0, final);
    node_run(node);
    return h;
}
