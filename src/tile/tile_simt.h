/* The kernel language for a program of 128 threads in 4 warps: what tile_cuda.h and tile_emu.h have in common.
 * tile_cpu.h says what each word means. The including header defines the machine underneath:
 *
 *   DEVICE, KERNEL, KERNEL_SYMBOL
 *   TILE_UNROLL, TILE_UNROLL_BY_2, TILE_UNROLL_BY_4  before a loop; unrolled more often than needed, it takes more
 *                              registers
 *   thread_index()             0 .. THREADS - 1
 *   sync(), sync_after(n), copy_commit()  as in tile_cpu.h: the barrier of all threads, after copy_wait()
 *   shared_memory(name, entry_size, rows, cols, stride)  shared memory of the program
 *   warp_shuffle(x, lane), warp_shuffle_xor(x, mask)  x of that thread of the warp, or of the one whose lane differs in
 *                              the bits of mask; lanes count modulo 32
 *   block_scratch()            one float per warp, for the sums and the maximum of a program only
 *   Sixteen                    a union of uint32_t word[4] and float value[4], 16 bytes
 *   round_pair(low, high)      two numbers as bf16, in one register
 *   sixteen_read(from), sixteen_write(to, x)  one access of 16 bytes, aligned to 16
 *   pair_write(to, bytes, x)   writes the first 4 or 8 bytes of x, aligned to as many
 *   copy_start(to, from, bytes)  cp.async: copies `bytes` bytes into 16 bytes of shared memory and zeroes the rest;
 *                              both addresses are aligned to 16. Complete after the same thread's copy_wait()
 *   matrix_read(x, row), matrix_read_transposed(x, row)  ldmatrix.x4: loads four 8 x 8 matrices; thread 8 m + r of the
 *                              warp passes the address of row r of matrix m
 *   warp_mma(d, a, b)          mma.sync.m16n8k16, bf16 operands, fp32 sums; d and a of 4, b of 2 registers */
#ifndef FLAME_TILE_TILE_SIMT_H
#define FLAME_TILE_TILE_SIMT_H

#if defined(TILE_ELEMENT_F32)
typedef float element;
DEVICE float to_float(element x) { return x; }
DEVICE element to_element(float x) { return x; }
#else
typedef bf16 element;
DEVICE float to_float(element x) {
    union {
        uint32_t bits;
        float value;
    } u;
    u.bits = (uint32_t)x << 16;
    return u.value;
}
DEVICE element to_element(float x) { return (element)round_pair(x, 0.0f); }
#endif

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

DEVICE float warp_sum(float x) {
    for (int mask = 1; mask < 32; mask *= 2) x += warp_shuffle_xor(x, mask);
    return x;
}
DEVICE float warp_maximum(float x) {
    for (int mask = 1; mask < 32; mask *= 2) x = fmaxf(x, warp_shuffle_xor(x, mask));
    return x;
}
DEVICE float block_sum(float x) {
    float *scratch = block_scratch();
    x = warp_sum(x);
    if (thread_index() % 32 == 0) scratch[thread_index() / 32] = x;
    sync();
    const float sum = scratch[0] + scratch[1] + scratch[2] + scratch[3];
    sync();
    return sum;
}
DEVICE float block_maximum(float x) {
    float *scratch = block_scratch();
    x = warp_maximum(x);
    if (thread_index() % 32 == 0) scratch[thread_index() / 32] = x;
    sync();
    const float maximum = fmaxf(fmaxf(scratch[0], scratch[1]), fmaxf(scratch[2], scratch[3]));
    sync();
    return maximum;
}

