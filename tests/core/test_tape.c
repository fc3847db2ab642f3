/* On the counting device, where gradients may lie at address 0, the tape asks for the same memory as a real run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/ops.h"

enum { ROWS = 8, COLS = 16 };

static float memory[4][ROWS * COLS];

/* A block without an MLP, z = x + norm(x): the peak of scratch over forward and backward. */
static int64_t scratch_peak(const Device *device, bool computes) {
    static const int32_t ids[ROWS];
    const Batch batch = {
        .B = 1, .T = ROWS, .tokens = ids, .labels = ids, .segment = ids, .position = ids, .by_token = ids};
    static Tape tape;
    Arena keep = computes ? arena_create("keep", device, 1 << 16) : arena_counting("keep", device);
    Arena scratch = computes ? arena_create("scratch", device, 1 << 16) : arena_counting("scratch", device);
    Tensor x = tensor_of(memory[0], ROWS, COLS, F32), weight = tensor_of(memory[1], 1, COLS, F32);
    weight.parameter = true;
    weight.gradient = memory[2];
    tape_begin(&tape, device, &keep, &scratch, F32, &batch, true, RECOMPUTE_NONE);
    Tensor *z = add(&tape, &x, rms_norm(&tape, &x, NULL, &weight, 1e-6f, NULL));
    tape_seed_gradient(z, computes ? memory[3] : NULL);
    tape_backward(&tape);
    const int64_t peak = scratch.peak;
    arena_destroy(&keep);
    arena_destroy(&scratch);
    return peak;
}

static void counts_what_it_takes(void **state) {
    (void)state;
    assert_int_equal(scratch_peak(device_counting(false), false), scratch_peak(device_cpu(), true));
}

/* Sizes that overflow are negative; those of layers add up. */
static void a_count_stays_at_the_most(void **state) {
    (void)state;
    Arena arena = arena_counting("memory", device_counting(false));
    arena_push(&arena, 100);
    const int64_t mark = arena_mark(&arena);
    arena_push(&arena, INT64_MAX - 50);
    arena_push(&arena, INT64_MIN / 2);
    arena_push(&arena, INT64_MAX / 2);
    assert_true(arena.peak >= INT64_C(1) << 56 && arena.peak < INT64_MAX / 16);
    arena_rewind(&arena, mark);
    arena_push(&arena, 64);
    assert_int_equal(arena.used, mark + 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_what_it_takes),
                                       cmocka_unit_test(a_count_stays_at_the_most)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
