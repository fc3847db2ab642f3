#include "kernels/recurrences/diagonal_scan/diagonal_scan.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, GATE, INITIAL }; /* INITIAL may be NULL */
enum { STATES, FINAL };

static Grid grid_of(const Node *node) {
    return (Grid){node->tape->batch->B, blocks_of(node->in[X]->cols, DIAGONAL_SCAN_COLS), 1};
}

static void diagonal_scan_forward(Node *node) {
    const Tensor *x = node->in[X], *g = node->in[GATE], *initial = node->in[INITIAL], *h = node->out[STATES];
    const DiagonalScanArguments arguments = {
        .x = x->data,
        .g = g->data,
        .initial = initial ? initial->data : NULL,
        .segment = node->tape->batch->segment,
        .h = h->data,
        .final = node->outputs > FINAL ? node->out[FINAL]->data : NULL,
        .T = node->tape->batch->T,
        .cols = x->cols,
        .x_stride = x->stride,
        .g_stride = g->stride,
        .h_stride = h->stride,
        .initial_stride = initial ? initial->stride : 0,
    };
    node->tape->device->launch(KERNEL_diagonal_scan, x->type, grid_of(node), &arguments);
}

static void diagonal_scan_backward(Node *node) {
    const Tensor *x = node->in[X], *g = node->in[GATE], *initial = node->in[INITIAL], *h = node->out[STATES];
    const DiagonalScanBackwardArguments arguments = {
        .h = h->data,
        .dh = h->gradient,
        .g = g->data,
        .initial = initial ? initial->data : NULL,
        .dfinal = node->outputs > FINAL ? node->out[FINAL]->gradient : NULL,
        .segment = node->tape->batch->segment,
        .dx = x->gradient,
        .dg = g->gradient,
        .dinitial = initial ? initial->gradient : NULL,
        .T = node->tape->batch->T,
        .cols = x->cols,
        .x_stride = x->stride,
        .g_stride = g->stride,
        .h_stride = h->stride,
        .initial_stride = initial ? initial->stride : 0,
    };
    node->tape->device->launch(KERNEL_diagonal_scan_backward, x->type, grid_of(node), &arguments);
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
