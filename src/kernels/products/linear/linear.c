/* y = x W^T, for one weight or several that are adjacent in memory. [W_1; W_2; ...] is then one matrix, so there is one
 * product in forward and two in backward, dx = dy W and dW += dy^T x. The sums of dW are fp32 whatever the element
 * type. If x has several heads of the weight's width, each is multiplied separately. */
#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/products/linear/linear_group.h"

/* The number of heads: how many times x is as wide as the weight. */
static int64_t heads_of(const Node *node) { return node->in[0]->cols / node->in[1]->cols; }

/* The columns of a tensor, or of its gradient, from `column` on. */
static void *columns_of(const Tensor *tensor, void *data, int64_t column) {
    return (char *)data + column * dtype_size(tensor->type);
}

static void linear_forward(Node *node) {
    const Tensor *x = node->in[0], *weight = node->in[1], *y = node->out[0];
    group_check(node, 1);
    const int64_t heads = heads_of(node);
    for (int64_t head = 0; head < heads; head++) {
        const Gemm product = {.transpose_b = true,
                              .m = x->rows,
                              .n = y->cols / heads,
                              .k = weight->cols,
                              .a = columns_of(x, x->data, head * weight->cols),
                              .lda = x->stride,
                              .b = weight->data,
                              .ldb = weight->cols,
                              .c = columns_of(y, y->data, head * y->cols / heads),
                              .ldc = y->stride,
                              .type = x->type,
                              .c_type = y->type};
        node->tape->device->gemm(&product);
    }
}

/* dW += dy^T x for `rows` rows of the weight, whose part of a head's dy starts at `column`. */
static void add_weight_gradient(const Node *node, float *gradient, int64_t rows, int64_t column) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const int64_t heads = heads_of(node), width = node->in[1]->cols;
    for (int64_t head = 0; head < heads; head++) {
        const Gemm product = {.transpose_a = true,
                              .accumulate = true,
                              .m = rows,
                              .n = width,
                              .k = x->rows,
                              .a = columns_of(y, y->gradient, head * y->cols / heads + column),
                              .lda = y->stride,
                              .b = columns_of(x, x->data, head * width),
                              .ldb = x->stride,
                              .c = gradient,
                              .ldc = width,
                              .type = x->type,
                              .c_type = F32};
        node->tape->device->gemm(&product);
    }
}

static void store_input_gradient(const Node *node) {
    const Tensor *x = node->in[0], *weight = node->in[1], *y = node->out[0];
    const int64_t heads = heads_of(node);
    for (int64_t head = 0; head < heads; head++) {
        const Gemm product = {.m = x->rows,
                              .n = weight->cols,
                              .k = y->cols / heads,
                              .a = columns_of(y, y->gradient, head * y->cols / heads),
                              .lda = y->stride,
                              .b = weight->data,
                              .ldb = weight->cols,
                              .c = columns_of(x, x->gradient, head * weight->cols),
                              .ldc = x->stride,
                              .type = x->type,
                              .c_type = x->type};
        node->tape->device->gemm(&product);
    }
}

static void linear_backward(Node *node) {
    const Tensor *x = node->in[0], *weight = node->in[1];
    if (x->gradient) store_input_gradient(node);
    if (group_gradients_adjacent(node, 1)) {
        add_weight_gradient(node, weight->gradient, group_rows(node, 1), 0);
        return;
    }
    int64_t column = 0;
    for (int i = 1; i < node->inputs; i++) {
        const Tensor *part = node->in[i];
        if (part->gradient) add_weight_gradient(node, part->gradient, part->rows, column);
        column += part->rows;
    }
}

static Work linear_work(const Node *node) {
    const double N = (double)node->in[0]->rows, in = (double)node->in[0]->cols, out = (double)node->out[0]->cols;
    const double heads = (double)heads_of(node), weights = in * out / (heads * heads);
    return (Work){2 * N * in * out / heads, (N * in + N * out + weights) * (double)dtype_size(node->in[0]->type), 0};
}

static const Op linear_op = {"linear", false, linear_forward, linear_backward, linear_work};

static void check_weight(const Tensor *x, const Tensor *weight, int64_t heads) {
    CHECK(heads > 0 && heads * weight->cols == x->cols && weight->stride == weight->cols && weight->type == x->type,
          "linear: a weight of %lld columns for an input of %lld", (long long)weight->cols, (long long)x->cols);
}

/* An output whose rows are aligned, whatever its number of columns. */
static Tensor *product_output(Node *node, int64_t rows, int64_t cols, DType type) {
    Tensor *y = node_output(node, rows, cols, type);
    y->stride = gemm_stride(cols, type);
    return y;
}

static Tensor *multiply_heads(Tape *tape, Tensor *x, Tensor *weight, int64_t heads) {
    check_weight(x, weight, heads);
    Node *node = tape_node(tape, &linear_op, (Tensor *[]){x, weight}, 2);
    Tensor *y = product_output(node, x->rows, heads * weight->rows, x->type);
    node_run(node);
    return y;
}

Tensor *linear(Tape *tape, Tensor *x, Tensor *weight) { return multiply_heads(tape, x, weight, 1); }

Tensor *linear_heads(Tape *tape, Tensor *x, Tensor *weight) {
    return multiply_heads(tape, x, weight, x->cols / weight->cols);
}

void linear_group(Tape *tape, Tensor *x, Tensor *const weight[], int count, Tensor *out[]) {
    CHECK(count > 0 && count < NODE_INPUTS && count < NODE_OUTPUTS, "a linear group of %d weights", count);
    Tensor *in[NODE_INPUTS] = {x};
    for (int i = 0; i < count; i++) {
        check_weight(x, weight[i], 1);
        in[i + 1] = weight[i];
    }
    Node *node = tape_node(tape, &linear_op, in, count + 1);
    Tensor *base = product_output(node, x->rows, group_rows(node, 1), x->type);
    int64_t column = 0;
    for (int i = 0; i < count; i++) {
        out[i] = node_output_view(node, base, column, weight[i]->rows);
        column += weight[i]->rows;
    }
    node_run(node);
}
