/* Every token gets its neighbour's row. */
#include "tile/tile.h"
#include "kernels/convolution/token_shift/token_shift.h"
#include "tile/rows.h"

/* Two neighbouring rows are in one document if the second is not the first token of a document. */
DEVICE bool has_neighbour(const TokenShiftArguments a, int64_t row) {
    const int64_t second = a.step < 0 ? row : row + 1;
    return second < a.rows && a.position[second] > 0;
}

KERNEL(token_shift, TokenShiftArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    if (a.fp32) {
        EACH_ROW (row, first, end) {
            const bool inside = has_neighbour(a, row);
            const float *from = (const float *)a.from + (inside ? row + a.step : row) * a.from_stride;
            float *to = (float *)a.to + row * a.to_stride;
            VECTORS_OF(from, to);
            WARP_VECTOR(i, a.cols) {
                READ_F32(x, from + i);
                EACH_LANE(e) x[e] = inside ? x[e] : 0.0f;
                WRITE_F32(to + i, x);
            }
        }
    } else {
        EACH_ROW (row, first, end) {
            const bool inside = has_neighbour(a, row);
            const element *from = (const element *)a.from + (inside ? row + a.step : row) * a.from_stride;
            element *to = (element *)a.to + row * a.to_stride;
            VECTORS_OF(from, to);
            WARP_VECTOR(i, a.cols) {
                READ(x, from + i);
                EACH_LANE(e) x[e] = inside ? x[e] : 0.0f;
                WRITE(to + i, x);
            }
        }
    }
}
