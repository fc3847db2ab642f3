/* The kernel language for the host's cores: a program is plain loops, which the compiler vectorises. This header also
 * says what each word means, on GPUs too; the words for products are in tile_cpu_product.h. Compiled once per element
 * type: TILE_ELEMENT_F32 or TILE_ELEMENT_BF16. */
#ifndef FLAME_TILE_TILE_CPU_H
#define FLAME_TILE_TILE_CPU_H

#include "tile/bf16_product.h"

#define DEVICE static inline __attribute__((always_inline, unused))

/* 1 in the form for GPUs, for kernels that choose other tile sizes there. */
enum { ON_GPU = 0 };

#if defined(TILE_ELEMENT_BF16)
typedef bf16 element;
#define KERNEL_SYMBOL(name) name##_cpu_bf16
DEVICE float to_float(element x) { return bf16_to_float(x); }
DEVICE element to_element(float x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = x;
    return (bf16)((u.bits + 0x7fffu + ((u.bits >> 16) & 1u)) >> 16);
}
#else
typedef float element;
#define KERNEL_SYMBOL(name) name##_cpu_f32
DEVICE float to_float(element x) { return x; }
DEVICE element to_element(float x) { return x; }
#endif

/* KERNEL(name, Arguments) { body }: the body sees `a` (the arguments, by value) and program_x, program_y, program_z. */
#define KERNEL(name, Arguments)                                                                                        \
    static inline void name##_program(const Arguments a, int64_t program_x, int64_t program_y, int64_t program_z);     \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z);                                  \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z) {                                 \
        name##_program(*(const Arguments *)arguments, x, y, z);                                                        \
    }                                                                                                                  \
    static inline void name##_program(const Arguments a, int64_t program_x __attribute__((unused)),                    \
                                      int64_t program_y __attribute__((unused)),                                       \
                                      int64_t program_z __attribute__((unused)))

/* The iterations of the loop that follows do not depend on each other. gcc makes copies of a loop in which a condition
 * does not change; it vectorises all of them after ivdep, but only one after omp simd. */
#ifdef __clang__
#define INDEPENDENT _Pragma("omp simd")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Maps. EACH(i, n) { ... } runs the body for i = 0 .. n-1, in any order, on all threads of the program; the same i
 * always goes to the same thread. SUM(s, i, n, expression) adds the sum over i to s, on all threads. MAXIMUM(s, i, n,
 * expression) raises s to the largest value likewise. */
#define TILE_PRAGMA(text) _Pragma(#text)
#define EACH(i, n)        _Pragma("omp simd") for (int64_t i = 0; i < (n); i++)
#define SUM(s, i, n, ...)                                                                                              \
    do {                                                                                                               \
        float sum_ = 0;                                                                                                \
        TILE_PRAGMA(omp simd reduction(+ : sum_)) for (int64_t i = 0; i < (n); i++) sum_ += (__VA_ARGS__);             \
        s += sum_;                                                                                                     \
    } while (0)
#define MAXIMUM(s, i, n, ...)                                                                                          \
    do {                                                                                                               \
        float maximum_ = s;                                                                                            \
        TILE_PRAGMA(omp simd reduction(max : maximum_)) for (int64_t i = 0; i < (n); i++) {                            \
            const float value_ = (__VA_ARGS__);                                                                        \
            maximum_ = value_ > maximum_ ? value_ : maximum_;                                                          \
        }                                                                                                              \
        s = maximum_;                                                                                                  \
    } while (0)

/* EACH_PAIR(i, j, rows, cols) { ... } is EACH over all pairs of i < rows and j < cols, both constants; j counts
 * fastest. */
#define EACH_PAIR(i, j, rows, cols)                                                                                    \
    for (int i = 0; i < (rows); i++) INDEPENDENT for (int j = 0; j < (cols); j++)

/* COLUMN_WALK(x, j, cols, i, rows, statements): for every column j < cols, one thread runs the statements for the rows
 * i = 0 .. rows - 1 in order. They may change the float x, which starts at 0 and is carried from row to row. BLOCK_WALK
 * makes `blocks` such walks b in each column, each starting with x = start. EACH_PAIR(b, j, blocks, cols) assigns (b,
 * j) to the same threads. */
