/* Matrix products on the host's cores.
 *
 * Libraries partition the work by the number of threads, and where they split k, the sums depend on that number
 * (oneDNN does so for narrow C and long k). This file does the partitioning itself: C is split into tiles, and each
 * tile is one single-threaded library call. Large tiles are faster than small ones, so there are only eight, or two per
 * thread beyond four threads. Results are therefore the same on 1 to 4 threads. */
#include "core/cpu_gemm.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "core/gemm_plans.h"

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

#ifdef FLAME_ONEDNN

#include <dnnl.h>
#include <stdlib.h>

#define DNNL(call)                                                                                                     \
    do {                                                                                                               \
        const dnnl_status_t status_ = (call);                                                                          \
        CHECK(status_ == dnnl_success, "oneDNN answered %d", (int)status_);                                            \
    } while (0)

/* A oneDNN matmul primitive: code generated for one shape. */
typedef struct Product {
    dnnl_memory_desc_t a, b, c, scratchpad;
    dnnl_primitive_t primitive;
} Product;

static dnnl_engine_t engine(void) {
    static dnnl_engine_t cpu;
    if (!cpu) DNNL(dnnl_engine_create(&cpu, dnnl_cpu, 0));
    return cpu;
}

static dnnl_data_type_t type_of(DType type) { return type == BF16 ? dnnl_bf16 : dnnl_f32; }

static dnnl_memory_desc_t matrix(int64_t rows, int64_t cols, int64_t stride, bool transposed, DType type) {
    dnnl_memory_desc_t desc;
    const dnnl_dims_t size = {rows, cols}, strides = {transposed ? 1 : stride, transposed ? stride : 1};
    DNNL(dnnl_memory_desc_init_by_strides(&desc, 2, size, type_of(type), strides));
    return desc;
}

/* Creates the product of a shape. False if the library has no code for it. */
static bool product_create(Product *product, const Gemm *shape) {
    product->a = matrix(shape->m, shape->k, shape->lda, shape->transpose_a, shape->type);
    product->b = matrix(shape->k, shape->n, shape->ldb, shape->transpose_b, shape->type);
    product->c = matrix(shape->m, shape->n, shape->ldc, false, shape->c_type);
    dnnl_matmul_desc_t desc;
    DNNL(dnnl_matmul_desc_init(&desc, &product->a, &product->b, NULL, &product->c));
    dnnl_primitive_attr_t attributes;
    DNNL(dnnl_primitive_attr_create(&attributes));
    DNNL(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    dnnl_post_ops_t sum;
    DNNL(dnnl_post_ops_create(&sum));
    if (shape->accumulate) {
        DNNL(dnnl_post_ops_append_sum(sum, 1.0f));
        DNNL(dnnl_primitive_attr_set_post_ops(attributes, sum));
    }
    dnnl_primitive_desc_t primitive_desc;
    const bool possible =
        dnnl_primitive_desc_create(&primitive_desc, &desc, attributes, engine(), NULL) == dnnl_success;
    if (possible) {
        product->scratchpad = *dnnl_primitive_desc_query_md(primitive_desc, dnnl_query_scratchpad_md, 0);
        DNNL(dnnl_primitive_create(&product->primitive, primitive_desc));
        DNNL(dnnl_primitive_desc_destroy(primitive_desc));
    }
    DNNL(dnnl_post_ops_destroy(sum));
    DNNL(dnnl_primitive_attr_destroy(attributes));
    return possible;
}

static void product_destroy(void *product) { DNNL(dnnl_primitive_destroy(((Product *)product)->primitive)); }

static GemmPlans plans = {.most = GEMM_PLANS, .plan_bytes = sizeof(Product), .destroy = product_destroy};

/* The primitive for this shape, created at first use. */
static const Product *product_of(const Gemm *shape) {
    const GemmKey key = {.shape = *shape};
    bool is_new;
    Product *product = gemm_plans_find(&plans, &key, &is_new);
    const bool made = !is_new || product_create(product, shape);
    CHECK(made, "oneDNN has no bf16 product for this processor");
    return product;
}

/* This thread's scratchpad for oneDNN, reused by the next product. */
static void *scratchpad(size_t bytes) {
    static _Thread_local void *memory;
    static _Thread_local size_t size;
    if (bytes > size) {
        free(memory);
        size = (bytes + 4095) / 4096 * 4096;
        memory = aligned_alloc(4096, size);
        if (!memory)
            memory_refused((int64_t)size, "a matrix product",
                           "Lower training.batch_size or training.seq_len, or OMP_NUM_THREADS");
    }
    return memory;
}

static dnnl_memory_t memory_at(const dnnl_memory_desc_t *desc, const void *data) {
    dnnl_memory_t memory;
    DNNL(dnnl_memory_create(&memory, desc, engine(), (void *)data));
    return memory;
}

static void run_product(const Product *product, const Gemm *g) {
    static _Thread_local dnnl_stream_t stream;
    if (!stream) DNNL(dnnl_stream_create(&stream, engine(), dnnl_stream_default_flags));
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, memory_at(&product->a, g->a)},
        {DNNL_ARG_WEIGHTS, memory_at(&product->b, g->b)},
        {DNNL_ARG_DST, memory_at(&product->c, g->c)},
        {DNNL_ARG_SCRATCHPAD,
         memory_at(&product->scratchpad, scratchpad(dnnl_memory_desc_get_size(&product->scratchpad)))}};
    DNNL(dnnl_primitive_execute(product->primitive, stream, 4, arguments));
    DNNL(dnnl_stream_wait(stream));
    for (int i = 0; i < 4; i++) DNNL(dnnl_memory_destroy(arguments[i].memory));
}

