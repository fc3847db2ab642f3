/* Products with block-diagonal weights; equations in linear_blocks.h. Blocks may be smaller than what a GPU multiplies
 * at once. So squares of 16 x 16 on the diagonal are multiplied as a whole, with zeros outside of the blocks. */
#include "tile/tile.h"
#include "kernels/products/linear_blocks/linear_blocks.h"

enum { ROWS = 64, COLS = LINEAR_BLOCKS_COLS, SQUARE = LINEAR_BLOCKS_SQUARE, MOST = LINEAR_BLOCKS_MOST };

/* in_block: whether row i and column j of a square are in the same block of n, a power of two. weight_at: the offset of
 * that weight, for a square whose first row is row `first` of the whole matrix. */
DEVICE bool in_block(int i, int j, int n) { return (i ^ j) < n; }
DEVICE int64_t weight_at(int64_t first, int i, int j, int n) { return (first + i) * n + (j & (n - 1)); }

/* Loads the squares of each weight, one below the other: transposed, W^T, by which x is multiplied, or W, by which dy
 * is. */
#define load_squares(tile, weights, count, n, cols, first, transposed)                                                 \
    EACH_PAIR(row_, c_, MOST *COLS, SQUARE) {                                                                          \
        const int w_ = row_ / COLS, r_ = row_ % SQUARE, i_ = (transposed) ? c_ : r_, j_ = (transposed) ? r_ : c_;      \
        const int64_t square_ = (first) + row_ % COLS - r_;                                                            \
        const bool inside_ = w_ < (count) && square_ + i_ < (cols) && in_block(i_, j_, n);                             \
        const element *const of_ = (const element *)(weights)[w_];                                                     \
        PUT(tile, row_, c_, inside_ ? to_float(of_[weight_at(square_, i_, j_, n)]) : 0.0f);                            \
    }

/* accumulator += x times the squares of weight w, each square for its own columns. */
#define mma_squares(accumulator, x, squares, w)                                                                        \
    TILE_UNROLL for (int s_ = 0; s_ < COLS; s_ += SQUARE) {                                                            \
        ACCUMULATOR_VIEW(part_, accumulator, s_, SQUARE);                                                              \
        TILE_VIEW(x_, x, 0, s_, ROWS, SQUARE);                                                                         \
        TILE_VIEW(square_, squares, (w)*COLS + s_, 0, SQUARE, SQUARE);                                                 \
        mma_nn(part_, x_, square_);                                                                                    \
    }

KERNEL(linear_blocks, LinearBlocksArguments) {
    TILE(x, ROWS, COLS);
    TILE(squares, MOST * COLS, SQUARE);
    ACCUMULATOR(y, ROWS, COLS);
    const int64_t col = program_x * COLS, cols = a.cols - col, first = program_y * LINEAR_BLOCKS_ROWS;
    load_squares(squares, a.weight, a.count, a.block, a.cols, col, true);
    for (int64_t row = first; row < first + LINEAR_BLOCKS_ROWS && row < a.rows; row += ROWS) {
        tile_load(x, (const element *)a.x + row * a.x_stride + col, a.x_stride, a.rows - row, cols);
        sync();
        for (int w = 0; w < a.count; w++) {
            accumulator_zero(y);
            mma_squares(y, x, squares, w);
            accumulator_store(y, (element *)a.y[w] + row * a.y_stride + col, a.y_stride, a.rows - row, cols);
        }
        sync();
    }
}

/* Adds dW of the program's rows to the accumulator, which has the squares of a weight one below the other, and the
 * weights side by side. */
#define add_weight_gradient(dW, x, dy, w)                                                                              \
    TILE_UNROLL for (int s_ = 0; s_ < COLS; s_ += SQUARE) {                                                            \
        TILE_VIEW(x_, x, 0, s_, ROWS, SQUARE);                                                                         \
        TILE_VIEW(dy_, dy, 0, s_, ROWS, SQUARE);                                                                       \
        block_mma_tn(dW, s_, (w)*SQUARE, dy_, x_);                                                                     \
    }

KERNEL(linear_blocks_backward, LinearBlocksBackwardArguments) {
    TILE(x, ROWS, COLS);
    TILE(dy, MOST * ROWS, COLS);
    TILE(squares, MOST * COLS, SQUARE);
    ACCUMULATOR(dx, ROWS, COLS);
    ACCUMULATOR(dW, COLS, MOST * SQUARE);
    const int64_t col = program_x * COLS, cols = a.cols - col, first = program_y * LINEAR_BLOCKS_ROWS;
    load_squares(squares, a.weight, a.count, a.block, a.cols, col, false);
    accumulator_zero(dW);
    for (int64_t row = first; row < first + LINEAR_BLOCKS_ROWS && row < a.rows; row += ROWS) {
        tile_load(x, (const element *)a.x + row * a.x_stride + col, a.x_stride, a.rows - row, cols);
        for (int w = 0; w < a.count; w++) {
            TILE_VIEW(dy_w, dy, w * ROWS, 0, ROWS, COLS);
            tile_load(dy_w, (const element *)a.dy[w] + row * a.y_stride + col, a.y_stride, a.rows - row, cols);
        }
        sync();
        accumulator_zero(dx);
        TILE_UNROLL for (int w = 0; w < MOST; w++) {
            if (w >= a.count) continue;
            TILE_VIEW(dy_w, dy, w * ROWS, 0, ROWS, COLS);
            mma_squares(dx, dy_w, squares, w);
            add_weight_gradient(dW, x, dy_w, w);
        }
        accumulator_store(dx, (element *)a.dx + row * a.x_stride + col, a.x_stride, a.rows - row, cols);
        sync();
    }
    float *partial = a.partial + program_y * a.count * a.cols * a.block;
    MAP(dW, row, c, x_, {
        const int w = c / SQUARE, i = row % SQUARE, j = c % SQUARE;
        const int64_t square = col + row - i;
        if (w < a.count && square + i < a.cols && in_block(i, j, a.block))
            partial[w * a.cols * a.block + weight_at(square, i, j, a.block)] = x_;
    });
}