#define COLUMN_WALK(x, j, cols, i, rows, ...) BLOCK_WALK(x, 0.0f, b_, 1, j, cols, i, rows, __VA_ARGS__)
#define BLOCK_WALK(x, start, b, blocks, j, cols, i, rows, ...)                                                         \
    do {                                                                                                               \
        float walk_[cols] __attribute__((aligned(64)));                                                                \
        for (int b = 0; b < (blocks); b++) {                                                                           \
            EACH (j, cols) walk_[j] = (start);                                                                         \
            for (int i = 0; i < (rows); i++) {                                                                         \
                INDEPENDENT for (int j = 0; j < (cols); j++) {                                                         \
                    float x = walk_[j];                                                                                \
                    __VA_ARGS__;                                                                                       \
                    walk_[j] = x;                                                                                      \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

/* Rows by warp. EACH_ROW(row, first, end) { ... } runs the body for each row on one warp of the program. Inside it,
 * WARP_EACH, WARP_SUM and WARP_MAXIMUM do for the lanes of the warp what EACH, SUM and MAXIMUM do for the threads of
 * the program. The body may not call sync(). EACH_GROUP(row, group, first, end, groups, cols) { ... } does the same for
 * each group of `cols` columns of each row. Short groups share a warp: each has about as many lanes as it has vectors.
 * A group of more than WARP_COLS columns has the whole program, and each of its sums costs two barriers; a file that
 * defines TILE_TEAM_COLS before it includes tile.h replaces that limit. EACH_SHORT_ROW(row, first, end, cols) { ... }
 * takes the row as one group. A function that is called in such a body and uses the WARP_ words has TEAM as its first
 * parameter; the caller passes TEAM_HERE. */
#define TEAM                      const int team_ __attribute__((unused))
#define TEAM_HERE                 0
#define EACH_ROW(row, first, end) for (int64_t row = (first), end_##row = (end); row < end_##row; row++)
#define EACH_GROUP(row, group, first, end, groups, cols)                                                               \
    EACH_ROW (row, first, end)                                                                                         \
        for (int64_t group = 0; group < (groups); group++)
#define EACH_SHORT_ROW(row, first, end, cols) EACH_ROW (row, first, end)
#define WARP_EACH(i, n)                       EACH (i, n)
#define WARP_SUM(s, i, n, ...)                SUM(s, i, n, __VA_ARGS__)
#define WARP_MAXIMUM(s, i, n, ...)            MAXIMUM(s, i, n, __VA_ARGS__)

/* Vectors: 16 bytes of elements at a time on a GPU, one here.
 *
 *   VECTORS_OF(from, to, scales);
 *   EACH_VECTOR (i, n) {
 *       READ(x, from + i);                                float x[VECTOR] = VECTOR elements of an array
 *       READ_F32(scale, scales + i);                      the same from an array of fp32
 *       EACH_LANE (e) x[e] *= scale[e];                   statements on each
 *       WRITE(to + i, x);                                 and back; WRITE_F32 to fp32
 *   }
 *
 * Here i = 0, VECTOR, 2 VECTOR, ... Past n, READ gives zeros and WRITE writes nothing; LANE_INSIDE(e) says whether lane
 * e is before n. Addresses need no alignment, but only multiples of 16 bytes are fast. VECTORS_OF(...) checks the
 * alignment of up to 12 pointers once for the loops in its scope, instead of at each access. What WRITE has written may
 * be read only after the next sync(). SUM_VECTOR(i, n, s, ...) is a loop that writes nothing and may add to the floats
 * named, of which each thread has its own. After it, PROGRAM_SUM(s) makes s the sum over the threads, on all of them;
 * PROGRAM_SUM_F64(s) does so for doubles, and PROGRAM_MAXIMUM(s) takes the maximum. WARP_VECTOR, WARP_SUM_VECTOR and
 * WARP_TOTAL are the same inside EACH_ROW and EACH_GROUP. If VECTORS_FIT(n, pointers) is true, all vectors are whole
 * and aligned, and WHOLE_VECTOR (i, n) does the work of WARP_VECTOR (i, n) with fewer registers. A file that defines
 * TILE_VECTOR before it includes tile.h has VECTOR = TILE_VECTOR on a GPU. With 4, vectors of bf16 are 8 bytes long,
 * take half as many registers, and leave no gaps between the accesses of READ_F32. */
enum { VECTOR = 1 };
#define VECTORS_OF(...)            ((void)0)
#define EACH_VECTOR(i, n)          EACH (i, n)
#define SUM_VECTOR(i, n, ...)      TILE_PRAGMA(omp simd reduction(+ : __VA_ARGS__)) for (int64_t i = 0; i < (n); i++)
#define WARP_VECTOR(i, n)          EACH_VECTOR(i, n)
#define WARP_SUM_VECTOR(i, n, ...) SUM_VECTOR(i, n, __VA_ARGS__)
#define VECTORS_FIT(n, ...)        true
#define WHOLE_VECTOR(i, n)         EACH_VECTOR(i, n)
#define PROGRAM_SUM(s)             ((void)0)
#define PROGRAM_SUM_F64(s)         ((void)0)
#define PROGRAM_MAXIMUM(s)         ((void)0)
#define WARP_TOTAL(s)              ((void)0)
#define EACH_LANE(e)               for (int e = 0; e < VECTOR; e++)
#define LANE_INSIDE(e)             true
#define READ(x, from)              float x[VECTOR] = {to_float(*(from))}
#define READ_F32(x, from)          float x[VECTOR] = {*(from)}
#define WRITE(to, x)               (*(to) = to_element((x)[0]))
#define WRITE_F32(to, x)           (*(to) = (x)[0])

/* Held rows: for rows that one loop sums and a second loop reads again. If each lane has at most `most` vectors of a
 * row, the first loop loads them all at once and the second finds them in registers.
 *
 *   DEVICE void rows(HELD_MODE, ...) {
 *       EACH_HELD_GROUP (row, group, first, end, groups, cols) {      EACH_GROUP
 *           HELD(kept);
 *           float sum = 0;
 *           HOLD_VECTOR(i, cols, sum) {                               WARP_SUM_VECTOR
 *               READ_HOLD(x, kept, from + i);                         READ, and keeps it
 *               EACH_LANE(e) sum += x[e];
 *           }
 *           WARP_TOTAL(sum);
 *           HELD_VECTOR(i, cols) {                                    WARP_VECTOR
 *               READ_HELD(x, kept, from + i);                         what READ_HOLD or HOLD has kept at this i
 *               ...
 *   }
 *   KERNEL(...) {
 *       VECTORS_OF(a.from, a.to, a.stride * sizeof(element));         of all rows, so also what lies between them
 *       HELD_ROWS(cols, most, rows(HELD_HERE, ...));
 *   }
 *
 * HOLD(kept, from + i) keeps the vector for later without making an x of it. `most` is 1, 2, 4 or 8; each vector held
 * takes 4 registers of a thread. */
#define HELD_MODE                                             const int mode_ __attribute__((unused))
#define HELD_HERE                                             0
#define HELD_ROWS(cols, most, ...)                            __VA_ARGS__
#define EACH_HELD_GROUP(row, group, first, end, groups, cols) EACH_GROUP (row, group, first, end, groups, cols)
#define HOLD_VECTOR(i, n, ...)                                WARP_SUM_VECTOR(i, n, __VA_ARGS__)
#define HELD_VECTOR(i, n)                                     WARP_VECTOR(i, n)
#define HELD(name)                                            ((void)0)
#define HOLD(held, from)                                      ((void)0)
#define READ_HOLD(x, held, from)                              READ(x, from)
#define READ_HELD(x, held, from)                              READ(x, from)

/* Numbers for each column, fp32, that a program keeps while it goes over rows: above all, sums over rows. They are in
 * shared memory, where each thread has its own place for the columns that WARP_VECTOR gives it, so that no sync() is
 * needed.
 *
 *   COLUMNS(sums, rows, cols)      declared at the top of a kernel: rows of at most `cols` columns, a multiple of 256,
 *                                  or of 4 cols if the whole program shares a row
 *   COLUMNS_ROW(sums, cols, r)     row r, for the words below; row 0 is `sums` itself
 *   columns_zero(row, cols, n)     its first n columns become 0
 *   READ_COLUMNS(x, row, i)        inside WARP_VECTOR (i, n): float x[VECTOR] = the numbers of columns i, i + 1, ...
 *   WRITE_COLUMNS(row, i, x)       writes x back
 *   ADD_COLUMNS(row, i, x)         adds x[VECTOR] to them
 *   READ_TOTALS(x, row, i, cols)   inside EACH_VECTOR, after a sync(): the sum over all threads that had the column in
 *                                  EACH_GROUP, for groups of `cols` columns */
#define COLUMNS_STRIDE(cols)       (4 * (cols) + TILE_PAD)
#define COLUMNS(name, rows, cols)  float name[(rows)*COLUMNS_STRIDE(cols)] __attribute__((aligned(64)))
#define COLUMNS_ROW(name, cols, r) ((name) + (r)*COLUMNS_STRIDE(cols))
#define columns_zero(row, cols, n)                                                                                     \
    do {                                                                                                               \
        EACH (i_, n) (row)[i_] = 0;                                                                                    \
    } while (0)
#define READ_COLUMNS(x, row, i)      float x[VECTOR] = {(row)[i]}
#define WRITE_COLUMNS(row, i, x)     ((row)[i] = (x)[0])
#define ADD_COLUMNS(row, i, x)       ((row)[i] += (x)[0])
#define READ_TOTALS(x, row, i, cols) READ_COLUMNS(x, row, i)

/* A barrier: waits until all threads of the program are here. What they wrote to memory and shared tiles is then
 * visible to all. */
#define sync() ((void)0)

/* Staged copies, so that the next tile is loaded while this one is used. copy_commit() closes a stage, which is all
 * loads since the previous copy_commit(). sync_after(n) is a sync() that does not wait for the latest n stages. sync()
 * waits for all of them, and so do EACH_TILE and EACH_ENTRY. No load may be unfinished when a kernel ends. */
#define copy_commit() ((void)0)
#define sync_after(n) ((void)0)

/* Tiles. Rows and columns are constants and multiples of 16. Declarations stand at the top of the kernel, not in loops.
 * - TILE(name, rows, cols): an operand of products, in memory shared by the program's threads; fp32 here, elements on a
 *   GPU.
 * - TILE_VIEW(name, tile, i, j, rows, cols): a block of a tile, from row i and column j on; i and j may be variables.
 * - MATRIX(name, rows, cols): shared, fp32, with any number of rows. MATRIX_VIEW is a block of one. On a GPU the rows
 *   of a PADDED_MATRIX begin in different banks, for matrices that are read and written inside MAP.
 * - VECTOR(name, size): shared, fp32; name[i] is an entry.
 * - ACCUMULATOR(name, rows, cols): fp32, spread over the threads' registers; entries are reached only through MAP.
 *   ACCUMULATOR_VIEW(name, accumulator, j, cols): the columns from j, a constant, of an accumulator with 64 rows.
 *   ACCUMULATOR_BAND(name, accumulator, b, rows): its rows from b * rows on. EACH_BAND(b, rows, count) { ... } runs the
 *   body for each band of `rows` of `count` rows. On a GPU there is one band.
 * Only kernels declare tiles, matrices and vectors; functions get them as arguments. Between a word that writes one of
 * them and a word that reads it there must be a sync(), and another before it is overwritten. Accumulators need
 * none. */
enum { TILE_PAD_EVERY = 128, TILE_PAD = 16 }; /* rows n * 512 bytes apart would share a few cache sets */
#define TILE_STRIDE(cols) ((cols) % TILE_PAD_EVERY == 0 ? (cols) + TILE_PAD : (cols))
#define TILE_DECLARE(name, rows, cols, stride)                                                                         \
    enum { name##_rows = (rows), name##_cols = (cols), name##_stride = (stride) };                                     \
    float name[(rows) * (stride)] __attribute__((aligned(64)))
#define TILE(name, rows, cols)          TILE_DECLARE(name, rows, cols, TILE_STRIDE(cols))
#define MATRIX(name, rows, cols)        TILE_DECLARE(name, rows, cols, TILE_STRIDE(cols))
#define ACCUMULATOR(name, rows, cols)   TILE_DECLARE(name, rows, cols, cols)
#define PADDED_MATRIX(name, rows, cols) MATRIX(name, rows, cols)
#define TILE_VIEW(name, tile, i, j, rows, cols)                                                                        \
    enum { name##_rows = (rows), name##_cols = (cols), name##_stride = tile##_stride };                                \
    float *const name = tile + (i)*tile##_stride + (j)
#define MATRIX_VIEW(name, matrix, i, j, rows, cols)  TILE_VIEW(name, matrix, i, j, rows, cols)
#define ACCUMULATOR_VIEW(name, accumulator, j, cols) TILE_VIEW(name, accumulator, 0, j, accumulator##_rows, cols)
#define EACH_BAND(b, rows, count)                    for (int b = 0; b * (rows) < (count); b++)
#define ACCUMULATOR_BAND(name, accumulator, b, rows)                                                                   \
    TILE_VIEW(name, accumulator, (b) * (rows), 0, rows, accumulator##_cols)
#define VECTOR(name, size)                                                                                             \
    enum { name##_size = (size) };                                                                                     \
    float name[size] __attribute__((aligned(64)))

/* Entries. AT(tile, i, j) is the float value, PUT(tile, i, j, value) rounds to what the tile holds; ENTRY(matrix, i, j)
 * is an lvalue. */
#define AT(tile, i, j)         (tile[(i)*tile##_stride + (j)])
#define PUT(tile, i, j, value) (tile[(i)*tile##_stride + (j)] = (value))
#define ENTRY(matrix, i, j)    (matrix[(i)*matrix##_stride + (j)])

/* Rows by vectors: EACH_ROW_VECTOR(i, j, rows, cols) { ... } is EACH_PAIR with j = 0, VECTOR, 2 VECTOR, ...; the same
 * entry always goes to the same thread. Inside it, READ_TILE(x, tile, i, j) and READ_MATRIX(x, matrix, i, j) declare
 * float x[VECTOR] with the entries from (i, j) on; WRITE_TILE(tile, i, j, x) and WRITE_MATRIX(matrix, i, j, x) write x
 * back. */
#define EACH_ROW_VECTOR(i, j, rows, cols) EACH_PAIR(i, j, rows, cols)
#define READ_TILE(x, tile, i, j)          float x[VECTOR] = {AT(tile, i, j)}
#define READ_MATRIX(x, matrix, i, j)      float x[VECTOR] = {ENTRY(matrix, i, j)}
#define WRITE_TILE(tile, i, j, x)         PUT(tile, i, j, (x)[0])
#define WRITE_MATRIX(matrix, i, j, x)     (ENTRY(matrix, i, j) = (x)[0])

/* MAP(accumulator, i, j, x, statements) runs the statements for every entry (i, j); x is its value, which they may
 * change. EACH_TILE does the same for a tile, EACH_ENTRY for a matrix; the same entry always goes to the same
 * thread. */
#define MAP(accumulator, i, j, x, ...)                                                                                 \
    do {                                                                                                               \
        for (int i = 0; i < accumulator##_rows; i++) {                                                                 \
            INDEPENDENT for (int j = 0; j < accumulator##_cols; j++) {                                                 \
                float x = accumulator[i * accumulator##_stride + j];                                                   \
                __VA_ARGS__;                                                                                           \
                accumulator[i * accumulator##_stride + j] = x;                                                         \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
#define EACH_TILE(tile, i, j, x, ...)    MAP(tile, i, j, x, __VA_ARGS__)
#define EACH_ENTRY(matrix, i, j, x, ...) MAP(matrix, i, j, x, __VA_ARGS__)
/* EACH_TILE for a tile whose loads a sync_after has waited for. It does not wait for later stages. */
#define EACH_TILE_STAGED(tile, i, j, x, ...) MAP(tile, i, j, x, __VA_ARGS__)

/* Loads set the entry (i, j) to from[i * stride + j] for i < rows and j < cols, and to 0 elsewhere; rows and cols may
 * be any numbers. tile_load reads elements; tile_load_f32, matrix_load and accumulator_load read fp32. */
#define tile_load(tile, from, stride, rows, cols)                                                                      \
    tile_load_element(tile, tile##_rows, tile##_cols, tile##_stride, from, stride, rows, cols)
#define tile_load_f32(tile, from, stride, rows, cols)                                                                  \
    tile_load_float(tile, tile##_rows, tile##_cols, tile##_stride, from, stride, rows, cols)
#define matrix_load(matrix, from, stride, rows, cols)           tile_load_f32(matrix, from, stride, rows, cols)
#define accumulator_load(accumulator, from, stride, rows, cols) tile_load_f32(accumulator, from, stride, rows, cols)
/* Stores write the entries with i < rows and j < cols to to[i * stride + j], as elements or as fp32. */
#define accumulator_store(accumulator, to, stride, rows, cols)                                                         \
    tile_store_element(accumulator, accumulator##_rows, accumulator##_cols, accumulator##_stride, to, stride, rows,    \
                       cols)
#define accumulator_store_f32(accumulator, to, stride, rows, cols)                                                     \
    tile_store_float(accumulator, accumulator##_rows, accumulator##_cols, accumulator##_stride, to, stride, rows, cols)
/* TILES_WALK(name, tile, x, x_first, x_stride, y, y_first, y_stride, cols, aligned) is a walk down two matrices in
 * steps of a tile, from entry x_first of x and y_first of y on. walk_load(x_tile, y_tile, name, rows) loads the next
 * rows of both as tile_load does; `rows` is how many are left. walk_load_across(x_tile, y_tile, name, rows, cols_left)
 * loads the next columns of the same rows; the walk's `cols` must then be at least the columns of a tile. Both are
 * cheaper than tile_load, because a thread keeps its addresses from one load to the next, and because `aligned` says
 * whether all rows begin and end at multiples of 16 bytes. */
typedef struct TilesWalk {
    const element *x, *y;
    int64_t x_stride, y_stride, cols;
} TilesWalk;
#define TILES_WALK(name, tile, x, x_first, x_stride, y, y_first, y_stride, cols, aligned)                              \
    TilesWalk name = {(x) + (x_first), (y) + (y_first), x_stride, y_stride, cols}
#define walk_load(x_tile, y_tile, walk, rows)                                                                          \
    do {                                                                                                               \
        tile_load(x_tile, (walk).x, (walk).x_stride, rows, (walk).cols);                                               \
        tile_load(y_tile, (walk).y, (walk).y_stride, rows, (walk).cols);                                               \
        (walk).x += x_tile##_rows * (walk).x_stride;                                                                   \
        (walk).y += y_tile##_rows * (walk).y_stride;                                                                   \
    } while (0)
#define walk_load_across(x_tile, y_tile, walk, rows, cols_left)                                                        \
    do {                                                                                                               \
        tile_load(x_tile, (walk).x, (walk).x_stride, rows, cols_left);                                                 \
        tile_load(y_tile, (walk).y, (walk).y_stride, rows, cols_left);                                                 \
        (walk).x += x_tile##_cols;                                                                                     \
        (walk).y += y_tile##_cols;                                                                                     \
    } while (0)
/* Loads all of a matrix, stored without gaps between its rows from a multiple of 16 bytes on. */
#define matrix_load_whole(matrix, from) matrix_load(matrix, from, matrix##_cols, matrix##_rows, matrix##_cols)
/* s += the sum of a b over the entries of two tiles of the same size. Each thread adds its own entries to its own s;
 * PROGRAM_SUM(s) then gives the whole. */
#define tile_dot(s, a, b)                                                                                              \
    do {                                                                                                               \
        for (int i_ = 0; i_ < a##_rows; i_++) SUM(s, j_, a##_cols, AT(a, i_, j_) * AT(b, i_, j_));                     \
    } while (0)
/* accumulator_store for accumulators of 64 rows; `to` and the stride are multiples of 16 bytes and `cols` of 32. On a
 * GPU, columns are written in the order in which threads hold them, which saves the exchange between threads. After a
 * product whose right operand was stored like this, accumulator_unshuffle(accumulator) puts the columns of the result
 * in order. */
#define accumulator_store_shuffled(accumulator, to, stride, rows, cols)                                                \
    accumulator_store(accumulator, to, stride, rows, cols)
#define accumulator_unshuffle(accumulator) ((void)0)
/* The same for the entries of a tile, as elements, and of a matrix, as fp32. */
#define tile_store(tile, to, stride, rows, cols)     accumulator_store(tile, to, stride, rows, cols)
#define matrix_store(matrix, to, stride, rows, cols) accumulator_store_f32(matrix, to, stride, rows, cols)
/* MAP and tile_cast in one pass: the tile, of the accumulator's size, becomes its new entries. */
#define MAP_INTO(tile, accumulator, i, j, x, ...) MAP(accumulator, i, j, x, __VA_ARGS__; PUT(tile, i, j, x))
/* tile = accumulator, of the same size. */
#define tile_cast(tile, accumulator)  MAP(accumulator, i_, j_, x_, PUT(tile, i_, j_, x_))
#define accumulator_zero(accumulator) MAP(accumulator, i_, j_, x_, x_ = 0)
/* Inside MAP: the entry (i, j) of another accumulator of the same size. */
#define PEER(other, i, j) (other[(i)*other##_stride + (j)])
/* accumulator += other, of the same size. */
#define accumulator_add(accumulator, other) MAP(accumulator, i_, j_, x_, x_ += PEER(other, i_, j_))

/* ROW_VALUES(name, rows): a float for each row of accumulators with `rows` rows (64 or more), in the registers of the
 * threads that have the row. EACH_ROW_VALUE(name, r, i) { ... } runs the body for every row i, whose value is name[r].
 * Inside MAP and MAP_INTO, ROW_VALUE(name, i) is the value of the entry's row. ROW_VALUES_BAND is to row values what
 * ACCUMULATOR_BAND is to accumulators. */
#define ROW_VALUES(name, rows)                                                                                         \
    enum { name##_rows = (rows) };                                                                                     \
    float name[rows] __attribute__((aligned(64)))
#define ROW_VALUES_BAND(name, values, b, rows)                                                                         \
    enum { name##_rows = (rows) };                                                                                     \
    float *const name = values + (b)*name##_rows
#define EACH_ROW_VALUE(name, r, i) for (int i = 0, r = 0; i < name##_rows; r = ++i)
#define ROW_VALUE(name, i)         (name[i])
/* row_values_maximum sets row values to the maxima of an accumulator's rows. row_values_share sets them to the sums,
 * but each thread has only the share of its own entries. Shares may be scaled and added before row_values_total(name)
 * turns them into whole sums. */
#define row_values_share(name, accumulator) row_sum(name, accumulator)
#define row_values_total(name)              ((void)0)
#define row_values_maximum(name, accumulator)                                                                          \
    do {                                                                                                               \
        for (int i_ = 0; i_ < accumulator##_rows; i_++) {                                                              \
            float row_ = -INFINITY;                                                                                    \
            MAXIMUM(row_, j_, accumulator##_cols, accumulator[i_ * accumulator##_stride + j_]);                        \
            name[i_] = row_;                                                                                           \
        }                                                                                                              \
    } while (0)

/* COLUMN_VALUES(name, count): `count` floats (a constant) for each of WALK_COLUMNS columns, in the registers of the
 * thread that has the column. EACH_COLUMN(c) { ... } runs the body for every column. In it COLUMN_VALUE(name, n, c) is
 * value n of column c, an lvalue; on a GPU, n must be a constant once loops are unrolled. Entries (i, c) of tiles and
 * matrices with WALK_COLUMNS columns need no sync() if only EACH_COLUMN touches them. column_totals(parts, name) sums
 * each of COLUMN_TOTALS values over the columns: the sum of value n is that of parts[p * COLUMN_TOTALS + n] over p <
 * COLUMN_PARTS. `parts` is shared. */
enum { WALK_COLUMNS = 128, COLUMN_STRIDE = TILE_STRIDE(WALK_COLUMNS), COLUMN_TOTALS = 32, COLUMN_PARTS = 1 };
#define COLUMN_VALUES(name, count) float name[(count)*COLUMN_STRIDE] __attribute__((aligned(64)))
#define EACH_COLUMN(c)             INDEPENDENT for (int c = 0; c < WALK_COLUMNS; c++)
#define COLUMN_VALUE(name, n, c)   (name[(n)*COLUMN_STRIDE + (c)])
#define column_totals(parts, name)                                                                                     \
    do {                                                                                                               \
        for (int n_ = 0; n_ < COLUMN_TOTALS; n_ += LANES)                                                              \
            sums_of_rows((parts) + n_, name + n_ * COLUMN_STRIDE, COLUMN_STRIDE, WALK_COLUMNS);                        \
    } while (0)

/* vector[i] = the sum of row i of an accumulator of at least 64 rows. */
#define row_sum(vector, accumulator)                                                                                   \
    do {                                                                                                               \
        for (int i_ = 0; i_ < accumulator##_rows; i_ += LANES)                                                         \
            sums_of_rows(vector + i_, accumulator + i_ * accumulator##_stride, accumulator##_stride,                   \
                         accumulator##_cols);                                                                          \
    } while (0)

/* matrix[b][j] = the sum of column j over rows 16 b .. 16 b + 15 of an accumulator of at least 64 rows. */
#define column_sums(matrix, accumulator)                                                                               \
    do {                                                                                                               \
        for (int i_ = 0; i_ < accumulator##_rows; i_++) {                                                              \
            EACH (j_, accumulator##_cols)                                                                              \
                ENTRY(matrix, i_ / 16, j_) =                                                                           \
                    (i_ % 16 ? ENTRY(matrix, i_ / 16, j_) : 0.0f) + ENTRY(accumulator, i_, j_);                        \
        }                                                                                                              \
    } while (0)

/* Running sums and products along a vector, from the first entry on or (reverse) from the last. */
#define vector_cumsum(vector)         running_sum(vector, vector##_size, 1)
#define vector_cumsum_reverse(vector) running_sum(vector + vector##_size - 1, vector##_size, -1)
#define vector_cumprod(vector)        running_product(vector, vector##_size)

DEVICE void running_sum(float *x, int size, int step) {
    for (int i = 1; i < size; i++) x[i * step] += x[(i - 1) * step];
}
DEVICE void running_product(float *x, int size) {
    for (int i = 1; i < size; i++) x[i] *= x[i - 1];
}

#define TILE_LOAD_AND_STORE(suffix, type, widen, narrow)                                                               \
    DEVICE void tile_load_##suffix(float *tile, int tile_rows, int tile_cols, int tile_stride, const type *from,       \
                                   int64_t stride, int64_t rows, int64_t cols) {                                       \
        for (int i = 0; i < tile_rows; i++) {                                                                          \
            float *row = tile + i * tile_stride;                                                                       \
            const type *source = from + i * stride;                                                                    \
            const int filled = i >= rows || cols < 0 ? 0 : cols < tile_cols ? (int)cols : tile_cols;                   \
            if (filled == tile_cols) {                                                                                 \
                INDEPENDENT for (int j = 0; j < tile_cols; j++) row[j] = widen(source[j]);                             \
            } else {                                                                                                   \
                for (int j = 0; j < filled; j++) row[j] = widen(source[j]);                                            \
                for (int j = filled; j < tile_cols; j++) row[j] = 0;                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    DEVICE void tile_store_##suffix(const float *tile, int tile_rows, int tile_cols, int tile_stride, type *to,        \
                                    int64_t stride, int64_t rows, int64_t cols) {                                      \
        for (int i = 0; i < tile_rows && i < rows; i++) {                                                              \
            const float *row = tile + i * tile_stride;                                                                 \
            type *target = to + i * stride;                                                                            \
            if (cols >= tile_cols) {                                                                                   \
                INDEPENDENT for (int j = 0; j < tile_cols; j++) target[j] = narrow(row[j]);                            \
            } else {                                                                                                   \
                for (int j = 0; j < cols; j++) target[j] = narrow(row[j]);                                             \
            }                                                                                                          \
        }                                                                                                              \
    }
TILE_LOAD_AND_STORE(element, element, to_float, to_element)
TILE_LOAD_AND_STORE(float, float, , )

#include "tile/tile_cpu_product.h"

#endif
