#include "kernels/basic/repeat_heads/repeat_heads.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static void launch(const Node *node, Kernel kernel) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const int64_t heads = *(const int64_t *)node->attributes;
    const RepeatHeadsArguments arguments = {.x = x->data,
                                            .dy = y->gradient,
                                            .y = y->data,
                                            .dx = x->gradient,
                                            .rows = x->rows,
                                            .heads = heads,
                                            .group = y->cols / x->cols,
                                            .cols = x->cols / heads,
                                            .rows_per_program = rows_per_program(y->cols),
                                            .x_stride = x->stride,
                                            .y_stride = y->stride};
    const Grid grid = {blocks_of(x->rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, x->type, grid, &arguments);
}

static void repeat_heads_forward(Node *node) { launch(node, KERNEL_repeat_heads); }
static void repeat_heads_backward(Node *node) { launch(node, KERNEL_repeat_heads_backward); }

static Work repeat_heads_work(const Node *node) {
    const double n = (double)node->in[0]->rows * (double)(node->in[0]->cols + node->out[0]->cols);
    return (Work){0, n * (double)dtype_size(node->in[0]->type), 0};
}

static const Op repeat_heads_op = {"repeat_heads", true, repeat_heads_forward, repeat_heads_backward,
                                   repeat_heads_work};

Tensor *repeat_heads(Tape *tape, Tensor *x, int64_t heads, int64_t group) {
    CHECK(x->cols % heads == 0, "repeat_heads: %lld columns are not %lld heads", (long long)x->cols, (long long)heads);
    if (group == 1) return x;
    Node *node = tape_node(tape, &repeat_heads_op, (Tensor *[]){x}, 1);
    *(int64_t *)node->attributes = heads;
    Tensor *y = node_output(node, x->rows, x->cols * group, x->type);
    node_run(node);
    return y;
}