/* Doubles travel in halves. */
typedef union Halves {
    double value;
    float half[2];
} Halves;
DEVICE double block_sum_f64(double x) {
    float *scratch = block_scratch();
    Halves sum, other, of_warp[THREADS / 32];
    sum.value = x;
    for (int mask = 1; mask < 32; mask *= 2) {
        TILE_UNROLL for (int h = 0; h < 2; h++) other.half[h] = warp_shuffle_xor(sum.half[h], mask);
        sum.value += other.value;
    }
    TILE_UNROLL for (int h = 0; h < 2; h++) {
        if (thread_index() % 32 == 0) scratch[thread_index() / 32] = sum.half[h];
        sync();
        TILE_UNROLL for (int w = 0; w < THREADS / 32; w++) of_warp[w].half[h] = scratch[w];
        sync();
    }
    return of_warp[0].value + of_warp[1].value + of_warp[2].value + of_warp[3].value;
}

/* The same for the lanes of a warp. */
enum { WARP = 32, WARPS = THREADS / WARP };
DEVICE int warp_index() { return thread_index() / WARP; }
DEVICE int lane_index() { return thread_index() % WARP; }
#define EACH_ROW(row, first, end)                                                                                      \
    for (int64_t row = (first) + warp_index(), end_##row = (end); row < end_##row; row += WARPS)
#define WARP_EACH(i, n) for (int64_t i = lane_index(); i < (n); i += WARP)
#define WARP_SUM(s, i, n, ...)                                                                                         \
    do {                                                                                                               \
        float sum_ = 0;                                                                                                \
        WARP_EACH(i, n) sum_ += (__VA_ARGS__);                                                                         \
        s += warp_sum(sum_);                                                                                           \
    } while (0)
#define WARP_MAXIMUM(s, i, n, ...)                                                                                     \
    do {                                                                                                               \
        float maximum_ = s;                                                                                            \
        WARP_EACH(i, n) maximum_ = fmaxf(maximum_, (__VA_ARGS__));                                                     \
        s = warp_maximum(maximum_);                                                                                    \
    } while (0)

#define EACH_PAIR(i, j, rows, cols)                                                                                    \
    for (int pair_ = thread_index(); pair_ < (rows) * (cols); pair_ += THREADS)                                        \
        for (int i = pair_ / (cols), j = pair_ % (cols), once_ = 1; once_; once_ = 0)

#define COLUMN_WALK(x, j, cols, i, rows, ...) BLOCK_WALK(x, 0.0f, b_, 1, j, cols, i, rows, __VA_ARGS__)
#define BLOCK_WALK(x, start, b, blocks, j, cols, i, rows, ...)                                                         \
    EACH_PAIR(b, j, blocks, cols) {                                                                                    \
        float x = (start);                                                                                             \
        (void)b;                                                                                                       \
        for (int i = 0; i < (rows); i++) {                                                                             \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    }

/* A vector is what one access of 16 bytes reads of elements. left_ counts the entries from i to the end. */
enum { VECTOR = 16 / sizeof(element) };
#define VECTORS(i, n, first, threads)                                                                                  \
    for (int64_t i = (first) * (int64_t)VECTOR, left_ = (n)-i; left_ > 0;                                              \
         i += (threads)*VECTOR, left_ -= (threads)*VECTOR)
#define EACH_VECTOR(i, n)          VECTORS(i, n, thread_index(), THREADS)
#define SUM_VECTOR(i, n, ...)      EACH_VECTOR(i, n)
#define WARP_VECTOR(i, n)          VECTORS(i, n, lane_index(), WARP)
#define WARP_SUM_VECTOR(i, n, ...) WARP_VECTOR(i, n)
#define PROGRAM_SUM(s)             (s = block_sum(s))
#define PROGRAM_SUM_F64(s)         (s = block_sum_f64(s))
#define PROGRAM_MAXIMUM(s)         (s = block_maximum(s))
#define WARP_TOTAL(s)              (s = warp_sum(s))
#define EACH_LANE(e)               TILE_UNROLL for (int e = 0; e < VECTOR; e++)
#define LANE_INSIDE(e)             ((e) < left_)
#define READ(x, from)                                                                                                  \
    float x[VECTOR];                                                                                                   \
    vector_read_element(x, from, left_)
#define READ_F32(x, from)                                                                                              \
    float x[VECTOR];                                                                                                   \
    vector_read_float(x, from, left_)
#define WRITE(to, x)     vector_write_element(to, x, left_)
#define WRITE_F32(to, x) vector_write_float(to, x, left_)

DEVICE Sixteen sixteen_of_float(const float *x) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 4; n++) sixteen.value[n] = x[n];
    return sixteen;
}
DEVICE void float_of_sixteen(float *x, Sixteen sixteen) {
    TILE_UNROLL for (int n = 0; n < 4; n++) x[n] = sixteen.value[n];
}
#if defined(TILE_ELEMENT_F32)
#define sixteen_of_element sixteen_of_float
#define element_of_sixteen float_of_sixteen
#else
DEVICE Sixteen sixteen_of_element(const float *x) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 4; n++) sixteen.word[n] = round_pair(x[2 * n], x[2 * n + 1]);
    return sixteen;
}
DEVICE void element_of_sixteen(float *x, Sixteen sixteen) {
    TILE_UNROLL for (int n = 0; n < 8; n++) x[n] = to_float((element)(sixteen.word[n / 2] >> n % 2 * 16));
}
#endif