/* The tile's primitive. NULL stands for dnnl_sgemm: in fp32 it is as fast as the primitive and faster for thin shapes,
 * but up to a quarter slower if B is transposed. */
typedef const Product *TileProduct;

static void prepare_room(int count) { gemm_plans_reserve(&plans, count); }

static TileProduct prepare(const Gemm *g) {
    const bool thin = g->n < 32 || g->k < 32;
    return g->type == BF16 || (g->transpose_b && !thin) ? product_of(g) : NULL;
}

static void multiply(TileProduct product, const Gemm *g) {
    if (product) {
        run_product(product, g);
        return;
    }
    DNNL(dnnl_sgemm(g->transpose_a ? 'T' : 'N', g->transpose_b ? 'T' : 'N', g->m, g->n, g->k, 1.0f, g->a, g->lda, g->b,
                    g->ldb, g->accumulate ? 1.0f : 0.0f, g->c, g->ldc));
}

bool cpu_gemm_supports(DType type) {
    if (type == F32) return true;
    Product product = {0};
    const Gemm shape = {.m = 16, .n = 16, .k = 16, .lda = 16, .ldb = 16, .ldc = 16, .type = BF16, .c_type = F32};
    const bool possible = type == BF16 && product_create(&product, &shape);
    if (possible) DNNL(dnnl_primitive_destroy(product.primitive));
    return possible;
}

const char *cpu_gemm_library(void) {
    static char text[64];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d (%s)", version->major, version->minor, version->patch,
             version->cpu_runtime == DNNL_RUNTIME_OMP ? "OpenMP" : "own threads");
    return text;
}

#else

#include <cblas.h>
#ifdef FLAME_BLIS
#include <blis.h>
#endif
#include <stdlib.h>

typedef int TileProduct;

static void prepare_room(int count) { (void)count; }

static TileProduct prepare(const Gemm *g) { return (void)g, 0; }

static void multiply_fp32(const Gemm *g) {
    cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
                (int)g->m, (int)g->n, (int)g->k, 1.0f, g->a, (int)g->lda, g->b, (int)g->ldb,
                g->accumulate ? 1.0f : 0.0f, g->c, (int)g->ldc);
}

/* A copy of a matrix in fp32, without gaps between its rows. The caller frees it. */
static float *widened(const bf16 *from, int64_t rows, int64_t cols, int64_t stride) {
    float *to = memory_take(rows * cols * (int64_t)sizeof *to, "an operand of a matrix product in fp32",
                            "Lower training.batch_size or training.seq_len");
    for (int64_t row = 0; row < rows; row++)
        for (int64_t col = 0; col < cols; col++) to[row * cols + col] = bf16_to_float(from[row * stride + col]);
    return to;
}

/* CBLAS has no bf16: operands are widened to fp32, which is exact, and C is rounded. */
static void multiply(TileProduct product, const Gemm *g) {
    (void)product;
    Gemm wide = *g;
    float *a = NULL, *b = NULL, *c = NULL;
    if (g->type == BF16) {
        wide.lda = g->transpose_a ? g->m : g->k;
        wide.ldb = g->transpose_b ? g->k : g->n;
        wide.a = a = widened(g->a, g->transpose_a ? g->k : g->m, wide.lda, g->lda);
        wide.b = b = widened(g->b, g->transpose_b ? g->n : g->k, wide.ldb, g->ldb);
    }
    if (g->c_type == BF16) {
        wide.ldc = g->n;
        wide.c = c = widened(g->c, g->m, g->n, g->ldc);
    }
    multiply_fp32(&wide);
    for (int64_t i = 0; c && i < g->m * g->n; i++) ((bf16 *)g->c)[i / g->n * g->ldc + i % g->n] = float_to_bf16(c[i]);
    free(a);
    free(b);
    free(c);
}

bool cpu_gemm_supports(DType type) { return type == F32 || type == BF16; }

const char *cpu_gemm_library(void) {
#ifdef FLAME_BLIS
    static char text[64];
    snprintf(text, sizeof text, "BLIS %s", bli_info_get_version_str());
    return text;
#else
    return openblas_get_config();
#endif
}

#endif

/* Sets the number of threads that the libraries use, and returns the number before. Inside a parallel region they run
 * single-threaded anyway. */
static int library_threads(int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

/* Tiles have at most four shapes: inner, last column, last row, corner. */
static void prepare_tiles(const Gemm *g, const Tiling *t, TileProduct products[2][2]) {
    prepare_room(4);
    for (int bottom = 0; bottom < 2; bottom++)
        for (int right = 0; right < 2; right++) {
            const int64_t row = bottom ? t->row_tiles - 1 : 0, column = right ? t->column_tiles - 1 : 0;
            const Gemm part = gemm_of_tile(g, t, row * t->column_tiles + column);
            products[bottom][right] = prepare(&part);
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
    TileProduct products[2][2];
    prepare_tiles(g, &t, products);
    const int team = tiles < threads ? (int)tiles : threads;
#pragma omp parallel for schedule(dynamic) num_threads(team) if (team > 1)
    for (int64_t tile = 0; tile < tiles; tile++) {
        const Gemm part = gemm_of_tile(g, &t, tile);
        const bool bottom = tile / t.column_tiles == t.row_tiles - 1,
                   right = tile % t.column_tiles == t.column_tiles - 1;
        multiply(products[bottom][right], &part);
    }
    library_threads(threads);
}
