/* Rows of a table, chosen by tokens. */
#include "tile/tile.h"
#include "kernels/vocabulary/embedding/embedding.h"
#include "tile/rows.h"

KERNEL(embedding, EmbeddingArguments) {
    ROWS_OF_PROGRAM (row, a.rows, a.rows_per_program) {
        const element *table = (const element *)a.table + a.tokens[row] * a.cols;
        element *y = (element *)a.y + row * a.y_stride;
        EACH (i, a.cols) y[i] = table[i];
    }
}

/* An entry of the table is summed by one program in the order of the tokens: no atomics, always the same bits. */
KERNEL(embedding_backward, EmbeddingBackwardArguments) {
    const int64_t first = program_x * EMBEDDING_COLS;
    const int64_t cols = a.cols - first < EMBEDDING_COLS ? a.cols - first : EMBEDDING_COLS;
    for (int64_t row = 0; row < a.rows; row++) {
        const int64_t token = a.tokens[row];
        if (token % EMBEDDING_PARTS != program_y || token == a.padding_index) continue;
        const element *dy = (const element *)a.dy + row * a.dy_stride + first;
        float *dtable = a.dtable + token * a.cols + first;
        EACH (i, cols) dtable[i] += to_float(dy[i]);
    }
}
