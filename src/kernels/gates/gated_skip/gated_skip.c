#include "kernels/gates/gated_skip/gated_skip.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { Y, X, SKIP, GATE }; /* GATE may be NULL */

static void gated_skip_forward(Node *node) {
    const Tensor *y = node->in[Y], *x = node->in[X], *D = node->in[SKIP], *gate = node->in[GATE], *z = node->out[0];
    const GatedSkipArguments arguments = {
        .y = y->data,
        .x = x->data,
        .D = D->data,
        .gate = gate ? gate->data : NULL,
        .z = z->data,
        .rows = y->rows,
        .cols = y->cols,
        .rows_per_program = rows_per_program(y->cols),
        .y_stride = y->stride,
        .x_stride = x->stride,
        .gate_stride = gate ? gate->stride : 0,
        .z_stride = z->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_gated_skip, y->type, grid, &arguments);
}

static void gated_skip_backward(Node *node) {
    const Tensor *y = node->in[Y], *x = node->in[X], *D = node->in[SKIP], *gate = node->in[GATE], *z = node->out[0];
    const Device *device = node->tape->device;
    const int64_t rows = rows_per_sum(y->rows), programs = blocks_of(y->rows, rows);
    float *partial = tape_workspace(node->tape, programs * y->cols * dtype_size(F32));
    const GatedSkipBackwardArguments arguments = {
        .y = y->data,
        .x = x->data,
        .D = D->data,
        .gate = gate ? gate->data : NULL,
        .dz = z->gradient,
        .dy = y->gradient,
        .dx = x->gradient,
        .dgate = gate ? gate->gradient : NULL,
        .partial = partial,
        .rows = y->rows,
        .cols = y->cols,
        .rows_per_program = rows,
        .y_stride = y->stride,
        .x_stride = x->stride,
        .gate_stride = gate ? gate->stride : 0,
        .dz_stride = z->stride,
    };
    device->launch(KERNEL_gated_skip_backward, y->type, (Grid){programs, blocks_of(y->cols, PROGRAM_COLS), 1},
                   &arguments);
    column_sum(node->tape, partial, programs, D);
}

static Work gated_skip_work(const Node *node) {
    const Tensor *z = node->out[0];
    const double n = (double)z->rows * (double)z->cols, matrices = node->in[GATE] ? 4 : 3;
    return (Work){6 * n, matrices * n * (double)dtype_size(z->type), 0};
}

static const Op gated_skip_op = {"gated_skip", true, gated_skip_forward, gated_skip_backward, gated_skip_work};

Tensor *gated_skip(Tape *tape, Tensor *y, Tensor *x, Tensor *D, Tensor *gate) {
    CHECK(x->rows == y->rows && x->cols == y->cols && x->type == y->type, "gated_skip of two shapes");
    CHECK(!gate || (gate->rows == y->rows && gate->cols == y->cols && gate->type == y->type),
          "gated_skip with a gate of another shape");
    CHECK(D->rows == 1 && D->cols == y->cols, "gated_skip: D has %lld entries for %lld columns", (long long)D->cols,
          (long long)y->cols);
    Node *node = tape_node(tape, &gated_skip_op, (Tensor *[]){y, x, D, gate}, 4);
    Tensor *z = node_output(node, y->rows, y->cols, y->type);
    node_run(node);
    return z;
}
