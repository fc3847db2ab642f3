/* y_w = x W_w^T for block-diagonal weights. Backward takes all weights together, so that it passes over x and dx
 * once. */
#include "kernels/products/linear_blocks/linear_blocks.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, WEIGHT };

static int32_t block_of(const Node *node) { return (int32_t)(node->in[X]->cols / node->in[WEIGHT]->rows); }

static Grid grid_of(const Node *node) {
    const Tensor *x = node->in[X];
    return (Grid){blocks_of(x->cols, LINEAR_BLOCKS_COLS), blocks_of(x->rows, LINEAR_BLOCKS_ROWS), 1};
}

static void linear_blocks_forward(Node *node) {
    const Tensor *x = node->in[X];
    LinearBlocksArguments arguments = {.x = x->data,
                                       .rows = x->rows,
                                       .cols = x->cols,
                                       .x_stride = x->stride,
                                       .y_stride = node->out[0]->stride,
                                       .count = node->outputs,
                                       .block = block_of(node)};
    for (int w = 0; w < node->outputs; w++) {
        arguments.weight[w] = node->in[WEIGHT + w]->data;
        arguments.y[w] = node->out[w]->data;
    }
    node->tape->device->launch(KERNEL_linear_blocks, x->type, grid_of(node), &arguments);
}

static void linear_blocks_backward(Node *node) {
    const Tensor *x = node->in[X];
    const Grid grid = grid_of(node);
    const int32_t block = block_of(node);
    float *partial = tape_workspace(node->tape, grid.y * node->outputs * x->cols * block * dtype_size(F32));
    LinearBlocksBackwardArguments arguments = {.x = x->data,
                                               .dx = x->gradient,
                                               .partial = partial,
                                               .rows = x->rows,
                                               .cols = x->cols,
                                               .x_stride = x->stride,
                                               .y_stride = node->out[0]->stride,
                                               .count = node->outputs,
                                               .block = block};
    for (int w = 0; w < node->outputs; w++) {
        arguments.weight[w] = node->in[WEIGHT + w]->data;
        arguments.dy[w] = node->out[w]->gradient;
    }
    node->tape->device->launch(KERNEL_linear_blocks_backward, x->type, grid, &arguments);
    column_sums(node->tape, partial, grid.y, &node->in[WEIGHT], node->outputs);
}

static Work linear_blocks_work(const Node *node) {
    const double n = (double)node->in[X]->rows * (double)node->in[X]->cols, count = node->outputs;
    return (Work){2 * n * block_of(node) * count, (1 + count) * n * (double)dtype_size(node->in[X]->type), 0};
}

static const Op linear_blocks_op = {"linear_blocks", true, linear_blocks_forward, linear_blocks_backward,
                                    linear_blocks_work};

void linear_blocks(Tape *tape, Tensor *x, Tensor *const weight[], int count, Tensor *out[]) {
    CHECK(count > 0 && count <= LINEAR_BLOCKS_MOST, "linear_blocks with %d weights", count);
    Tensor *in[WEIGHT + LINEAR_BLOCKS_MOST] = {x};
    for (int w = 0; w < count; w++) {
        const Tensor *of = in[WEIGHT + w] = weight[w];
        const int64_t block = x->cols / of->rows;
        CHECK(block > 0 && block * of->rows == x->cols && of->cols == block * block && of->rows == weight[0]->rows &&
                  LINEAR_BLOCKS_SQUARE % block == 0 && of->type == x->type,
              "linear_blocks: %lld blocks of %lld weights for %lld columns", (long long)of->rows, (long long)of->cols,
              (long long)x->cols);
    }
    Node *node = tape_node(tape, &linear_blocks_op, in, WEIGHT + count);
    for (int w = 0; w < count; w++) out[w] = node_output(node, x->rows, x->cols, x->type);
    node_run(node);
}
