#include "kernels/softmax/group_softmax/group_softmax.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static int64_t group_of(const Node *node) { return *(const int64_t *)node->attributes; }

static void group_softmax_forward(Node *node) {
    const Tensor *x = node->in[0], *p = node->out[0];
    const GroupSoftmaxArguments arguments = {
        .x = x->data,
        .p = p->data,
        .rows = x->rows,
        .groups = x->cols / group_of(node),
        .cols = group_of(node),
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .p_stride = p->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_group_softmax, x->type, grid, &arguments);
}

static void group_softmax_backward(Node *node) {
    const Tensor *x = node->in[0], *p = node->out[0];
    const GroupSoftmaxBackwardArguments arguments = {
        .p = p->data,
        .dp = p->gradient,
        .dx = x->gradient,
        .rows = x->rows,
        .groups = x->cols / group_of(node),
        .cols = group_of(node),
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .p_stride = p->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_group_softmax_backward, x->type, grid, &arguments);
}

static Work group_softmax_work(const Node *node) {
    const Tensor *p = node->out[0];
    const double n = (double)p->rows * (double)p->cols;
    return (Work){4 * n, 2 * n * (double)dtype_size(p->type), 0};
}

static const Op group_softmax_op = {"group_softmax", true, group_softmax_forward, group_softmax_backward,
                                    group_softmax_work};

Tensor *group_softmax(Tape *tape, Tensor *x, int64_t cols) {
    CHECK(cols > 0 && x->cols % cols == 0, "group_softmax of %lld columns in groups of %lld", (long long)x->cols,
          (long long)cols);
    Node *node = tape_node(tape, &group_softmax_op, (Tensor *[]){x}, 1);
    Tensor *p = node_output(node, x->rows, x->cols, x->type);
    *(int64_t *)node->attributes = cols;
    node_run(node);
    return p;
}
