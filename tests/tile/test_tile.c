/* Every word of the tile language, in every variant, against plain loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dtype.h"
#include "tile/emulator.h"
#include "tile/emulator_memory.h"
#include "tile/words.h"

enum { CPU_F32, CPU_BF16, EMULATOR_F32, EMULATOR_BF16, VARIANTS };
enum { STRIDE = 136, ROWS = 128, ENTRIES = STRIDE * ROWS, OUT = 2 * ENTRIES };

#define WORDS(name)                                                                                                    \
    EmulatorProgram words_##name##_cpu_f32, words_##name##_cpu_bf16, words_##name##_emu_f32, words_##name##_emu_bf16;
WORDS_ALL
#undef WORDS
EmulatorProgram words_divergent_emu_bf16, words_outside_emu_bf16, words_two_writers_emu_bf16, words_misaligned_emu_bf16,
    words_unsynchronised_emu_bf16, words_not_awaited_emu_bf16, words_reads_after_emu_bf16, words_reads_before_emu_bf16,
    words_writes_after_emu_bf16, words_stage_not_awaited_emu_bf16, words_left_copies_emu_bf16,
    words_global_store_emu_bf16, words_global_store_of_8_emu_bf16, words_global_load_emu_bf16;

typedef enum Word {
#define WORDS(name) WORD_##name,
    WORDS_ALL
#undef WORDS
} Word;

static const struct {
    const char *name;
    EmulatorProgram *program[VARIANTS];
} words[] = {
#define WORDS(name)                                                                                                    \
    {#name, {words_##name##_cpu_f32, words_##name##_cpu_bf16, words_##name##_emu_f32, words_##name##_emu_bf16}},
    WORDS_ALL
#undef WORDS
};

/* Inputs that bf16 represents exactly; the same numbers as fp32 and as bf16. */
static float a[ENTRIES], b[ENTRIES], f[ENTRIES], out_f32[OUT];
static bf16 a_bf16[ENTRIES], b_bf16[ENTRIES];
static union {
    float f32[OUT];
    bf16 half[OUT];
} out;

static int inputs_create(void **state) {
    (void)state;
    uint32_t random = 7;
    for (int i = 0; i < ENTRIES; i++) {
        float *const to[] = {a, b, f};
        for (int k = 0; k < 3; k++) {
            random = random * 1664525u + 1013904223u;
            to[k][i] = (float)(int)(random >> 16 & 255) / 16 - 8;
        }
        a_bf16[i] = float_to_bf16(a[i]);
        b_bf16[i] = float_to_bf16(b[i]);
    }
    return 0;
}

static bool is_half(int variant) { return variant == CPU_BF16 || variant == EMULATOR_BF16; }

static void word_run(Word word, int variant, int64_t rows, int64_t cols) {
    const bool half = is_half(variant);
    for (int i = 0; i < OUT; i++) out_f32[i] = out.f32[i] = -12345;
    const WordsArguments arguments = {
        half ? (const void *)a_bf16 : a, half ? (const void *)b_bf16 : b, f, &out, out_f32, STRIDE, rows, cols};
    if (variant == EMULATOR_F32 || variant == EMULATOR_BF16)
        emulator_run(words[word].name, words[word].program[variant], 1, 1, 1, &arguments);
    else
        words[word].program[variant](&arguments, 0, 0, 0);
}

static float element_out(int variant, int at) { return is_half(variant) ? bf16_to_float(out.half[at]) : out.f32[at]; }

static void expect(Word word, int variant, int at, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s, variant %d, entry %d: %.9g, not %.9g", words[word].name, variant, at, got, want);
}

/* Limits inside the tile, at its end, past it, and before its start. */
static const int64_t limits[][2] = {{32, 48}, {100, 100}, {7, 48}, {32, 5}, {31, 47}, {0, 48}, {-3, 48}, {32, -1}};
enum { LIMITS = sizeof limits / sizeof limits[0] };

