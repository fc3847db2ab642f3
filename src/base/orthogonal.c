#include "base/orthogonal.h"

#include <math.h>

enum { BLOCK_ROWS = 32 };

static float dot(const float *x, const float *y, int64_t length) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < length; i++) sum += x[i] * y[i];
    return sum;
}

/* x -= (x y) y */
static void remove_part(float *x, const float *y, int64_t length) {
    const float part = dot(x, y, length);
#pragma omp simd
    for (int64_t i = 0; i < length; i++) x[i] -= part * y[i];
}

static void normalise(float *x, int64_t length) {
    const float scale = 1 / sqrtf(dot(x, x, length));
    for (int64_t i = 0; i < length; i++) x[i] *= scale;
}

/* The components along a block of finished rows, which stays in the cache, are removed from all rows after it at
 * once. */
void orthonormalise_rows(float *matrix, int64_t count, int64_t length) {
    for (int64_t first = 0; first < count; first += BLOCK_ROWS) {
        const int64_t end = first + BLOCK_ROWS < count ? first + BLOCK_ROWS : count;
        for (int64_t row = first; row < end; row++) {
            for (int64_t done = first; done < row; done++)
                remove_part(matrix + row * length, matrix + done * length, length);
            normalise(matrix + row * length, length);
        }
#pragma omp parallel for schedule(static)
        for (int64_t row = end; row < count; row++)
            for (int64_t done = first; done < end; done++)
                remove_part(matrix + row * length, matrix + done * length, length);
    }
}
