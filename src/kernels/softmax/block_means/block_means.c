#include "kernels/softmax/block_means/block_means.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/softmax/document_blocks.h"

static BlockMeansArguments arguments_of(const Node *node) {
    const Tensor all = node_joined(node, 0), *x = &all, *y = node->out[0];
    const Batch *batch = node->tape->batch;
    const int64_t before = tape_tokens_before(node->tape), block = *(const int64_t *)node->attributes;
    return (BlockMeansArguments){.x = x->data,
                                 .y = y->data,
                                 .dx = x->gradient,
                                 .dy = y->gradient,
                                 .segment = batch->segment,
                                 .position = batch->position,
                                 .T = batch->T,
                                 .tokens = batch->B * batch->T,
                                 .cols = x->cols,
                                 .block = block,
                                 .before = before,
                                 .x_rows = x->rows / batch->B,
                                 .rows = y->rows / batch->B,
                                 .first_row = before + 1 < block ? 0 : (before + 1) / block - 1,
                                 .x_stride = x->stride,
                                 .y_stride = y->stride,
                                 .goes_on = node->tape->carried != NULL};
}

static void block_means_forward(Node *node) {
    const BlockMeansArguments arguments = arguments_of(node);
    const int64_t end = block_rows(tape_tokens(node->tape), arguments.block);
    const Grid grid = {end - arguments.first_row, node->tape->batch->B, 1};
    node->tape->device->launch(KERNEL_block_means, node->out[0]->type, grid, &arguments);
}

static void block_means_backward(Node *node) {
    const BlockMeansArguments arguments = arguments_of(node);
    const Grid grid = {blocks_of(arguments.tokens, rows_per_program(arguments.cols)), 1, 1};
    node->tape->device->launch(KERNEL_block_means_backward, node->out[0]->type, grid, &arguments);
}

static Work block_means_work(const Node *node) {
    const double n = (double)node->in[0]->rows * (double)node->in[0]->cols;
    return (Work){n, n * (double)dtype_size(node->in[0]->type), 0};
}

static const Op block_means_op = {"block_means", true, block_means_forward, block_means_backward, block_means_work};

Tensor *block_means(Tape *tape, Tensor *x, int64_t block) {
    const Batch *batch = tape->batch;
    CHECK(block > 0 && x->rows == batch->B * batch->T, "block_means of %lld rows in blocks of %lld", (long long)x->rows,
          (long long)block);
    Node *node = tape_node(tape, &block_means_op, (Tensor *[]){x}, 1);
    Tensor *y = node_output_carried(node, batch->B * block_rows(tape_tokens_limit(tape), block), x->cols, x->type);
    *(int64_t *)node->attributes = block;
    node_past(node, 1, 0, INT64_MAX, PAST_JOINED);
    node_run(node);
    return y;
}
