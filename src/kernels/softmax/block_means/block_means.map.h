/* Means over blocks of tokens; equations in block_means.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/softmax/block_means/block_means.h"
#include "kernels/softmax/document_blocks.h"

/* The first token of the block with row r; -1 if no whole block has this row. Known to all threads. */
DEVICE int64_t first_of_block(const int32_t *segment, const int32_t *position, int T, int block, int64_t r) {
    float found = -1;
    MAXIMUM(found, i, block,
            r * block + i < T && position[r * block + i] % block == 0 &&
                    is_whole(segment, T, (int)(r * block + i), block)
                ? (float)i
                : -1.0f);
    return found < 0 ? -1 : r * block + (int64_t)found;
}

/* Program: row, sequence. */
KERNEL(block_means, BlockMeansArguments) {
    const int64_t sequence = program_y * a.T;
    const int64_t first =
        first_of_block(a.segment + sequence, a.position + sequence, (int)a.T, (int)a.block, program_x);
    const element *x = (const element *)a.x + (sequence + first) * a.x_stride;
    element *y = (element *)a.y + (program_y * a.rows + program_x) * a.y_stride;
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

/* Tokens by program. */
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
