/* y = x m^T for each head, of two activations: [N, heads*K] and [R, heads*K] -> [N, heads*R]. Backward: dx = dy m, dm =
 * dy^T x. */
#include "base/check.h"
#include "kernels/ops.h"

/* The columns of a head in a tensor, or in its gradient. */
static void *head_of(const Tensor *tensor, void *data, int64_t head, int64_t heads) {
    return (char *)data + head * (tensor->cols / heads) * dtype_size(tensor->type);
}

static int64_t heads_of(const Node *node) { return *(const int64_t *)node->attributes; }

static void head_products_forward(Node *node) {
    const Tensor *x = node->in[0], *m = node->in[1], *y = node->out[0];
    for (int64_t head = 0, heads = heads_of(node); head < heads; head++) {
        const Gemm product = {.transpose_b = true,
                              .m = x->rows,
                              .n = m->rows,
                              .k = x->cols / heads,
                              .a = head_of(x, x->data, head, heads),
                              .lda = x->stride,
                              .b = head_of(m, m->data, head, heads),
                              .ldb = m->stride,
                              .c = head_of(y, y->data, head, heads),
                              .ldc = y->stride,
                              .type = x->type,
                              .c_type = y->type};
        node->tape->device->gemm(&product);
    }
}

static void head_products_backward(Node *node) {
    const Tensor *x = node->in[0], *m = node->in[1], *y = node->out[0];
    for (int64_t head = 0, heads = heads_of(node); head < heads; head++) {
        const Gemm to_x = {.m = x->rows,
                           .n = x->cols / heads,
                           .k = m->rows,
                           .a = head_of(y, y->gradient, head, heads),
                           .lda = y->stride,
                           .b = head_of(m, m->data, head, heads),
                           .ldb = m->stride,
                           .c = head_of(x, x->gradient, head, heads),
                           .ldc = x->stride,
                           .type = x->type,
                           .c_type = x->type};
        node->tape->device->gemm(&to_x);
        const Gemm to_m = {.transpose_a = true,
                           .m = m->rows,
                           .n = m->cols / heads,
                           .k = x->rows,
                           .a = head_of(y, y->gradient, head, heads),
                           .lda = y->stride,
                           .b = head_of(x, x->data, head, heads),
                           .ldb = x->stride,
                           .c = head_of(m, m->gradient, head, heads),
                           .ldc = m->stride,
                           .type = x->type,
                           .c_type = m->type};
        node->tape->device->gemm(&to_m);
    }
}

static Work head_products_work(const Node *node) {
    const Tensor *x = node->in[0], *m = node->in[1], *y = node->out[0];
    const double entries = (double)x->rows * (double)(x->cols + y->cols) + (double)m->rows * (double)m->cols;
    return (Work){2 * (double)x->rows * (double)x->cols * (double)m->rows, entries * (double)dtype_size(x->type), 0};
}

static const Op head_products_op = {"head_products", false, head_products_forward, head_products_backward,
                                    head_products_work};

Tensor *head_products(Tape *tape, Tensor *x, Tensor *m, int64_t heads) {
    CHECK(x->cols == m->cols && x->cols % heads == 0 && x->type == m->type,
          "products of %lld and %lld columns in %lld heads", (long long)x->cols, (long long)m->cols, (long long)heads);
    Node *node = tape_node(tape, &head_products_op, (Tensor *[]){x, m}, 2);
    Tensor *y = node_output(node, x->rows, heads * m->rows, x->type);
    *(int64_t *)node->attributes = heads;
    node_run(node);
    return y;
}