static void test_load(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int n = 0; n < LIMITS; n++)
            for (int kind = 0; kind < 4; kind++) {
                static const Word kinds[] = {WORD_load, WORD_load_f32, WORD_load_unaligned, WORD_load_f32_unaligned};
                const float *from = (kind % 2 ? f : a) + kind / 2;
                word_run(kinds[kind], variant, limits[n][0], limits[n][1]);
                for (int i = 0; i < 32; i++)
                    for (int j = 0; j < 48; j++)
                        expect(kinds[kind], variant, i * 48 + j, out_f32[i * 48 + j],
                               i < limits[n][0] && j < limits[n][1] ? from[i * STRIDE + j] : 0, 0);
            }
}

static void test_tiles_walk(void **state) {
    (void)state;
    const int64_t sizes[][2] = {{32, 64}, {100, 40}, {19, 64}, {12, 40}, {32, 61}, {19, 37}, {12, 5}, {32, 0}};
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int n = 0; n < 8; n++) {
            const int64_t rows = sizes[n][0], cols = sizes[n][1], first = cols % 8 ? 1 : 0;
            for (int across = 0; across < 2; across++) {
                const int word = across ? WORD_tiles_across : WORD_tiles_walk;
                word_run(word, variant, rows, cols);
                for (int e = 0; e < 2 * 32 * 64; e++) {
                    const int i = e / 64 % 32, j = e % 64;
                    const float *from = (e < 32 * 64 ? a : b + STRIDE) + first;
                    expect(word, variant, e, out_f32[e], i < rows && j < cols ? from[i * STRIDE + j] : 0, 0);
                }
            }
        }
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_matrix_whole, variant, 0, 0);
        for (int e = 0; e < 4 * 48; e++) expect(WORD_matrix_whole, variant, e, out_f32[e], f[e < 144 ? e : e - 48], 0);
    }
}

static void test_matrix(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int n = 0; n < LIMITS; n++) {
            word_run(WORD_matrix, variant, limits[n][0], limits[n][1]);
            for (int i = 0; i < 32; i++)
                for (int j = 0; j < 48; j++) {
                    const float twice = 2 * (i < limits[n][0] && j < limits[n][1] ? f[i * STRIDE + j] : 0);
                    expect(WORD_matrix, variant, i * 48 + j, out_f32[i * 48 + j], twice, 0);
                }
        }
}

static void test_accumulator(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int n = 0; n < LIMITS; n++) {
            word_run(WORD_accumulator, variant, limits[n][0], limits[n][1]);
            for (int i = 0; i < 32; i++)
                for (int j = 0; j < 48; j++) {
                    const int e = i * 48 + j;
                    const bool inside = i < limits[n][0] && j < limits[n][1];
                    const float want = inside ? 2 * f[i * STRIDE + j] + (float)(100 * i + j) : -12345;
                    expect(WORD_accumulator, variant, e, out_f32[e], want, 0);
                    if (!is_half(variant))
                        expect(WORD_accumulator, variant, e, out.f32[e], want, 0);
                    else if (inside)
                        assert_int_equal(out.half[e], float_to_bf16(want));
                }
        }
}

/* Limits of 64 x 64 entries, in 16-byte pieces and not. */
static const int64_t wide_limits[][2] = {{64, 64}, {100, 100}, {7, 64}, {32, 5}, {33, 40}, {0, 48}, {64, -1}};

static void test_stores(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++)
        for (size_t n = 0; n < sizeof wide_limits / sizeof wide_limits[0]; n++) {
            const int64_t rows = wide_limits[n][0], cols = wide_limits[n][1];
            word_run(WORD_accumulator_wide, variant, rows, cols);
            for (int i = 0; i < 96; i++)
                for (int j = 0; j < 72; j++)
                    if (i % 64 < rows && j < cols && j < 64)
                        expect(WORD_accumulator_wide, variant, i * STRIDE + j, element_out(variant, i * STRIDE + j),
                               f[i % 64 * STRIDE + j], 0);
                    else if (!is_half(variant))
                        expect(WORD_accumulator_wide, variant, i * STRIDE + j, out.f32[i * STRIDE + j], -12345, 0);
            word_run(WORD_store, variant, rows, cols);
            for (int i = 0; i < 40; i++)
                for (int j = 0; j < 56; j++) {
                    const bool inside = i < rows && i < 32 && j < cols && j < 48;
                    const int e = i * STRIDE + j;
                    expect(WORD_store, variant, e, out_f32[e], inside ? f[e] : -12345, 0);
                    if (inside || !is_half(variant))
                        expect(WORD_store, variant, e, element_out(variant, e), inside ? a[e] : -12345, 0);
                }
        }
}

