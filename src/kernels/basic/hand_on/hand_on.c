/* A copy of a tensor for later blocks. Its gradient is the sum of those from all of these blocks, which the loop over
 * blocks (training/runner.c) provides. */
#include "base/check.h"
#include "kernels/ops.h"

static void hand_on_forward(Node *node) {
    const Tensor *x = node->in[0], *copy = node->out[0];
    const int64_t size = dtype_size(x->type);
    node->tape->device->copy(copy->data, copy->stride * size, x->data, x->stride * size, x->rows, x->cols * size);
}

static void hand_on_backward(Node *node) { node_share_gradient(node, 0, node->out[0]); }

static Work hand_on_work(const Node *node) { return (Work){0, 2 * (double)tensor_bytes(node->out[0]), 0}; }

static const Op hand_on_op = {"hand_on", false, hand_on_forward, hand_on_backward, hand_on_work};

Tensor *hand_on(Tape *tape, Tensor *x) {
    CHECK(!tape->handed_on && !tape->hands_on, "a model hands on one tensor");
    Node *node = tape->hands_on = tape_node(tape, &hand_on_op, (Tensor *[]){x}, 1);
    Tensor *copy = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return copy;
}
