#include "kernels/gates/decay_complement/decay_complement.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static void launch(const Node *node, Kernel kernel) {
    const Tensor *g = node->in[0], *s = node->out[0];
    const DecayComplementArguments arguments = {
        .g = g->data,
        .ds = s->gradient,
        .s = s->data,
        .dg = g->gradient,
        .rows = g->rows,
        .cols = g->cols,
        .rows_per_program = rows_per_program(g->cols),
        .g_stride = g->stride,
        .s_stride = s->stride,
    };
    node->tape->device->launch(kernel, s->type, (Grid){blocks_of(g->rows, arguments.rows_per_program), 1, 1},
                               &arguments);
}

static void decay_complement_forward(Node *node) { launch(node, KERNEL_decay_complement); }
static void decay_complement_backward(Node *node) { launch(node, KERNEL_decay_complement_backward); }

static Work decay_complement_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){2 * n, n * (double)(dtype_size(F32) + dtype_size(node->out[0]->type)), 0};
}

static const Op decay_complement_op = {"decay_complement", true, decay_complement_forward, decay_complement_backward,
                                       decay_complement_work};

Tensor *decay_complement(Tape *tape, Tensor *g) {
    CHECK(g->type == F32, "decay_complement of a log decay that is not fp32");
    Node *node = tape_node(tape, &decay_complement_op, (Tensor *[]){g}, 1);
    Tensor *s = node_output(node, g->rows, g->cols, tape->type);
    node_run(node);
    return s;
}
