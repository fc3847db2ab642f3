#include "kernels/basic/document_rows/document_rows.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct SummaryAttributes {
    bool mean;
} SummaryAttributes;

static bool is_mean(const Node *node) { return ((const SummaryAttributes *)node->attributes)->mean; }

static void launch(const Node *node, int kernel, const void *from, int64_t from_stride, void *to, int64_t to_stride) {
    const Tensor *x = node->in[0];
    const Batch *batch = node->tape->batch;
    const DocumentRowsArguments arguments = {.from = from,
                                             .to = to,
                                             .segment = batch->segment,
                                             .position = batch->position,
                                             .rows = x->rows,
                                             .T = batch->T,
                                             .cols = x->cols,
                                             .rows_per_program = rows_per_program(x->cols),
                                             .from_stride = from_stride,
                                             .to_stride = to_stride,
                                             .mean = is_mean(node)};
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, x->type, grid, &arguments);
}

/* Backward applies the transpose. The mean of all rows is its own transpose; the transpose of giving every row the last
 * one is the sum of all rows in the last row. */
static void document_summary_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    if (is_mean(node)) launch(node, KERNEL_document_sum, x->data, x->stride, y->data, y->stride);
    launch(node, KERNEL_document_spread, is_mean(node) ? y->data : x->data, is_mean(node) ? y->stride : x->stride,
           y->data, y->stride);
}

static void document_summary_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    launch(node, KERNEL_document_sum, y->gradient, y->stride, x->gradient, x->stride);
    if (is_mean(node)) launch(node, KERNEL_document_spread, x->gradient, x->stride, x->gradient, x->stride);
}

static Work document_summary_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){is_mean(node) ? n : 0, (is_mean(node) ? 2 : 1) * n * (double)dtype_size(y->type), 0};
}

static const Op document_summary_op = {"document_summary", true, document_summary_forward, document_summary_backward,
                                       document_summary_work};

Tensor *document_summary(Tape *tape, Tensor *x, bool mean) {
    CHECK(x->type == tape->type, "document_summary of elements only");
    Node *node = tape_node(tape, &document_summary_op, (Tensor *[]){x}, 1);
    *(SummaryAttributes *)node->attributes = (SummaryAttributes){mean};
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return y;
}

static void reverse_forward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    launch(node, KERNEL_document_reverse, x->data, x->stride, y->data, y->stride);
}

static void reverse_backward(Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    launch(node, KERNEL_document_reverse, y->gradient, y->stride, x->gradient, x->stride);
}

static Work reverse_work(const Node *node) {
    const Tensor *y = node->out[0];
    return (Work){0, 2 * (double)y->rows * (double)y->cols * (double)dtype_size(y->type), 0};
}

static const Op reverse_op = {"reverse", true, reverse_forward, reverse_backward, reverse_work};

Tensor *reverse(Tape *tape, Tensor *x) {
    CHECK(x->type == tape->type, "reverse of elements only");
    Node *node = tape_node(tape, &reverse_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
    return y;
}
