/* The kernel language for a program of 128 threads in 4 warps: what tile_cuda.h and tile_emu.h have in common.
 * tile_cpu.h says what each word means. The including header defines the machine underneath:
 *
 *   DEVICE, KERNEL, KERNEL_SYMBOL, TILE_UNROLL
 *   thread_index()             0 .. THREADS - 1
 *   sync()                     the barrier of all threads
 *   shared_memory(name, entry_size, rows, cols, stride)  memory of the program, the same for each of its threads
 *   warp_shuffle_xor(x, mask)  x of the thread whose lane differs in the bits of mask
 *   warp_mma(d, a, b)          mma.sync.m16n8k16, bf16 operands, fp32 sums
 *   block_scratch()            one float per warp, for block_sum and block_maximum only */
#ifndef FLAME_KERNELS_TILE_SIMT_H
#define FLAME_KERNELS_TILE_SIMT_H

typedef bf16 element;
DEVICE float to_float(element x) {
    union {
        uint32_t bits;
        float value;
    } u;
    u.bits = (uint32_t)x << 16;
    return u.value;
}
DEVICE element to_element(float x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = x;
    return (element)((u.bits + 0x7fffu + ((u.bits >> 16) & 1u)) >> 16);
}

#define EACH(i, n) for (int64_t i = thread_index(); i < (n); i += THREADS)
#define SUM(s, i, n, ...)                                                                                              \
    do {                                                                                                               \
        float sum_ = 0;                                                                                                \
        EACH (i, n) sum_ += (__VA_ARGS__);                                                                             \
        s += block_sum(sum_);                                                                                          \
    } while (0)
#define MAXIMUM(s, i, n, ...)                                                                                          \
    do {                                                                                                               \
        float maximum_ = s;                                                                                            \
        EACH (i, n) maximum_ = fmaxf(maximum_, (__VA_ARGS__));                                                         \
        s = block_maximum(maximum_);                                                                                   \
    } while (0)

DEVICE float block_sum(float x) {
    float *scratch = block_scratch();
    for (int mask = 1; mask < 32; mask *= 2) x += warp_shuffle_xor(x, mask);
    if (thread_index() % 32 == 0) scratch[thread_index() / 32] = x;
    sync();
    const float sum = scratch[0] + scratch[1] + scratch[2] + scratch[3];
    sync();
    return sum;
}

DEVICE float block_maximum(float x) {
    float *scratch = block_scratch();
    for (int mask = 1; mask < 32; mask *= 2) x = fmaxf(x, warp_shuffle_xor(x, mask));
    if (thread_index() % 32 == 0) scratch[thread_index() / 32] = x;
    sync();
    const float maximum = fmaxf(fmaxf(scratch[0], scratch[1]), fmaxf(scratch[2], scratch[3]));
    sync();
    return maximum;
}

/* An accumulator lies in the threads' registers as m16n8k16 leaves it: blocks of 16 x 8 entries, 4 of them per thread.
 * The warps stand over the blocks in a grid, as many below each other as there are block rows. */
