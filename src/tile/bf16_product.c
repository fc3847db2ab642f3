#define _GNU_SOURCE
#include "tile/bf16_product.h"

#include <stddef.h>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

Bf16Product *bf16_product = bf16_product_plain;
Bf16Pack *bf16_pack_left = bf16_pack_left_plain, *bf16_pack_right = bf16_pack_right_plain;

#if defined(__x86_64__) && defined(__linux__)

#define PAIRS_CODE __attribute__((target("avx512f,avx512bw,avx512bf16")))
#define TILES_CODE __attribute__((target("avx512f,avx512bw,avx512bf16,amx-tile,amx-bf16")))

/* Both instructions multiply pairs: a word holds, as bf16, two neighbours along the depth. The left factor is packed
 * into words [rows, depth / 2], the right one into words [depth / 2, cols]. */
enum { WORDS = 16, WORDS_OF_FACTOR = BF16_PRODUCT_SIDE * BF16_PRODUCT_SIDE / 2 };
/* to[rows, cols / 2] = the pairs of neighbours in the rows of from[rows, cols]. If cols is an odd multiple of WORDS,
 * the last WORDS / 2 pairs of each row are zeros beyond cols / 2. */
PAIRS_CODE static void pack_along_rows(uint32_t *to, int to_stride, const float *from, int stride, int rows, int cols) {
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < cols; k += 2 * WORDS) {
            const float *pair = from + (int64_t)i * stride + k;
            const __m512 low = _mm512_loadu_ps(pair);
            const __m512 high = k + WORDS < cols ? _mm512_loadu_ps(pair + WORDS) : _mm512_setzero_ps();
            _mm512_store_si512(to + i * to_stride + k / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
}

/* to[rows / 2, cols] = the pairs of neighbours in the columns of from[rows, cols]. */
PAIRS_CODE static void pack_across_rows(uint32_t *to, const float *from, int stride, int rows, int cols) {
    const __m512i in_turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                             21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int k = 0; k < rows; k += 2)
        for (int j = 0; j < cols; j += WORDS) {
            const float *pair = from + (int64_t)k * stride + j;
            const __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(pair + stride), _mm512_loadu_ps(pair));
            _mm512_store_si512(to + k / 2 * cols + j, _mm512_permutexvar_epi16(in_turn, rounded));
        }
}

