#include "kernels/products/linear/linear_group.h"

#include "base/check.h"

int64_t group_rows(const Node *node, int first) {
    int64_t rows = 0;
    for (int i = first; i < node->inputs; i++) rows += node->in[i]->rows;
    return rows;
}

static const void *end_of(const Tensor *weight) { return (const char *)weight->data + tensor_bytes(weight); }

void group_check(const Node *node, int first) {
    if (!node->tape->device->computes) return;
    for (int i = first + 1; i < node->inputs; i++)
        CHECK(node->in[i]->data == end_of(node->in[i - 1]), "weights %d and %d of a linear group are not adjacent",
              i - 1 - first, i - first);
}

bool group_gradients_adjacent(const Node *node, int first) {
    if (!node->in[first]->gradient) return false;
    for (int i = first + 1; i < node->inputs; i++) {
        const Tensor *before = node->in[i - 1];
        if (node->in[i]->gradient != (float *)before->gradient + before->rows * before->cols) return false;
    }
    return true;
}