enum { TILE_PAD = 8 }; /* elements: rows start in different banks */
#define WARPS_DOWN(rows)             ((rows) < 64 ? (rows) / 16 : 4)
#define WARPS_ACROSS(rows)           (4 / WARPS_DOWN(rows))
#define BLOCKS_DOWN(rows)            (((rows) / 16 + WARPS_DOWN(rows) - 1) / WARPS_DOWN(rows))
#define BLOCKS_ACROSS(rows, cols)    (((cols) / 8 + WARPS_ACROSS(rows) - 1) / WARPS_ACROSS(rows))
#define ACCUMULATOR_SIZE(rows, cols) (4 * BLOCKS_DOWN(rows) * BLOCKS_ACROSS(rows, cols))
#define TILE_SIZES(name, rows, cols, stride)                                                                           \
    enum { name##_rows = (rows), name##_cols = (cols), name##_stride = (stride) }

#define TILE(name, rows, cols)                                                                                         \
    TILE_SIZES(name, rows, cols, (cols) + TILE_PAD);                                                                   \
    element *const name = (element *)shared_memory(#name, sizeof(element), rows, cols, (cols) + TILE_PAD)
#define TILE_VIEW(name, tile, i, j, rows, cols)                                                                        \
    TILE_SIZES(name, rows, cols, tile##_stride);                                                                       \
    element *const name = tile + (i)*tile##_stride + (j)
#define MATRIX(name, rows, cols)                                                                                       \
    TILE_SIZES(name, rows, cols, cols);                                                                                \
    float *const name = (float *)shared_memory(#name, sizeof(float), rows, cols, cols)
#define VECTOR(name, size)                                                                                             \
    enum { name##_size = (size) };                                                                                     \
    float *const name = (float *)shared_memory(#name, sizeof(float), 1, size, size)
#define ACCUMULATOR(name, rows, cols)                                                                                  \
    enum { name##_rows = (rows), name##_cols = (cols), name##_size = ACCUMULATOR_SIZE(rows, cols) };                   \
    float name[ACCUMULATOR_SIZE(rows, cols)]

#define AT(tile, i, j)         to_float(tile[(i)*tile##_stride + (j)])
#define PUT(tile, i, j, value) (tile[(i)*tile##_stride + (j)] = to_element(value))
#define ENTRY(matrix, i, j)    (matrix[(i)*matrix##_stride + (j)])

/* Row and column of entry e of this thread; past the end where the blocks do not come out even. */
DEVICE int fragment_row(int e, int rows, int cols) {
    const int down = e / 4 / BLOCKS_ACROSS(rows, cols) * WARPS_DOWN(rows) + thread_index() / 32 % WARPS_DOWN(rows);
    return down * 16 + thread_index() % 32 / 4 + e / 2 % 2 * 8;
}
DEVICE int fragment_col(int e, int rows, int cols) {
    const int across = e / 4 % BLOCKS_ACROSS(rows, cols) * WARPS_ACROSS(rows) + thread_index() / 32 / WARPS_DOWN(rows);
    return across * 8 + thread_index() % 4 * 2 + e % 2;
}
/* Whether the warp has no block at all in a grid of 3 warps, or this entry's block is past the end. */
DEVICE bool fragment_inside(int i, int j, int rows, int cols) {
    return i < rows && j < cols && thread_index() / 32 < WARPS_DOWN(rows) * WARPS_ACROSS(rows);
}

#define MAP(accumulator, i, j, x, ...)                                                                                 \
    do {                                                                                                               \
        TILE_UNROLL for (int e_ = 0; e_ < accumulator##_size; e_++) {                                                  \
            const int i = fragment_row(e_, accumulator##_rows, accumulator##_cols);                                    \
            const int j = fragment_col(e_, accumulator##_rows, accumulator##_cols);                                    \
            if (fragment_inside(i, j, accumulator##_rows, accumulator##_cols)) {                                       \
                float x = accumulator[e_];                                                                             \
                __VA_ARGS__;                                                                                           \
                accumulator[e_] = x;                                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
#define EACH_TILE(tile, i, j, x, ...)                                                                                  \
    do {                                                                                                               \
        for (int e_ = thread_index(); e_ < tile##_rows * tile##_cols; e_ += THREADS) {                                 \
            const int i = e_ / tile##_cols, j = e_ % tile##_cols;                                                      \
            float x = AT(tile, i, j);                                                                                  \
            __VA_ARGS__;                                                                                               \
            PUT(tile, i, j, x);                                                                                        \
        }                                                                                                              \
    } while (0)
#define EACH_ENTRY(matrix, i, j, x, ...)                                                                               \
    do {                                                                                                               \
        for (int e_ = thread_index(); e_ < matrix##_rows * matrix##_cols; e_ += THREADS) {                             \
            const int i = e_ / matrix##_cols, j = e_ % matrix##_cols;                                                  \
            float x = ENTRY(matrix, i, j);                                                                             \
            __VA_ARGS__;                                                                                               \
            ENTRY(matrix, i, j) = x;                                                                                   \
        }                                                                                                              \
    } while (0)

#define TILE_LOAD(tile, put, value, stride, rows, cols)                                                                \
    do {                                                                                                               \
        const int64_t stride_ = (stride), rows_ = (rows), cols_ = (cols);                                              \
        for (int e_ = thread_index(); e_ < tile##_rows * tile##_cols; e_ += THREADS) {                                 \
            const int i_ = e_ / tile##_cols, j_ = e_ % tile##_cols;                                                    \
            const int64_t at_ = i_ * stride_ + j_;                                                                     \
            put(tile, i_, j_, i_ < rows_ && j_ < cols_ ? (value) : 0.0f);                                              \
        }                                                                                                              \
    } while (0)
#define PUT_ENTRY(matrix, i, j, value)                (ENTRY(matrix, i, j) = (value))
#define tile_load(tile, from, stride, rows, cols)     TILE_LOAD(tile, PUT, to_float((from)[at_]), stride, rows, cols)
#define tile_load_f32(tile, from, stride, rows, cols) TILE_LOAD(tile, PUT, (from)[at_], stride, rows, cols)
#define matrix_load(matrix, from, stride, rows, cols) TILE_LOAD(matrix, PUT_ENTRY, (from)[at_], stride, rows, cols)
#define accumulator_load(accumulator, from, stride, rows, cols)                                                        \
    MAP(accumulator, i_, j_, x_, x_ = i_ < (rows) && j_ < (cols) ? (from)[i_ * (int64_t)(stride) + j_] : 0.0f)
#define accumulator_store(accumulator, to, stride, rows, cols)                                                         \
    MAP(accumulator, i_, j_, x_, if (i_ < (rows) && j_ < (cols))(to)[i_ * (int64_t)(stride) + j_] = to_element(x_))
#define accumulator_store_f32(accumulator, to, stride, rows, cols)                                                     \
    MAP(accumulator, i_, j_, x_, if (i_ < (rows) && j_ < (cols))(to)[i_ * (int64_t)(stride) + j_] = x_)
#define tile_cast(tile, accumulator) MAP(accumulator, i_, j_, x_, PUT(tile, i_, j_, x_))
#define accumulator_zero(accumulator)                                                                                  \
    do {                                                                                                               \
        TILE_UNROLL for (int e_ = 0; e_ < accumulator##_size; e_++) accumulator[e_] = 0;                               \
    } while (0)
#define PEER(other, i, j)                   (other[e_])
#define accumulator_add(accumulator, other) MAP(accumulator, i_, j_, x_, x_ += PEER(other, i_, j_))

#define mma_nn(accumulator, a, b)                                                                                      \
    mma(accumulator, accumulator##_rows, accumulator##_cols, a##_cols, a, a##_stride, 1, b, b##_stride, 1)
#define mma_nt(accumulator, a, b)                                                                                      \
    mma(accumulator, accumulator##_rows, accumulator##_cols, a##_cols, a, a##_stride, 1, b, 1, b##_stride)
#define mma_tn(accumulator, a, b)                                                                                      \
    mma(accumulator, accumulator##_rows, accumulator##_cols, a##_rows, a, 1, a##_stride, b, b##_stride, 1)

/* Two operands next to each other in the sum, as a register of mma.sync holds them. */
DEVICE uint32_t operand_pair(const element *from, int step) { return (uint32_t)from[0] | (uint32_t)from[step] << 16; }

/* d += sum over k < depth of a[i * a_row + k * a_col] b[k * b_row + j * b_col]. */
DEVICE void mma(float *d, int rows, int cols, int depth, const element *a, int a_row, int a_col, const element *b,
                int b_row, int b_col) {
    const int lane = thread_index() % 32, group = lane / 4, pair = lane % 4 * 2;
    const int down = thread_index() / 32 % WARPS_DOWN(rows), across = thread_index() / 32 / WARPS_DOWN(rows);
    if (across >= WARPS_ACROSS(rows)) return;
    TILE_UNROLL for (int k = 0; k < depth; k += 16) {
        TILE_UNROLL for (int m = 0; m < BLOCKS_DOWN(rows); m++) {
            const int i = (m * WARPS_DOWN(rows) + down) * 16;
            if (i >= rows) break;
            uint32_t left[4];
            TILE_UNROLL for (int q = 0; q < 4; q++) {
                const int row = i + group + q % 2 * 8, col = k + pair + q / 2 * 8;
                left[q] = operand_pair(a + row * a_row + col * a_col, a_col);
            }
            TILE_UNROLL for (int n = 0; n < BLOCKS_ACROSS(rows, cols); n++) {
                const int j = (n * WARPS_ACROSS(rows) + across) * 8;
                if (j >= cols) break;
                uint32_t right[2];
                TILE_UNROLL for (int q = 0; q < 2; q++) right[q] =
                    operand_pair(b + (k + pair + q * 8) * b_row + (j + group) * b_col, b_row);
                warp_mma(d + (m * BLOCKS_ACROSS(rows, cols) + n) * 4, left, right);
            }
        }
    }
}

/* A row lies in the registers of 4 neighbouring threads, where one warp spans the accumulator's columns. */
#define ROW_REDUCE(vector, accumulator, start, combine)                                                                \
    do {                                                                                                               \
        enum { blocks_ = accumulator##_cols / 8, whole_rows_ = 1 / (accumulator##_rows >= 64) };                       \
        for (int half_ = 0; half_ < accumulator##_size / blocks_ / 2; half_++) {                                       \
            const int first_ = half_ / 2 * blocks_ * 4 + half_ % 2 * 2;                                                \
            float row_ = start;                                                                                        \
            for (int n_ = 0; n_ < blocks_; n_++)                                                                       \
                row_ = combine(row_, combine(accumulator[first_ + n_ * 4], accumulator[first_ + n_ * 4 + 1]));         \
            row_ = combine(row_, warp_shuffle_xor(row_, 1));                                                           \
            row_ = combine(row_, warp_shuffle_xor(row_, 2));                                                           \
            const int i_ = fragment_row(first_, accumulator##_rows, accumulator##_cols);                               \
            if (thread_index() % 4 == 0 && i_ < accumulator##_rows) vector[i_] = row_;                                 \
        }                                                                                                              \
    } while (0)
DEVICE float plus(float x, float y) { return x + y; }
#define row_sum(vector, accumulator)     ROW_REDUCE(vector, accumulator, 0.0f, plus)
#define row_maximum(vector, accumulator) ROW_REDUCE(vector, accumulator, -INFINITY, fmaxf)

DEVICE void column_cumsum(float *x, int rows, int cols, int stride) {
    EACH (j, cols) {
        for (int i = 1; i < rows; i++) x[i * stride + j] += x[(i - 1) * stride + j];
    }
}
#define matrix_cumsum(matrix) column_cumsum(matrix, matrix##_rows, matrix##_cols, matrix##_stride)
#define matrix_cumsum_reverse(matrix)                                                                                  \
    column_cumsum(matrix + (matrix##_rows - 1) * matrix##_stride, matrix##_rows, matrix##_cols, -matrix##_stride)
#define vector_cumsum(vector)         column_cumsum(vector, vector##_size, 1, 1)
#define vector_cumsum_reverse(vector) column_cumsum(vector + vector##_size - 1, vector##_size, 1, -1)

#endif
