/* Rows of a table, chosen by tokens. */
#include "tile/tile.h"
#include "kernels/vocabulary/embedding/embedding.h"
#include "tile/rows.h"

KERNEL(embedding, EmbeddingArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const element *table = (const element *)a.table + a.tokens[row] * a.cols;
        element *y = (element *)a.y + row * a.y_stride;
        VECTORS_OF(table, y);
        WARP_VECTOR(i, a.cols) {
            READ(x, table + i);
            WRITE(y + i, x);
        }
    }
}

/* dtable[i] += dy[n * stride + i] for the rows n = rows[0], rows[1], ..., in order: a constant number of rows, so that
 * all are loaded at once. */
DEVICE void add_rows(float *dtable, const element *dy, int64_t stride, const int32_t *rows, int64_t cols,
                     const int count) {
    EACH_VECTOR(i, cols) {
        READ_F32(sum, dtable + i);
        TILE_UNROLL for (int r = 0; r < count; r++) {
            READ(x, dy + rows[r] * stride + i);
            EACH_LANE(e) sum[e] += x[e];
        }
        WRITE_F32(dtable + i, sum);
    }
}

/* One program sums a row of the table, in the order of the tokens. So there are no atomics, and the result always has
 * the same bits. */
KERNEL(embedding_backward, EmbeddingBackwardArguments) {
    const int64_t col = program_x * EMBEDDING_COLS, first = program_y * EMBEDDING_PLACES;
    const int64_t cols = a.cols - col < EMBEDDING_COLS ? a.cols - col : EMBEDDING_COLS;
    const int64_t last = a.rows - first < EMBEDDING_PLACES ? a.rows : first + EMBEDDING_PLACES;
    const element *dy = (const element *)a.dy + col;
    for (int64_t begin = first, end; begin < last; begin = end) {
        const int32_t token = a.tokens[a.by_token[begin]];
        const bool mine = begin > first || first == 0 || a.tokens[a.by_token[first - 1]] != token;
        float *dtable = a.dtable + token * a.cols + col;
        for (end = begin + 1; end < a.rows && a.tokens[a.by_token[end]] == token;) end++;
        if (!mine || token == a.padding_index) continue;
        int64_t p = begin;
        for (; p + EMBEDDING_STEP <= end; p += EMBEDDING_STEP)
            add_rows(dtable, dy, a.dy_stride, a.by_token + p, cols, EMBEDDING_STEP);
        for (; p < end; p++) add_rows(dtable, dy, a.dy_stride, a.by_token + p, cols, 1);
    }
}