/* to[WORDS, WORDS] = from[WORDS, WORDS]^T, of words. */
PAIRS_CODE static void turn_square(uint32_t *to, int to_stride, const uint32_t *from, int from_stride) {
    __m512i x[WORDS], y[WORDS];
    for (int i = 0; i < WORDS; i++) x[i] = _mm512_load_si512(from + i * from_stride);
    for (int i = 0; i < WORDS / 2; i++) {
        y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    for (int i = 0; i < WORDS; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < WORDS; i += 8)
        for (int j = i; j < i + 4; j++) {
            y[j] = _mm512_shuffle_i32x4(x[j], x[j + 4], 0x88);
            y[j + 4] = _mm512_shuffle_i32x4(x[j], x[j + 4], 0xdd);
        }
    for (int j = 0; j < WORDS / 2; j++) {
        _mm512_store_si512(to + j * to_stride, _mm512_shuffle_i32x4(y[j], y[j + 8], 0x88));
        _mm512_store_si512(to + (j + 8) * to_stride, _mm512_shuffle_i32x4(y[j], y[j + 8], 0xdd));
    }
}
PAIRS_CODE static void turn(uint32_t *to, const uint32_t *from, int rows, int cols) {
    for (int i = 0; i < rows; i += WORDS)
        for (int j = 0; j < cols; j += WORDS) turn_square(to + j * rows + i, rows, from + i * cols + j, cols);
}

/* The depth, rounded up to a multiple of a register of pairs. */
static int whole_depth(int depth) { return (depth + 2 * WORDS - 1) / (2 * WORDS) * (2 * WORDS); }

/* Pads the packed factor [depth / 2, cols] with zeros. */
static void pad(uint32_t *packed, int depth, int cols) {
    const int words = (whole_depth(depth) - depth) / 2 * cols;
    memset(packed + depth / 2 * cols, 0, (size_t)words * sizeof(uint32_t));
}

PAIRS_CODE void bf16_pack_left_pairs(uint32_t *to, int rows, int depth, Factor a) {
    const int pairs = whole_depth(depth) / 2;
    if (!a.transposed) {
        pack_along_rows(to, pairs, a.data, a.stride, rows, depth);
        return;
    }
    uint32_t turned[WORDS_OF_FACTOR] __attribute__((aligned(64)));
    pack_across_rows(turned, a.data, a.stride, depth, rows);
    pad(turned, depth, rows);
    turn(to, turned, pairs, rows);
}

PAIRS_CODE void bf16_pack_right_pairs(uint32_t *to, int cols, int depth, Factor b) {
    const int pairs = whole_depth(depth) / 2;
    if (!b.transposed) {
        pack_across_rows(to, b.data, b.stride, depth, cols);
        pad(to, depth, cols);
        return;
    }
    uint32_t turned[WORDS_OF_FACTOR] __attribute__((aligned(64)));
    pack_along_rows(turned, pairs, b.data, b.stride, cols, depth);
    turn(to, turned, cols, pairs);
}

/* The packed words of the factor. If it is not packed yet, they are made in `room`. */
static const uint32_t *packed_left(uint32_t *room, int rows, int depth, Factor a) {
    if (!a.packed) bf16_pack_left_pairs(room, rows, depth, a);
    return a.packed ? a.packed : room;
}
static const uint32_t *packed_right(uint32_t *room, int cols, int depth, Factor b) {
    if (!b.packed) bf16_pack_right_pairs(room, cols, depth, b);
    return b.packed ? b.packed : room;
}

/* One block of d, of 8 rows and WIDTH registers of columns, whose sums stay in registers. */
#define PAIRS_BLOCK(WIDTH)                                                                                             \
    do {                                                                                                               \
        __m512 sum[8][WIDTH];                                                                                          \
        for (int r = 0; r < 8; r++)                                                                                    \
            for (int c = 0; c < WIDTH; c++) sum[r][c] = _mm512_loadu_ps(to + r * d_stride + c * WORDS);                \
        for (int k = 0; k < pairs; k++) {                                                                              \
            __m512bh right[WIDTH];                                                                                     \
            for (int c = 0; c < WIDTH; c++) right[c] = (__m512bh)_mm512_load_si512(b + k * cols + c * WORDS);          \
            for (int r = 0; r < 8; r++)                                                                                \
                for (int c = 0; c < WIDTH; c++)                                                                        \
                    sum[r][c] =                                                                                        \
                        _mm512_dpbf16_ps(sum[r][c], (__m512bh)_mm512_set1_epi32((int)a[r * pairs + k]), right[c]);     \
        }                                                                                                              \
        for (int r = 0; r < 8; r++)                                                                                    \
            for (int c = 0; c < WIDTH; c++) _mm512_storeu_ps(to + r * d_stride + c * WORDS, sum[r][c]);                \
    } while (0)

PAIRS_CODE static void product_by_pairs(float *d, int d_stride, int rows, int cols, int depth, Factor left,
                                        Factor right) {
    uint32_t room[2][WORDS_OF_FACTOR] __attribute__((aligned(64)));
    const uint32_t *const rows_of_left = packed_left(room[0], rows, depth, left);
    const uint32_t *const cols_of_right = packed_right(room[1], cols, depth, right);
    const int pairs = whole_depth(depth) / 2;
    for (int i = 0; i < rows; i += 8) {
        const uint32_t *a = rows_of_left + i * pairs;
        for (int j = 0; j < cols;) {
            const uint32_t *b = cols_of_right + j;
            float *to = d + (int64_t)i * d_stride + j;
            if (j + 2 * WORDS <= cols) {
                PAIRS_BLOCK(2);
                j += 2 * WORDS;
            } else {
                PAIRS_BLOCK(1);
                j += WORDS;
            }
        }
    }
}

/* The shapes of all eight tiles, 16 rows of 64 bytes each (LDTILECFG in Intel's instruction set reference). */
typedef struct TileShapes {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileShapes;
static const TileShapes tile_shapes __attribute__((aligned(64))) = {
    .palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* One block of d at a time, of up to 2 x 2 tiles: these are tiles 0 to 3. Tiles 4 and 5 hold rows of a, 6 and 7 columns
 * of b. */
TILES_CODE static void product_by_tiles(float *d, int d_stride, int rows, int cols, int depth, Factor left,
                                        Factor right) {
    uint32_t room[2][WORDS_OF_FACTOR] __attribute__((aligned(64)));
    const uint32_t *const rows_of_left = packed_left(room[0], rows, depth, left);
    const uint32_t *const cols_of_right = packed_right(room[1], cols, depth, right);
    const int pairs = whole_depth(depth) / 2, side = WORDS;
    const size_t d_bytes = (size_t)d_stride * 4, a_bytes = (size_t)pairs * 4, b_bytes = (size_t)cols * 4;
    _tile_loadconfig(&tile_shapes);
    for (int i = 0; i < rows; i += 2 * side)
        for (int j = 0; j < cols; j += 2 * side) {
            const bool low = i + side < rows, wide = j + side < cols;
            float *to = d + (int64_t)i * d_stride + j, *to_low = to + (int64_t)side * d_stride;
            _tile_loadd(0, to, d_bytes);
            if (wide) _tile_loadd(1, to + side, d_bytes);
            if (low) _tile_loadd(2, to_low, d_bytes);
            if (low && wide) _tile_loadd(3, to_low + side, d_bytes);
            for (int k = 0; k < pairs; k += side) {
                const uint32_t *a = rows_of_left + i * pairs + k, *b = cols_of_right + k * cols + j;
                _tile_loadd(4, a, a_bytes);
                _tile_loadd(6, b, b_bytes);
                _tile_dpbf16ps(0, 4, 6);
                if (wide) {
                    _tile_loadd(7, b + side, b_bytes);
                    _tile_dpbf16ps(1, 4, 7);
                }
                if (!low) continue;
                _tile_loadd(5, a + side * pairs, a_bytes);
                _tile_dpbf16ps(2, 5, 6);
                if (wide) _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, to, d_bytes);
            if (wide) _tile_stored(1, to + side, d_bytes);
            if (low) _tile_stored(2, to_low, d_bytes);
            if (low && wide) _tile_stored(3, to_low + side, d_bytes);
        }
    _tile_release();
}

/* Bits of CPUID's leaf 7, and the request for permission to use tiles on Linux (Documentation/arch/x86/xstate.rst in
 * its source). */
enum { AVX512_BF16 = 1 << 5, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

Bf16Product *bf16_product_by_pairs(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__builtin_cpu_supports("avx512bw") || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return NULL;
    return a & AVX512_BF16 ? product_by_pairs : NULL;
}

Bf16Product *bf16_product_by_tiles(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!bf16_product_by_pairs() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return NULL;
    if (!(d & AMX_BF16) || !(d & AMX_TILE)) return NULL;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 ? product_by_tiles : NULL;
}
#else
Bf16Product *bf16_product_by_pairs(void) { return NULL; }
Bf16Product *bf16_product_by_tiles(void) { return NULL; }
void bf16_pack_left_pairs(uint32_t *to, int rows, int depth, Factor a) { bf16_pack_left_plain(to, rows, depth, a); }
void bf16_pack_right_pairs(uint32_t *to, int cols, int depth, Factor b) { bf16_pack_right_plain(to, cols, depth, b); }
#endif

static const char *name = "fp32";

void bf16_product_choose(void) {
    Bf16Product *const tiles = bf16_product_by_tiles(), *const pairs = bf16_product_by_pairs();
    bf16_product = tiles ? tiles : pairs ? pairs : bf16_product_plain;
    bf16_pack_left = pairs ? bf16_pack_left_pairs : bf16_pack_left_plain;
    bf16_pack_right = pairs ? bf16_pack_right_pairs : bf16_pack_right_plain;
    name = tiles ? "AMX" : pairs ? "AVX-512" : "fp32";
}

const char *bf16_product_name(void) { return name; }
