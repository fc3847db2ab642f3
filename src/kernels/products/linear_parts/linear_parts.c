/* y_p = x_p W_p^T for ranges x_p and W_p of the columns of x and W, all of one width; dx_p = dy_p W_p, dW_p += dy_p^T
 * x_p. The sums of dW are fp32 whatever the element type. */
#include "base/check.h"
#include "kernels/ops.h"

/* The columns of a part of x, of W, or of one of their gradients. */
static int64_t width_of(const Node *node) { return node->in[0]->cols / node->outputs; }
static void *columns_of(const Node *node, void *data, int part, DType type) {
    return (char *)data + part * width_of(node) * dtype_size(type);
}

static void linear_parts_forward(Node *node) {
    const Tensor *x = node->in[0], *weight = node->in[1];
    for (int p = 0; p < node->outputs; p++) {
        const Tensor *y = node->out[p];
        const Gemm product = {.transpose_b = true,
                              .m = x->rows,
                              .n = weight->rows,
                              .k = width_of(node),
                              .a = columns_of(node, x->data, p, x->type),
                              .lda = x->stride,
                              .b = columns_of(node, weight->data, p, x->type),
                              .ldb = weight->cols,
                              .c = y->data,
                              .ldc = y->stride,
                              .type = x->type,
                              .c_type = y->type};
        node->tape->device->gemm(&product);
    }
}

static void store_input_gradient(const Node *node, int part) {
    const Tensor *x = node->in[0], *weight = node->in[1], *y = node->out[part];
    const Gemm product = {.m = x->rows,
                          .n = width_of(node),
                          .k = weight->rows,
                          .a = y->gradient,
                          .lda = y->stride,
                          .b = columns_of(node, weight->data, part, x->type),
                          .ldb = weight->cols,
                          .c = columns_of(node, x->gradient, part, x->type),
                          .ldc = x->stride,
                          .type = x->type,
                          .c_type = x->type};
    node->tape->device->gemm(&product);
}

static void add_weight_gradient(const Node *node, int part) {
    const Tensor *x = node->in[0], *weight = node->in[1], *y = node->out[part];
    const Gemm product = {.transpose_a = true,
                          .accumulate = true,
                          .m = weight->rows,
                          .n = width_of(node),
                          .k = x->rows,
                          .a = y->gradient,
                          .lda = y->stride,
                          .b = columns_of(node, x->data, part, x->type),
                          .ldb = x->stride,
                          .c = columns_of(node, weight->gradient, part, F32),
                          .ldc = weight->cols,
                          .type = x->type,
                          .c_type = F32};
    node->tape->device->gemm(&product);
}

static void linear_parts_backward(Node *node) {
    for (int p = 0; p < node->outputs; p++) {
        if (node->in[0]->gradient) store_input_gradient(node, p);
        if (node->in[1]->gradient) add_weight_gradient(node, p);
    }
}

static Work linear_parts_work(const Node *node) {
    const Tensor *x = node->in[0], *weight = node->in[1];
    const double N = (double)x->rows, in = (double)x->cols, out = (double)weight->rows;
    return (Work){2 * N * in * out, (N * in + N * out * node->outputs + in * out) * (double)dtype_size(x->type), 0};
}

static const Op linear_parts_op = {"linear_parts", false, linear_parts_forward, linear_parts_backward,
                                   linear_parts_work};

void linear_parts(Tape *tape, Tensor *x, Tensor *weight, int parts, Tensor *out[]) {
    CHECK(parts > 0 && parts <= NODE_OUTPUTS && x->cols % parts == 0 && weight->cols == x->cols &&
              weight->stride == weight->cols && weight->type == x->type,
          "linear_parts: %d parts of a weight of %lld columns for an input of %lld", parts, (long long)weight->cols,
          (long long)x->cols);
    Node *node = tape_node(tape, &linear_parts_op, (Tensor *[]){x, weight}, 2);
    for (int p = 0; p < parts; p++) {
        out[p] = node_output(node, x->rows, weight->rows, x->type);
        out[p]->stride = gemm_stride(weight->rows, x->type);
    }
    node_run(node);
}
