/* Sums over one, two and three levels of groups of rows: against fp64, added to the gradient, and with the same bits on
 * the CPU and in the form for GPUs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/basic/column_sum/column_sum.h"

static void sum_on(const Device *device, const float *partial, int64_t rows, int64_t cols, float *gradient) {
    const int64_t bytes = rows * cols * (int64_t)sizeof *partial;
    Arena keep = arena_create("keep", device, 64), scratch = arena_create("scratch", device, bytes + (64 << 10));
    Tape *tape = calloc(1, sizeof *tape);
    assert_non_null(tape);
    tape_begin(tape, device, &keep, &scratch, BF16, NULL, true, RECOMPUTE_NONE);
    Tensor parameter = tensor_of(NULL, 1, cols, BF16);
    column_sum(tape, partial, rows, &parameter); /* frozen */
    assert_int_equal(scratch.peak, 0);
    parameter.gradient = gradient;
    column_sum(tape, partial, rows, &parameter);
    free(tape);
    arena_destroy(&scratch);
    arena_destroy(&keep);
}

static void check_shape(int64_t rows, int64_t cols) {
    float *partial = malloc((size_t)(rows * cols) * sizeof *partial);
    float *gradient[2] = {malloc((size_t)cols * sizeof(float)), malloc((size_t)cols * sizeof(float))};
    assert_true(partial && gradient[0] && gradient[1]);
    rng_uniform(1, rng_key("partial"), 0, rows * cols, -0.5, 0.5, partial);
    const Device *device[2] = {device_cpu(), device_emulator()};
    for (int d = 0; d < 2; d++) {
        for (int64_t i = 0; i < cols; i++) gradient[d][i] = (float)i;
        sum_on(device[d], partial, rows, cols, gradient[d]);
    }
    for (int64_t i = 0; i < cols; i++) {
        double sum = (double)i;
        for (int64_t r = 0; r < rows; r++) sum += (double)partial[r * cols + i];
        assert_true(fabs((double)gradient[0][i] - sum) < 1e-4);
        assert_true(gradient[0][i] == gradient[1][i]);
    }
    free(partial);
    free(gradient[0]);
    free(gradient[1]);
}

static void levels_add_up(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 7, 8, 64, 65, 200, 2048, 2049}, cols[] = {1, 3, 128, 130};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++) check_shape(rows[r], cols[c]);
}

/* Three parameters side by side, the first two of which have adjacent gradients: each gets its columns. */
static void several_at_once(const Device *device, int64_t rows, bool frozen) {
    enum { COLS = 10 };
    float partial[70 * COLS], gradient[COLS + 1] = {0};
    rng_uniform(1, rng_key("partial"), 0, rows * COLS, -0.5, 0.5, partial);
    Arena keep = arena_create("keep", device, 64), scratch = arena_create("scratch", device, 4 << 10);
    Tape *tape = calloc(1, sizeof *tape);
    assert_non_null(tape);
    tape_begin(tape, device, &keep, &scratch, BF16, NULL, true, RECOMPUTE_NONE);
    Tensor first = tensor_of(NULL, 1, 2, BF16), second = tensor_of(NULL, 3, 1, BF16),
           third = tensor_of(NULL, 1, 5, BF16);
    first.gradient = gradient;
    second.gradient = frozen ? NULL : gradient + 2;
    third.gradient = gradient + 6;
    column_sums(tape, partial, rows, (Tensor *[]){&first, &second, &third}, 3);
    for (int64_t i = 0; i < COLS; i++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) sum += (double)partial[r * COLS + i];
        const bool is_frozen = frozen && i >= 2 && i < 5;
        assert_true(fabs((double)gradient[i < 5 ? i : i + 1] - (is_frozen ? 0 : sum)) < 1e-5);
    }
    assert_true(gradient[5] == 0);
    free(tape);
    arena_destroy(&scratch);
    arena_destroy(&keep);
}

static void parameters_get_their_columns(void **state) {
    (void)state;
    several_at_once(device_cpu(), 7, false);
    several_at_once(device_cpu(), 70, false);
    several_at_once(device_cpu(), 70, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels_add_up), cmocka_unit_test(parameters_get_their_columns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
