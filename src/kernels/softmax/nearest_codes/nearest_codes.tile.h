/* The nearest codes of keys and the statistics of codes, for heads of up to 32, 64, 128 and 256 columns. */
#include "tile/tile.h"
#include "kernels/softmax/nearest_codes/nearest_codes.h"
#include "tile/rows.h"

/* Program: rows of codes. */
KERNEL(nearest_codes_codebook, NearestCodesArguments) {
    const int64_t codes = a.heads * a.codes, first = program_x * a.rows_per_program;
    EACH_SHORT_ROW (row, first, end_of_program(first, codes, a.rows_per_program), a.head_dim) {
        const element *const sum = (const element *)a.c_sum + row * a.head_dim;
        const float count = to_float(((const element *)a.c_count)[row]), divisor = count > 0.01f ? count : 0.01f;
        element *const code = (element *)a.code + row * a.head_dim;
        VECTORS_OF(sum, code, a.head_dim * sizeof(element));
        float square = 0;
        WARP_SUM_VECTOR(i, a.head_dim, square) {
            READ(x, sum + i);
            EACH_LANE(e) {
                x[e] = to_float(to_element(x[e] / divisor));
                square += x[e] * x[e];
            }
            WRITE(code + i, x);
        }
        WARP_TOTAL(square);
        WARP_EACH(one, 1) a.square[row] = square;
    }
}

/* Computes y and the error. Program: rows of k. */
KERNEL(nearest_codes_quantise, NearestCodesArguments) {
    const int64_t first = program_x * a.rows_per_program, D = a.head_dim;
    EACH_GROUP (row, head, first, end_of_program(first, a.rows, a.rows_per_program), a.heads, D) {
        const element *const k = (const element *)a.k.data + entry_of_head(a.k, D, row, head, 0);
        element *const y = (element *)a.y.data + entry_of_head(a.y, D, row, head, 0);
        const element *const code = (const element *)a.code + (head * a.codes + a.index[row * a.heads + head]) * D;
        VECTORS_OF(k, y, code);
        float error = 0;
        WARP_SUM_VECTOR(i, D, error) {
            READ(x, k + i);
            READ(c, code + i);
            EACH_LANE(e) error += (x[e] - c[e]) * (x[e] - c[e]);
            WRITE(y + i, c);
        }
        WARP_TOTAL(error);
        WARP_EACH(one, 1) a.error[row * a.heads + head] = error;
    }
}

/* Computes the gradient of k. Program: rows of k. */
KERNEL(nearest_codes_backward, NearestCodesArguments) {
    const int64_t first = program_x * a.rows_per_program, D = a.head_dim;
    EACH_GROUP (row, head, first, end_of_program(first, a.rows, a.rows_per_program), a.heads, D) {
        const element *const k = (const element *)a.k.data + entry_of_head(a.k, D, row, head, 0);
        const element *const y = (const element *)a.y.data + entry_of_head(a.y, D, row, head, 0);
        const element *const dy = (const element *)a.dy.data + entry_of_head(a.dy, D, row, head, 0);
        element *const dk = (element *)a.dk.data + entry_of_head(a.dk, D, row, head, 0);
        const float factor = 2.0f * a.derror[row * a.heads + head];
        VECTORS_OF(k, y, dy, dk);
        WARP_VECTOR(i, D) {
            READ(x, k + i);
            READ(c, y + i);
            READ(d, dy + i);
            EACH_LANE(e) d[e] += factor * (x[e] - c[e]);
            WRITE(dk + i, d);
        }
    }
}

#define CODES_KERNEL(name) SIZED_KERNEL(name, HEAD, NearestCodesArguments)

#define HEAD 32
#include "kernels/softmax/nearest_codes/nearest_codes_head.h"
#define HEAD 64
#include "kernels/softmax/nearest_codes/nearest_codes_head.h"
#define HEAD 128
#include "kernels/softmax/nearest_codes/nearest_codes_head.h"
#define HEAD 256
#include "kernels/softmax/nearest_codes/nearest_codes_head.h"
