/* y = [x_1 .. x_n] W^T for inputs side by side: y = sum over p of x_p W_p^T for the ranges W_p of W's columns, dx_p =
 * dy W_p, dW_p += dy^T x_p. W is one weight or several that are adjacent. Sums are fp32 whatever the element type. */
#include "base/check.h"
#include "kernels/basic/cast/cast.h"
#include "kernels/ops.h"
#include "kernels/products/linear/linear_group.h"
#include "tile/rows.h"

typedef struct LinearConcatenatedAttributes {
    int parts; /* the number of inputs before the weights */
} LinearConcatenatedAttributes;

static int parts_of(const Node *node) { return ((const LinearConcatenatedAttributes *)node->attributes)->parts; }

/* The columns of the weights, or of a gradient of theirs, from those of input `part` on. */
static void *columns_of(const Node *node, void *data, int part, DType type) {
    int64_t column = 0;
    for (int p = 0; p < part; p++) column += node->in[p]->cols;
    return (char *)data + column * dtype_size(type);
}

/* Sets `sum`, fp32 [rows, group_rows], to the sum of the products of all parts. It is y itself, or the memory from
 * which y is cast. */
static void add_products(const Node *node, float *sum, int64_t stride) {
    const Tensor *weight = node->in[parts_of(node)];
    for (int p = 0; p < parts_of(node); p++) {
        const Tensor *x = node->in[p];
        const Gemm product = {.transpose_b = true,
                              .accumulate = p > 0,
                              .m = x->rows,
                              .n = group_rows(node, parts_of(node)),
                              .k = x->cols,
                              .a = x->data,
                              .lda = x->stride,
                              .b = columns_of(node, weight->data, p, x->type),
                              .ldb = weight->cols,
                              .c = sum,
                              .ldc = stride,
                              .type = x->type,
                              .c_type = F32};
        node->tape->device->gemm(&product);
    }
}

static void linear_concatenated_forward(Node *node) {
    const Tensor *y = node->out[0];
    group_check(node, parts_of(node));
    if (y->type == F32) {
        add_products(node, y->data, y->stride);
        return;
    }
    float *sum = tape_workspace(node->tape, y->rows * y->stride * dtype_size(F32));
    add_products(node, sum, y->stride);
    const CastArguments cast = {sum, y->data, y->rows * y->stride};
    node->tape->device->launch(KERNEL_cast, y->type, (Grid){blocks_of(cast.count, CAST_BLOCK), 1, 1}, &cast);
}

static void store_input_gradient(const Node *node, int part) {
    const Tensor *x = node->in[part], *weight = node->in[parts_of(node)], *y = node->out[0];
    const Gemm product = {.m = x->rows,
                          .n = x->cols,
                          .k = group_rows(node, parts_of(node)),
                          .a = y->gradient,
                          .lda = y->stride,
                          .b = columns_of(node, weight->data, part, x->type),
                          .ldb = weight->cols,
                          .c = x->gradient,
                          .ldc = x->stride,
                          .type = x->type,
                          .c_type = x->type};
    node->tape->device->gemm(&product);
}

/* Adds to the gradient of `rows` rows of the weights, whose part of dy starts at `column`. */
static void add_weight_gradient(const Node *node, float *gradient, int64_t rows, int64_t column) {
    const Tensor *y = node->out[0];
    for (int p = 0; p < parts_of(node); p++) {
        const Tensor *x = node->in[p];
        const Gemm product = {.transpose_a = true,
                              .accumulate = true,
                              .m = rows,
                              .n = x->cols,
                              .k = x->rows,
                              .a = (const char *)y->gradient + column * dtype_size(y->type),
                              .lda = y->stride,
                              .b = x->data,
                              .ldb = x->stride,
                              .c = columns_of(node, gradient, p, F32),
                              .ldc = node->in[parts_of(node)]->cols,
                              .type = x->type,
                              .c_type = F32};
        node->tape->device->gemm(&product);
    }
}

static void linear_concatenated_backward(Node *node) {
    const int parts = parts_of(node);
    for (int p = 0; p < parts; p++)
        if (node->in[p]->gradient) store_input_gradient(node, p);
    if (group_gradients_adjacent(node, parts)) {
        add_weight_gradient(node, node->in[parts]->gradient, group_rows(node, parts), 0);
        return;
    }
    int64_t column = 0;
    for (int i = parts; i < node->inputs; i++) {
        const Tensor *weight = node->in[i];
        if (weight->gradient) add_weight_gradient(node, weight->gradient, weight->rows, column);
        column += weight->rows;
    }
}

static Work linear_concatenated_work(const Node *node) {
    const Tensor *weight = node->in[parts_of(node)], *y = node->out[0];
    const double N = (double)y->rows, in = (double)weight->cols, out = (double)y->cols;
    return (Work){2 * N * in * out, (N * in + N * out + in * out) * (double)dtype_size(y->type), 0};
}

static const Op linear_concatenated_op = {"linear_concatenated", false, linear_concatenated_forward,
                                          linear_concatenated_backward, linear_concatenated_work};

void linear_concatenated(Tape *tape, Tensor *const x[], int parts, Tensor *const weight[], int count, Tensor *out[]) {
    Tensor *in[NODE_INPUTS];
    int64_t cols = 0, column = 0;
    CHECK(parts > 0 && count > 0 && parts + count <= NODE_INPUTS && count < NODE_OUTPUTS,
          "linear_concatenated of %d inputs and %d weights", parts, count);
    for (int p = 0; p < parts; p++) {
        in[p] = x[p];
        cols += x[p]->cols;
    }
    for (int i = 0; i < count; i++) {
        CHECK(weight[i]->cols == cols && weight[i]->stride == cols && weight[i]->type == x[0]->type,
              "linear_concatenated: a weight of %lld columns for inputs of %lld", (long long)weight[i]->cols,
              (long long)cols);
        in[parts + i] = weight[i];
    }
    Node *node = tape_node(tape, &linear_concatenated_op, in, parts + count);
    *(LinearConcatenatedAttributes *)node->attributes = (LinearConcatenatedAttributes){parts};
    const int64_t rows = group_rows(node, parts);
    Tensor *base = node_output(node, x[0]->rows, rows, x[0]->type);
    base->stride = gemm_stride(rows, x[0]->type);
    for (int i = 0; i < count; i++) {
        out[i] = node_output_view(node, base, column, weight[i]->rows);
        column += weight[i]->rows;
    }
    node_run(node);
}
