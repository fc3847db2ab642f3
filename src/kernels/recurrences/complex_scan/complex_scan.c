#include "kernels/recurrences/complex_scan/complex_scan.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/recurrences/scan_part.h"

enum { Q, K, V, DECAY, INITIAL, INPUTS }; /* inputs; INITIAL may be NULL */
enum { O, FINAL };

/* How many programs fill a GPU, and the cores of a host. */
enum { GPU_PROGRAMS = 768, HOST_PROGRAMS = 16 };

static int64_t column_blocks(const ComplexScanArguments *arguments) {
    return blocks_of(arguments->cols, COMPLEX_SCAN_COLS);
}

/* The arguments that forward and backward have in common: the inputs, and memory for the states. */
static ComplexScanArguments arguments_of(Node *node) {
    const Tensor *q = node->in[Q], *k = node->in[K], *v = node->in[V], *a = node->in[DECAY];
    const Tensor *initial = node->in[INITIAL], *o = node->out[O];
    const ComplexTransition *transition = (const ComplexTransition *)node->attributes;
    const Batch *batch = node->tape->batch;
    ComplexScanArguments arguments = {
        .q = q->data,
        .k = k->data,
        .v = v->data,
        .a = a->data,
        .initial = initial ? initial->data : NULL,
        .segment = batch->segment,
        .o = o->data,
        .cartesian = transition->cartesian,
        .gradient_factor = transition->gradient_factor,
        .T = batch->T,
        .cols = q->cols,
        .chunks = blocks_of(batch->T, COMPLEX_SCAN_ROWS),
        .q_stride = q->stride,
        .k_stride = k->stride,
        .v_stride = v->stride,
        .a_stride = a->stride,
        .o_stride = o->stride,
        .initial_stride = initial ? initial->stride : 0,
    };
    const int64_t programs = node->tape->device->gpu ? GPU_PROGRAMS : HOST_PROGRAMS;
    const ScanCut cut = scan_cut(arguments.chunks, batch->B * column_blocks(&arguments), programs);
    arguments.parts = cut.parts;
    arguments.part_chunks = cut.part_chunks;
    const int64_t row = 2 * q->cols * dtype_size(F32), parts = batch->B * arguments.parts;
    arguments.state = node_workspace(node, batch->B * arguments.chunks * row);
    arguments.part_decay = tape_workspace(node->tape, parts * row);
    arguments.part_state = tape_workspace(node->tape, parts * row);
    return arguments;
}

static Grid grid_of(const Node *node, const ComplexScanArguments *arguments, int64_t parts) {
    return (Grid){column_blocks(arguments), parts, node->tape->batch->B};
}

static void launch_forward(const Node *node, const ComplexScanArguments *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    const int64_t parts = arguments->parts;
    if (parts > 1) device->launch(KERNEL_complex_scan_part, type, grid_of(node, arguments, parts - 1), arguments);
    device->launch(KERNEL_complex_scan, type, grid_of(node, arguments, parts), arguments);
}

static void complex_scan_forward(Node *node) {
    ComplexScanArguments arguments = arguments_of(node);
    arguments.final = node->outputs > FINAL ? node->out[FINAL]->data : NULL;
    launch_forward(node, &arguments);
}

static void complex_scan_backward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    ComplexScanArguments arguments = arguments_of(node);
    if (!node_keeps(node)) launch_forward(node, &arguments);
    arguments.do_ = node->out[O]->gradient;
    arguments.dfinal = node->outputs > FINAL ? node->out[FINAL]->gradient : NULL;
    arguments.dq = node->in[Q]->gradient;
    arguments.dk = node->in[K]->gradient;
    arguments.dv = node->in[V]->gradient;
    arguments.da = node->in[DECAY]->gradient;
    arguments.dinitial = node->in[INITIAL] ? node->in[INITIAL]->gradient : NULL;
    const int64_t parts = arguments.parts;
    if (parts > 1) device->launch(KERNEL_complex_scan_dpart, type, grid_of(node, &arguments, parts - 1), &arguments);
    device->launch(KERNEL_complex_scan_backward, type, grid_of(node, &arguments, parts), &arguments);
}

/* Counts, for each column and token, the complex product and the sum, k v and q Re S, and about 20 operations for the
 * decay. */
static Work complex_scan_work(const Node *node) {
    const Tensor *q = node->in[Q];
    const double n = (double)q->rows * (double)q->cols;
    return (Work){30 * n, 6 * n * (double)dtype_size(q->type), 2 * (double)q->cols * (double)dtype_size(F32)};
}

static const Op complex_scan_op = {"complex_scan", false, complex_scan_forward, complex_scan_backward,
                                   complex_scan_work};

Tensor *complex_scan(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *a, ComplexTransition transition,
                     Tensor *initial, Tensor **final) {
    const int64_t B = tape->batch->B, cols = q->cols;
    CHECK(q->rows == B * tape->batch->T && k->rows == q->rows && v->rows == q->rows && a->rows == q->rows,
          "complex_scan: rows are not the batch's tokens");
    CHECK(k->cols == cols && v->cols == cols && a->cols == 2 * cols,
          "complex_scan: k and v have another width than q, or a not twice its width");
    CHECK(!initial || (initial->rows == B && initial->cols == 2 * cols && initial->type == F32),
          "complex_scan: the initial state is not fp32 [B, 2 cols]");
    Node *node = tape_node(tape, &complex_scan_op, (Tensor *[]){q, k, v, a, initial}, INPUTS);
    Tensor *o = node_output(node, q->rows, cols, q->type);
    node_state(node, INITIAL, B, 2 * cols, 0, final);
    *(ComplexTransition *)node->attributes = transition;
    node_run(node);
    return o;
}
