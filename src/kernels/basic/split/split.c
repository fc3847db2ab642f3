/* Ranges of a matrix's columns as matrices of their own. They and their gradients are views of the whole matrix and its
 * gradient, so there is nothing to compute. */
#include "base/check.h"
#include "kernels/ops.h"

static void split_forward(Node *node) { (void)node; }

static void split_backward(Node *node) {
    const Tensor *x = node->in[0];
    CHECK(node->out[0]->gradient == x->gradient, "split: the whole matrix was used beside its columns");
}

static const Op split_op = {"split", true, split_forward, split_backward, NULL};

void split(Tape *tape, Tensor *x, const int64_t cols[], int count, Tensor *out[]) {
    Node *node = tape_node(tape, &split_op, (Tensor *[]){x}, 1);
    int64_t column = 0;
    for (int i = 0; i < count; i++) {
        out[i] = node_output_view(node, x, column, cols[i]);
        column += cols[i];
    }
    CHECK(column == x->cols, "split of %lld columns into parts of %lld together", (long long)x->cols,
          (long long)column);
    node_run(node);
}
