#include "kernels/gates/clamp/clamp.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct ClampAttributes {
    float low, high;
} ClampAttributes;

static void launch(const Node *node, Kernel kernel) {
    const ClampAttributes *bounds = (const ClampAttributes *)node->attributes;
    const Tensor *x = node->in[0], *y = node->out[0];
    const ClampArguments arguments = {
        .x = x->data,
        .dy = y->gradient,
        .y = y->data,
        .dx = x->gradient,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .low = bounds->low,
        .high = bounds->high,
    };
    node->tape->device->launch(kernel, x->type, (Grid){blocks_of(x->rows, arguments.rows_per_program), 1, 1},
                               &arguments);
}

static void clamp_forward(Node *node) { launch(node, KERNEL_clamp); }
static void clamp_backward(Node *node) { launch(node, KERNEL_clamp_backward); }

static Work clamp_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){2 * n, 2 * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op clamp_op = {"clamp", true, clamp_forward, clamp_backward, clamp_work};

Tensor *clamp(Tape *tape, Tensor *x, float low, float high) {
    CHECK(low <= high, "clamp to %g .. %g", (double)low, (double)high);
    Node *node = tape_node(tape, &clamp_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    *(ClampAttributes *)node->attributes = (ClampAttributes){low, high};
    node_run(node);
    return y;
}