static void block_check(Word word, int variant, int rows, bool transpose_a, bool transpose_b) {
    word_run(word, variant, 0, 0);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 64; j++) {
            float want = f[i * STRIDE + j];
            for (int k = 0; k < 32; k++)
                if (i >= 16 && i < 48 && j >= 16 && j < 48)
                    want += (transpose_a ? a[k * STRIDE + 16 + i % 16] : a[(16 + i % 16) * STRIDE + k]) *
                            (transpose_b ? b[(j - 16) * STRIDE + k] : b[k * STRIDE + j - 16]);
            expect(word, variant, i * 64 + j, out_f32[i * 64 + j], want, 0);
        }
}

static void test_tiles(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_cast, variant, 0, 0);
        for (int e = 0; e < 16 * 80; e++) expect(WORD_cast, variant, e, out_f32[e], f[e / 80 * STRIDE + e % 80], 0);
        word_run(WORD_map_into, variant, 0, 0);
        for (int e = 0; e < 16 * 80; e++) {
            const float want = f[e / 80 * STRIDE + e % 80] + 0.25f * (float)(e % 80);
            expect(WORD_map_into, variant, e, out_f32[e], want, is_half(variant) ? 0.004 : 0);
            expect(WORD_map_into, variant, 16 * 80 + e, out_f32[16 * 80 + e], want, 0);
        }
        word_run(WORD_each_tile, variant, 0, 0);
        for (int i = 0; i < 32; i++)
            for (int j = 0; j < 48; j++)
                expect(WORD_each_tile, variant, i * 48 + j, out_f32[i * 48 + j],
                       j < 40 ? a[i * STRIDE + j] * (float)(1 + i) : 0, variant == EMULATOR_BF16 ? 0.004 : 0);
        word_run(WORD_view, variant, 0, 0);
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 16; j++) {
                float want = 0;
                for (int k = 0; k < 16; k++) want += a[(16 + i) * STRIDE + 48 + k] * b[(16 + j) * STRIDE + 48 + k];
                expect(WORD_view, variant, i * 16 + j, out_f32[i * 16 + j], want, 0);
            }
    }
}

static void test_tile_dot(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_tile_dot, variant, 0, 0);
        double sum = 0;
        for (int i = 0; i < 32; i++)
            for (int j = 0; j < 48; j++) sum += (double)a[i * STRIDE + j] * b[i * STRIDE + j];
        for (int i = 0; i < 200; i++) expect(WORD_tile_dot, variant, i, out_f32[i], 1 + 2 * sum, 1e-6);
    }
}

static void rows_check(Word word, int variant, int rows, int cols) {
    word_run(word, variant, 0, 0);
    for (int i = 0; i < rows; i++) {
        float sum = 0;
        for (int j = 0; j < cols; j++) sum += f[i * STRIDE + j];
        expect(word, variant, i, out_f32[i], sum, 0);
    }
}

/* The factors of words_vector. */
static float factor(int i) { return i % 40 == 7 ? -0.5f : i % 2 ? 2.0f : 0.5f; }

