/* The rows of each document in the opposite order. */
#include "tile/tile.h"
#include "kernels/basic/document_rows.h"
#include "kernels/basic/reverse/reverse.h"
#include "tile/rows.h"

KERNEL(reverse, ReverseArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_ROW (row, first, end) {
        const int64_t opposite = last_of_document(a.segment, a.T, row) - a.position[row];
        const element *from = (const element *)a.from + opposite * a.from_stride;
        element *to = (element *)a.to + row * a.to_stride;
        VECTORS_OF(from, to);
        WARP_VECTOR(i, a.cols) {
            READ(x, from + i);
            WRITE(to + i, x);
        }
    }
}
