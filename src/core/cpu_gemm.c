/* Matrix products on the host's cores.
 *
 * Libraries partition the work by the number of threads, and where they split k, the sums depend on that number
 * (oneDNN does so for narrow C and long k). This file does the partitioning itself: C is split into tiles, and each
 * tile is one single-threaded library call. Large tiles are faster than small ones, so there are only eight, or two per
 * thread beyond four threads. Results are therefore the same on 1 to 4 threads. */
#include "core/cpu_gemm.h"

#include <omp.h>
#include <string.h>

#include "base/check.h"
#include "core/cpu_product.h"

enum { TILE_ROWS = 1024, TILE_COLS = 512, SMALLEST_TILE = 64, FEWEST_TILES = 8 };

typedef struct Tiling {
    int64_t rows, cols; /* of a tile; the last one of a row or column is smaller */
    int64_t row_tiles, column_tiles;
} Tiling;

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* In bf16 oneDNN is up to twice as fast if a tile has all columns of C, or, with a long k, all rows, than if it has
 * only some of both, as long as the tile's other side does not get too short. */
static Tiling bf16_tiling(const Gemm *g, int64_t wanted) {
    enum { ROWS = 128, ROWS_OF_TRANSPOSED = 256, COLS = 256, LONG_K = 2048, ROW_UNIT = 32, COLUMN_UNIT = 64 };
    const bool by_columns = g->k >= LONG_K && !g->transpose_a && !g->transpose_b;
    const int64_t most = by_columns ? g->n / COLS : g->m / (g->transpose_a ? ROWS_OF_TRANSPOSED : ROWS);
    const int64_t first = most < 1 ? 1 : most < wanted ? most : wanted, second = ceiling(wanted, first);
    Tiling t;
    t.rows = ceiling(ceiling(g->m, by_columns ? second : first), ROW_UNIT) * ROW_UNIT;
    t.cols = ceiling(ceiling(g->n, by_columns ? first : second), COLUMN_UNIT) * COLUMN_UNIT;
    t.row_tiles = ceiling(g->m, t.rows);
    t.column_tiles = ceiling(g->n, t.cols);
    return t;
}

/* The tiles of a product. In fp32 they are the largest within the sizes above that still give every thread work. */
static Tiling tiling_of(const Gemm *g, int threads) {
    const int64_t wanted = 2 * threads > FEWEST_TILES ? 2 * threads : FEWEST_TILES;
    if (g->type == BF16) return bf16_tiling(g, wanted);
    Tiling t = {TILE_ROWS, TILE_COLS, 0, 0};
    while (ceiling(g->m, t.rows) * ceiling(g->n, t.cols) < wanted &&
           (t.rows > SMALLEST_TILE || t.cols > SMALLEST_TILE)) {
        if (t.rows >= t.cols)
            t.rows /= 2;
        else
            t.cols /= 2;
    }
    t.row_tiles = ceiling(g->m, t.rows);
    t.column_tiles = ceiling(g->n, t.cols);
    return t;
}

/* The product of one tile of C. */
static Gemm gemm_of_tile(const Gemm *g, const Tiling *t, int64_t tile) {
    const int64_t row = tile / t->column_tiles * t->rows, column = tile % t->column_tiles * t->cols;
    const int64_t size = dtype_size(g->type);
    Gemm part = *g;
    part.m = g->m - row < t->rows ? g->m - row : t->rows;
    part.n = g->n - column < t->cols ? g->n - column : t->cols;
    part.a = (const char *)g->a + (g->transpose_a ? row : row * g->lda) * size;
    part.b = (const char *)g->b + (g->transpose_b ? column * g->ldb : column) * size;
    part.c = (char *)g->c + (row * g->ldc + column) * dtype_size(g->c_type);
    return part;
}

static void zero_matrix(const Gemm *g) {
    const int64_t size = dtype_size(g->c_type);
    for (int64_t row = 0; row < g->m; row++) memset((char *)g->c + row * g->ldc * size, 0, (size_t)(g->n * size));
}

/* Sets the number of threads that the libraries use, and returns the number before. Inside a parallel region they run
 * single-threaded anyway. */
static int library_threads(int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

/* Tiles have at most four shapes: inner, last column, last row, corner. */
static void prepare_tiles(const Gemm *g, const Tiling *t, const CpuProduct *products[2][2]) {
    cpu_product_reserve(4);
    for (int bottom = 0; bottom < 2; bottom++)
        for (int right = 0; right < 2; right++) {
            const int64_t row = bottom ? t->row_tiles - 1 : 0, column = right ? t->column_tiles - 1 : 0;
            const Gemm part = gemm_of_tile(g, t, row * t->column_tiles + column);
            products[bottom][right] = cpu_product_prepare(&part);
        }
}

void cpu_gemm(const Gemm *g) {
    if (g->m == 0 || g->n == 0) return;
    if (g->k == 0) {
        if (!g->accumulate) zero_matrix(g);
        return;
    }
    const int threads = library_threads(1);
    const Tiling t = tiling_of(g, threads);
    const int64_t tiles = t.row_tiles * t.column_tiles;
    const CpuProduct *products[2][2];
    prepare_tiles(g, &t, products);
    const int team = tiles < threads ? (int)tiles : threads;
#pragma omp parallel for schedule(dynamic) num_threads(team) if (team > 1)
    for (int64_t tile = 0; tile < tiles; tile++) {
        const Gemm part = gemm_of_tile(g, &t, tile);
        const bool bottom = tile / t.column_tiles == t.row_tiles - 1,
                   right = tile % t.column_tiles == t.column_tiles - 1;
        cpu_product_multiply(products[bottom][right], &part);
    }
    library_threads(threads);
}

bool cpu_gemm_supports(DType type) { return cpu_product_supports(type); }

const char *cpu_gemm_library(void) { return cpu_product_library(); }