static void test_reductions(void **state) {
    (void)state;
    const int sizes[] = {1, 31, 128, 300};
    for (int variant = 0; variant < VARIANTS; variant++) {
        rows_check(WORD_rows_64x64, variant, 64, 64);
        rows_check(WORD_rows_128x16, variant, 128, 16);
        word_run(WORD_columns, variant, 0, 0);
        for (int e = 0; e < 8 * 32; e++) {
            float sum = 0;
            for (int i = 0; i < 16; i++) sum += f[(e / 32 * 16 + i) * STRIDE + e % 32];
            expect(WORD_columns, variant, e, out_f32[e], sum, 0);
        }
        word_run(WORD_vector, variant, 0, 0);
        float forward = 0, reverse = 0, product = 1;
        for (int i = 0; i < 80; i++) {
            expect(WORD_vector, variant, i, out_f32[i], forward += f[i], 0);
            expect(WORD_vector, variant, 159 - i, out_f32[159 - i], reverse += f[79 - i], 0);
            expect(WORD_vector, variant, 160 + i, out_f32[160 + i], product *= factor(i), 0);
        }
        for (int n = 0; n < 4; n++) {
            word_run(WORD_reductions, variant, 0, sizes[n]);
            float sum = 1, largest = -1000;
            for (int i = 0; i < sizes[n]; i++) {
                sum += 3 * f[i];
                largest = fmaxf(largest, f[i]);
            }
            for (int i = 0; i < 200; i++) {
                expect(WORD_reductions, variant, i, out_f32[i], sum, 0);
                expect(WORD_reductions, variant, 200 + i, out_f32[200 + i], largest, 0);
            }
        }
    }
}

static void scaled_product_check(Word word, int variant, int rows, int cols, int depth, bool transpose_a,
                                 bool transpose_b, float scale) {
    word_run(word, variant, 0, 0);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            float want = f[i * STRIDE + j];
            for (int k = 0; k < depth; k++)
                want += scale * (transpose_a ? a[k * STRIDE + i] : a[i * STRIDE + k]) *
                        (transpose_b ? b[j * STRIDE + k] : b[k * STRIDE + j]);
            expect(word, variant, i * cols + j, out_f32[i * cols + j], want, 0);
        }
}

static void product_check(Word word, int variant, int rows, int cols, int depth, bool transpose_a, bool transpose_b) {
    scaled_product_check(word, variant, rows, cols, depth, transpose_a, transpose_b, 1);
}

static void lower_check(int variant) {
    word_run(WORD_lower_nt, variant, 0, 0);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j <= i; j++) {
            float want = f[i * STRIDE + j];
            for (int k = 0; k < 48; k++) want += a[i * STRIDE + k] * b[j * STRIDE + k];
            expect(WORD_lower_nt, variant, i * 64 + j, out_f32[i * 64 + j], want, 0);
        }
}

static void operands_check(int variant) {
    word_run(WORD_operands, variant, 0, 0);
    for (int i = 0; i < 64; i++) {
        for (int j = 0; j < 64; j++) {
            float want = f[i * STRIDE + j];
            for (int k = 0; k < 48; k++) want += a[i * STRIDE + k] * b[j * STRIDE + k];
            expect(WORD_operands, variant, i * 64 + j, out_f32[i * 64 + j], want, 0);
        }
        for (int j = 0; j < 48; j++) {
            float want = f[i * STRIDE + j];
            for (int k = 0; k < 32; k++) want += a[i * STRIDE + k] * b[(i / 32 * 32 + k) * STRIDE + j];
            expect(WORD_operands, variant, i * 48 + j, out_f32[64 * 64 + i * 48 + j], want, 0);
        }
    }
}

static void test_bands(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_bands, variant, 0, 0);
        const int rows = variant == CPU_F32 || variant == CPU_BF16 ? 128 : 64;
        for (int i = 0; i < rows; i++) {
            const float value = (float)(i / 64 * 100 + i % 64);
            expect(WORD_bands, variant, 4096 + i, out_f32[4096 + i], value, 0);
            for (int j = 0; j < 32; j++)
                expect(WORD_bands, variant, i * 32 + j, out_f32[i * 32 + j], f[i * STRIDE + j] + value, 0);
        }
    }
}

