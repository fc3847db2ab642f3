/* Means over blocks of tokens; equations in block_means.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/softmax/block_means/block_means.h"
#include "kernels/softmax/document_blocks.h"

/* Whether a whole block that begins at token t of the call, or for t < 0 -t tokens before the call, ends in the call.
 * No block of a document that has ended before does; for it, begins_at is below 0. */
DEVICE bool ends_here(const BlockMeansArguments *a, int64_t sequence, int64_t t) {
    const int32_t *position = a->position + sequence * a->T, *segment = a->segment + sequence * a->T;
    const int64_t begins_at = t < 0 ? position[0] + t : position[t], last = t + a->block - 1;
    return begins_at % a->block == 0 && last >= 0 && last < a->T && segment[last] == segment[t < 0 ? 0 : t];
}

/* The first token of the block with row r, or -1 if no block that ends in the call has this row. All threads get the
 * result. */
DEVICE int64_t first_of_block(const BlockMeansArguments *a, int64_t sequence, int64_t r) {
    float found = -1;
    MAXIMUM(found, i, a->block,
            r * a->block + i < a->before + a->T && ends_here(a, sequence, r * a->block + i - a->before) ? (float)i
                                                                                                        : -1.0f);
    return found < 0 ? -1 : r * a->block + (int64_t)found;
}

/* Program: row, sequence. */
KERNEL(block_means, BlockMeansArguments) {
    const int64_t row = a.first_row + program_x, first = first_of_block(&a, program_y, row);
    if (first < 0 && a.goes_on) return;
    const element *x = (const element *)a.x + (program_y * a.x_rows + first) * a.x_stride;
    element *y = (element *)a.y + (program_y * a.rows + row) * a.y_stride;
    const int64_t tokens = first < 0 ? 0 : a.block;
    const float factor = 1.0f / (float)a.block;
    VECTORS_OF(a.x, a.x_stride * sizeof(element), y);
    EACH_VECTOR(i, a.cols) {
        float mean[VECTOR] = {0};
        for (int64_t t = 0; t < tokens; t++) {
            READ(one, x + t * a.x_stride + i);
            EACH_LANE(e) mean[e] += one[e];
        }
        EACH_LANE(e) mean[e] *= factor;
        WRITE(y + i, mean);
    }
}

/* Program: tokens. */
KERNEL(block_means_backward, BlockMeansArguments) {
    const int64_t first = program_x * rows_per_program(a.cols);
    const float factor = 1.0f / (float)a.block;
    VECTORS_OF(a.dy, a.y_stride * sizeof(element), a.dx, a.x_stride * sizeof(element));
    EACH_ROW (token, first, end_of_program(first, a.tokens, rows_per_program(a.cols))) {
        const int64_t sequence = token / a.T, t = token % a.T;
        const int64_t start = t - a.position[token] % a.block;
        const bool whole = is_whole(a.segment + sequence * a.T, (int)a.T, (int)start, (int)a.block);
        const element *dy = (const element *)a.dy + (sequence * a.rows + (whole ? start / a.block : 0)) * a.y_stride;
        element *dx = (element *)a.dx + token * a.x_stride;
        WARP_VECTOR(i, a.cols) {
            READ(d, dy + i);
            EACH_LANE(e) d[e] = whole ? d[e] * factor : 0.0f;
            WRITE(dx + i, d);
        }
    }
}
