/* Copies a document's last row to all of its rows, sums all of its rows in the last, and reverses its rows. */
#include "tile/tile.h"
#include "kernels/basic/document_rows/document_rows.h"
#include "tile/rows.h"

/* The row of the last token of row's document. A binary search, because document numbers never decrease within a
 * sequence. */
DEVICE int64_t last_of_document(const DocumentRowsArguments a, int64_t row) {
    int64_t inside = row, behind = (row / a.T + 1) * a.T;
    while (behind - inside > 1) {
        const int64_t middle = (inside + behind) / 2;
        if (a.segment[middle] == a.segment[row])
            inside = middle;
        else
            behind = middle;
    }
    return inside;
}

/* to_t = from_last. If to is from, the last row is left alone. */
KERNEL(document_spread, DocumentRowsArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const int64_t last = last_of_document(a, row);
        const element *from = (const element *)a.from + last * a.from_stride;
        element *to = (element *)a.to + row * a.to_stride;
        if (from != to) {
            VECTORS_OF(from, to);
            WARP_VECTOR(i, a.cols) {
                READ(x, from + i);
                WRITE(to + i, x);
            }
        }
    }
}

/* to_last = the sum or mean of from over the document; the other rows are 0. */
KERNEL(document_sum, DocumentRowsArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const bool last = last_of_document(a, row) == row;
        const int64_t begin = last ? row - a.position[row] : row + 1;
        const float factor = a.mean && last ? 1.0f / (float)(a.position[row] + 1) : 1.0f;
        const element *from = (const element *)a.from;
        element *to = (element *)a.to + row * a.to_stride;
        VECTORS_OF(from, to, a.from_stride * sizeof(element));
        WARP_VECTOR(i, a.cols) {
            float sum[VECTOR];
            EACH_LANE(e) sum[e] = 0.0f;
            for (int64_t t = begin; t <= row; t++) {
                READ(x, from + t * a.from_stride + i);
                EACH_LANE(e) sum[e] += x[e];
            }
            EACH_LANE(e) sum[e] *= factor;
            WRITE(to + i, sum);
        }
    }
}

KERNEL(document_reverse, DocumentRowsArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const int64_t opposite = last_of_document(a, row) - a.position[row];
        const element *from = (const element *)a.from + opposite * a.from_stride;
        element *to = (element *)a.to + row * a.to_stride;
        VECTORS_OF(from, to);
        WARP_VECTOR(i, a.cols) {
            READ(x, from + i);
            WRITE(to + i, x);
        }
    }
}