/* The inputs are multiples of 1/16, so that the sums are exact in any order. */
static void test_products(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
#undef WORDS_MMA
#define WORDS_MMA(name, rows, cols, depth)                                                                             \
    product_check(WORD_mma_nn_##name, variant, rows, cols, depth, false, false);                                       \
    product_check(WORD_mma_nt_##name, variant, rows, cols, depth, false, true);                                        \
    product_check(WORD_mma_tn_##name, variant, rows, cols, depth, true, false);
        WORDS_MMA_SIZES
        lower_check(variant);
        block_check(WORD_block_nn, variant, 64, false, false);
        block_check(WORD_block_nt, variant, 128, false, true);
        block_check(WORD_block_tn, variant, 64, true, false);
        product_check(WORD_chained_nn_64, variant, 64, 32, 48, false, false);
        product_check(WORD_chained_nt_64, variant, 64, 32, 48, false, true);
        scaled_product_check(WORD_chained_nn_with_rest, variant, 64, 32, 48, false, false, 33);
        scaled_product_check(WORD_chained_nt_with_rest, variant, 64, 32, 48, false, true, 33);
        product_check(WORD_chained_operand, variant, 64, 32, 48, false, false);
        product_check(WORD_chained_operand_t, variant, 64, 64, 64, false, true);
        operands_check(variant);
        product_check(WORD_chained_nn_128, variant, 128, 64, 64, false, false);
        product_check(WORD_chained_nt_128, variant, 128, 64, 64, false, true);
    }
}

static void test_warps(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_warps, variant, 7, 70);
        for (int i = 0; i < 7; i++) {
            float sum = 1;
            for (int j = 0; j < 70; j++) {
                sum += f[i * STRIDE + j];
                const int at = i * STRIDE + j;
                expect(WORD_warps, variant, at, element_out(variant, at), 2 * f[at], 0);
            }
            expect(WORD_warps, variant, i, out_f32[i], sum, 0);
        }
        word_run(WORD_walk, variant, 0, 0);
        for (int j = 0; j < 48; j++) {
            float x = 0;
            for (int i = 0; i < 20; i++)
                expect(WORD_walk, variant, i * 48 + j, out_f32[i * 48 + j], x = f[i * STRIDE + j] - x, 0);
            for (int i = 0; i < 20; i++) {
                x = f[i * STRIDE + j] - (i % 4 == 0 ? (float)(i / 4) : x);
                expect(WORD_walk, variant, (20 + i) * 48 + j, out_f32[(20 + i) * 48 + j], x, 0);
            }
        }
        word_run(WORD_walks, variant, 0, 0);
        for (int j = 0; j < 48; j++) {
            float x = 0;
            for (int i = 0; i < 30; i++)
                expect(WORD_walks, variant, i * 48 + j, out_f32[i * 48 + j], x = f[i * STRIDE + j] + (i % 10 ? x : 0),
                       0);
        }
        word_run(WORD_column_values, variant, 0, 0);
        for (int i = 0; i < 32; i++) {
            float sum = 0;
            for (int j = 0; j < 128; j++) sum += f[i * STRIDE + j];
            expect(WORD_column_values, variant, i, out_f32[i], sum, 0);
        }
        word_run(WORD_pairs, variant, 0, 0);
        for (int i = 0; i < 12; i++)
            for (int j = 0; j < 48; j++)
                expect(WORD_pairs, variant, i * 48 + j, out_f32[i * 48 + j], f[i * STRIDE + j] + (float)(100 * i + j),
                       0);
    }
}

/* Arrays that begin at a multiple of 16 bytes or not, and that end in the middle of a vector or not. */
static void test_vectors(void **state) {
    (void)state;
    const int lengths[] = {0, 1, 7, 8, 40, 129, 900};
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int n = 0; n < 7; n++)
            for (int first = 0; first < 9; first += 4 - first % 2 * 3) {
                float sum = 0, product = 0;
                word_run(WORD_vectors, variant, first, lengths[n]);
                for (int i = first; i < first + lengths[n]; i++) {
                    expect(WORD_vectors, variant, i, out_f32[i], a[i] + f[i], 0);
                    expect(WORD_vectors, variant, i, element_out(variant, i), a[i] * f[i],
                           is_half(variant) ? 0.004 : 0);
                    sum += a[i] + 1;
                    product += a[i] * f[i];
                }
                expect(WORD_vectors, variant, first, out_f32[first + lengths[n]], -12345, 0);
                expect(WORD_vectors, variant, 1000, out_f32[1000], sum, 0);
                expect(WORD_vectors, variant, 1001, out_f32[1001], product, 0);
            }
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_warp_vectors, variant, 6, 130);
        for (int i = 0; i < 6; i++) {
            float sum = 0;
            for (int j = 0; j < 130; j++) sum += a[i * STRIDE + j];
            for (int j = 0; j < 130; j++)
                expect(WORD_warp_vectors, variant, i * STRIDE + j, out_f32[i * STRIDE + j],
                       a[i * STRIDE + j] + f[i * STRIDE + j] + sum, 0);
        }
    }
}