/* The first `left` entries from there, up to 16 bytes of them, then zeros. */
DEVICE Sixteen sixteen_read_float(const float *from, int64_t left) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 4; n++) sixteen.value[n] = n < left ? from[n] : 0.0f;
    return sixteen;
}
#if defined(TILE_ELEMENT_F32)
#define sixteen_read_element sixteen_read_float
#else
DEVICE Sixteen sixteen_read_element(const element *from, int64_t left) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 8; n += 2) {
        const uint32_t low = n < left ? from[n] : 0, high = n + 1 < left ? from[n + 1] : 0;
        sixteen.word[n / 2] = low | high << 16;
    }
    return sixteen;
}
#endif

/* Reading computes nothing before both paths have met: a thread waits for a load where it first computes with it, and
 * what is read before that loads at the same time. */
#define VECTOR_READ_AND_WRITE(entry, narrow)                                                                           \
    DEVICE void vector_read_##entry(float *x, const entry *from, int64_t left) {                                       \
        enum { AT_ONCE = 16 / sizeof(entry), READS = VECTOR / AT_ONCE };                                               \
        Sixteen sixteen[READS];                                                                                        \
        if (left >= VECTOR && (uintptr_t)from % 16 == 0) {                                                             \
            TILE_UNROLL for (int n = 0; n < READS; n++) sixteen[n] = sixteen_read(from + n * AT_ONCE);                 \
        } else {                                                                                                       \
            TILE_UNROLL for (int n = 0; n < READS; n++) sixteen[n] =                                                   \
                sixteen_read_##entry(from + n * AT_ONCE, left - n * AT_ONCE);                                          \
        }                                                                                                              \
        TILE_UNROLL for (int n = 0; n < READS; n++) entry##_of_sixteen(x + n * AT_ONCE, sixteen[n]);                   \
    }                                                                                                                  \
    DEVICE void vector_write_##entry(entry *to, const float *x, int64_t left) {                                        \
        enum { AT_ONCE = 16 / sizeof(entry) };                                                                         \
        if (left >= VECTOR && (uintptr_t)to % 16 == 0) {                                                               \
            TILE_UNROLL for (int n = 0; n < VECTOR; n += AT_ONCE) sixteen_write(to + n, sixteen_of_##entry(x + n));    \
        } else {                                                                                                       \
            TILE_UNROLL for (int n = 0; n < VECTOR; n++) if (n < left) to[n] = narrow(x[n]);                           \
        }                                                                                                              \
    }
VECTOR_READ_AND_WRITE(element, to_element)
#if !defined(TILE_ELEMENT_F32)
VECTOR_READ_AND_WRITE(float, )
#else
#define vector_read_float  vector_read_element
#define vector_write_float vector_write_element
#endif

#include "tile/tile_fragment.h"

#endif