/* Groups that share a warp, that have one, and one that has the program; the last rows leave lanes without a group. */
static void test_groups(void **state) {
    (void)state;
    const int shapes[][2] = {{5, 3}, {7, 8}, {9, 16}, {5, 20}, {3, 64}, {11, 136}, {6, 512}, {5, 2056}, {3, 2500}};
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int n = 0; n < 9; n++) {
            const int rows = shapes[n][0], cols = shapes[n][1], groups = rows * (cols < STRIDE ? STRIDE / cols : 1);
            float sums[2500] = {0}, squares[2500] = {0};
            word_run(WORD_groups, variant, rows, cols);
            for (int group = 0; group < groups; group++) {
                float sum = 0;
                for (int j = 0; j < cols; j++) {
                    const float x = a[group * cols + j];
                    sum += x;
                    sums[j] += x;
                    squares[j] += x * x;
                    expect(WORD_groups, variant, group * cols + j, element_out(variant, group * cols + j), 2 * x, 0);
                }
                expect(WORD_groups, variant, group, out_f32[group], sum, 0);
            }
            for (int j = 0; j < cols; j++) {
                expect(WORD_groups, variant, j, out_f32[8192 + j], sums[j], 0);
                expect(WORD_groups, variant, j, out_f32[12288 + j], squares[j], 0);
            }
            expect(WORD_groups, variant, cols, out_f32[8192 + cols], -12345, 0);
        }
}

static void test_stages(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_stages, variant, 0, 0);
        for (int e = 0; e < 256; e++) {
            float sum = 0;
            for (int n = 0; n < 5; n++) sum += 2 * a[(n * 16 + e / 16) * STRIDE + e % 16];
            expect(WORD_stages, variant, e, out_f32[e], sum, 0);
        }
    }
}

static void test_matrix_view(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        word_run(WORD_matrix_view, variant, 0, 0);
        for (int e = 0; e < 60; e++)
            expect(WORD_matrix_view, variant, e, out_f32[e], f[2 * STRIDE + (e < 32 ? 16 + e : e - 12)], 0);
    }
}

static void row_values_check(Word word, int variant, int rows, int cols) {
    word_run(word, variant, 0, 0);
    for (int i = 0; i < rows; i++) {
        float sum = 0, maximum = -INFINITY;
        for (int j = 0; j < cols; j++) {
            sum += f[i * STRIDE + j];
            maximum = fmaxf(maximum, f[i * STRIDE + j]);
        }
        for (int j = 0; j < cols; j++)
            expect(word, variant, i * cols + j, out_f32[i * cols + j], f[i * STRIDE + j] + sum - maximum, 0);
        expect(word, variant, rows * cols + i, out_f32[rows * cols + i], 2 * sum, 0);
    }
}

static void test_row_values(void **state) {
    (void)state;
    for (int variant = 0; variant < VARIANTS; variant++) {
        row_values_check(WORD_row_values_64x32, variant, 64, 32);
        row_values_check(WORD_row_values_80x16, variant, 80, 16);
        row_values_check(WORD_row_values_128x64, variant, 128, 64);
    }
}

/* Whether the program ends the process, run in a child, and says `message`. */
static bool program_dies(const char *name, EmulatorProgram *program, const WordsArguments *arguments,
                         const char *message) {
    int pipe_ends[2], status = 0;
    char said[4096] = "";
    assert_int_equal(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        emulator_run(name, program, 1, 1, 1, arguments);
        _exit(0);
    }
    close(pipe_ends[1]);
    for (ssize_t at = 0, got; (got = read(pipe_ends[0], said + at, sizeof said - 1 - (size_t)at)) > 0; at += got)
        continue;
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0) && strstr(said, message);
}

static void test_emulator_finds_touches_outside(void **state) {
    (void)state;
    static const struct {
        EmulatorProgram *program;
        int64_t cols, floats; /* of an array of so many */
        bool guard_starts;
        const char *message;
    } touch[] = {
        {words_reads_after_emu_bf16, 12, 144, false, "bytes after the end of an array of 576 bytes"},
        {words_reads_before_emu_bf16, 12, 144, true, "words touches memory 4 bytes before the start of an array"},
        {words_writes_after_emu_bf16, 144, 144, false, "words touches memory 0 bytes after the end of an array"},
        {words_writes_after_emu_bf16, 143, 143, false, "words writes after the end of an array of 572 bytes"},
        {words_writes_after_emu_bf16, 144, 144, true, "words writes after the end of an array of 576 bytes"}};
    for (size_t n = 0; n < sizeof touch / sizeof *touch; n++) {
        emulator_guard_starts(touch[n].guard_starts);
        float *array = emulator_allocate(touch[n].floats * (int64_t)sizeof(float));
        const WordsArguments arguments = {
            .f = array, .out_f32 = array, .stride = 12, .rows = 12, .cols = touch[n].cols};
        if (!program_dies("words", touch[n].program, &arguments, touch[n].message))
            fail_msg("this message is missing: %s", touch[n].message);
        emulator_release(array);
    }
}

static void test_emulator_finds_mistakes(void **state) {
    (void)state;
    const WordsArguments writes = {.out_f32 = out_f32};
    assert_true(program_dies("words", words_divergent_emu_bf16, &writes, "divergent barrier in words"));
    assert_true(program_dies("words", words_outside_emu_bf16, &writes, "words writes outside of tile"));
    assert_true(program_dies("words", words_two_writers_emu_bf16, &writes, "two warps write sum of words"));
    assert_true(program_dies("words", words_misaligned_emu_bf16, &writes, "words accesses 16 bytes"));
    const WordsArguments loads = {.f = f, .stride = STRIDE, .out_f32 = out_f32};
    assert_true(program_dies("words", words_left_copies_emu_bf16, &loads, "words ends before its copies have"));
    EmulatorProgram *const global[] = {words_global_store_emu_bf16, words_global_store_of_8_emu_bf16,
                                       words_global_load_emu_bf16};
    for (int n = 0; n < 3; n++) assert_true(program_dies("words", global[n], &loads, "words accesses shared memory"));
    EmulatorProgram *const stale[] = {words_unsynchronised_emu_bf16, words_not_awaited_emu_bf16,
                                      words_stage_not_awaited_emu_bf16};
    for (int n = 0; n < 3; n++) {
        const WordsArguments arguments = {.f = f, .stride = STRIDE, .out_f32 = out_f32};
        emulator_run("stale", stale[n], 1, 1, 1, &arguments);
        bool found = false;
        for (int i = 0; i < 128; i++) found |= !(out_f32[i] == (n ? f[i] : 1));
        assert_true(found);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_load),
                                       cmocka_unit_test(test_tiles_walk),
                                       cmocka_unit_test(test_matrix),
                                       cmocka_unit_test(test_accumulator),
                                       cmocka_unit_test(test_stores),
                                       cmocka_unit_test(test_tiles),
                                       cmocka_unit_test(test_reductions),
                                       cmocka_unit_test(test_warps),
                                       cmocka_unit_test(test_vectors),
                                       cmocka_unit_test(test_groups),
                                       cmocka_unit_test(test_stages),
                                       cmocka_unit_test(test_matrix_view),
                                       cmocka_unit_test(test_tile_dot),
                                       cmocka_unit_test(test_row_values),
                                       cmocka_unit_test(test_products),
                                       cmocka_unit_test(test_bands),
                                       cmocka_unit_test(test_emulator_finds_mistakes),
                                       cmocka_unit_test(test_emulator_finds_touches_outside)};
    return cmocka_run_group_tests(tests, inputs_create, NULL);
}
