/* The meter's counts for small kernels whose accesses to memory are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meter/counted.h"
#include "meter/estimate.h"
#include "meter/meter.h"

#define COUNTED(name)                                                                                                  \
    EmulatorProgram name##_emu_bf16;                                                                                   \
    extern const int64_t name##_argument_bytes;
COUNTED(counted_narrow)
COUNTED(counted_stride)
COUNTED(counted_conflict)
COUNTED(counted_load)
COUNTED(counted_product)
COUNTED(counted_grid)
COUNTED(counted_groups)
COUNTED(counted_chain)
COUNTED(counted_twice)
COUNTED(counted_arithmetic)

static CountedArguments arguments;

static int arrays_create(void **state) {
    (void)state;
    arguments.f = meter_allocate(1 << 20);
    arguments.elements = meter_allocate(1 << 20);
    arguments.out = meter_allocate(1 << 20);
    arguments.stride = 128;
    return arguments.f && arguments.elements && arguments.out ? 0 : -1;
}

static int arrays_release(void **state) {
    (void)state;
    meter_release_all();
    return 0;
}

#define LAUNCH(name, grid) meter_launch((MeterKernel){#name, name##_emu_bf16, name##_argument_bytes}, grid, &arguments)
static const Grid one = {1, 1, 1};

#define assert_count(expected, counted) assert_float_equal(expected, counted, 1e-6)

static void few_threads_at_work(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_narrow, one);
    assert_count(64, m->work);
    assert_count(256, m->busiest); /* 25 % */
    assert_count(2, m->requests);
    assert_count(128, m->read_bytes);
    assert_count(128, m->written_bytes);
    assert_count(256, m->distinct_bytes);
    assert_count(0, m->barriers);
    assert_count(0, m->vector_bytes);
}

static void gaps_cost_sectors(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_stride, one);
    assert_count(1024, m->read_bytes);
    assert_count(512, m->written_bytes);
    assert_count(256, m->work);
    assert_count(256, m->busiest);
}

static void words_of_one_bank_wait(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_conflict, one);
    assert_count(8 + 4 * 2, m->wavefronts); /* 8 writes, 4 reads in two turns */
    assert_count(4, m->extra_wavefronts);
    assert_count(1, m->barriers);
    assert_count(1024, m->shared_bytes);
}

static void aligned_loads_move_vectors(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_load, one);
    assert_count(32 * 128, m->read_bytes);
    assert_count(32 * 128, m->vector_bytes);
    assert_count(32 * 128 + 128, m->moved_bytes);
    assert_count(256 / 8 + 4, m->wavefronts); /* 8 pieces of 16 bytes at once; the column of a padded tile */
    assert_count(3, m->extra_wavefronts);     /* its rows are 36 words apart: 4 of 32 in the same bank */
}

static void odd_rows_move_no_vectors(void **state) {
    (void)state;
    arguments.stride = 127;
    const Meter *m = LAUNCH(counted_load, one);
    arguments.stride = 128;
    assert_count(0, m->vector_bytes);
    assert_true(m->requests > 64);
}

static void products_by_warp(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_product, one);
    assert_count(4 * 8 * 2, m->mma); /* 64 x 64 x 32 in 16 x 8 x 16 */
    assert_count(1, m->barriers);
    assert_count(64 * 64 * 4, m->written_bytes);
    assert_count(0, m->read_bytes);
    /* EACH_TILE: 8 pieces of `left` are 2 rows 20 words apart, which share 4 banks. ldmatrix: none. */
    assert_count(2 * 64 * 32 / 64, m->extra_wavefronts);
    assert_count(m->work, m->busiest);
}

static void programs_share_what_they_read(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_grid, ((Grid){4, 6, 1}));
    assert_count(24, m->programs);
    assert_count(512, m->read_bytes);
    assert_count(512 + 24 * 512, m->distinct_bytes);
}

static void groups_of_programs_share_what_they_read(void **state) {
    (void)state;
    assert_count((4 + 16) * 512, LAUNCH(counted_groups, ((Grid){1, 1, 16}))->distinct_bytes);
    assert_count((3 + 12) * 512, LAUNCH(counted_groups, ((Grid){1, 1, 12}))->distinct_bytes);
}

static void dependent_steps(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_chain, one);
    assert_count(2 + 63 + 1, m->chain); /* two barriers, each element after the one before, the last reads */
    assert_count(2, m->barriers);
}

static void cached_reads_stay_inside(void **state) {
    (void)state;
    const Meter *m = LAUNCH(counted_twice, one);
    assert_count(4096, m->read_bytes);
    assert_count(2 * 4096 + 32, m->moved_bytes);
    assert_count(4, m->barriers);
}

static void arithmetic_takes_instructions(void **state) {
    (void)state;
    const Meter few = *LAUNCH(counted_narrow, one), many = *LAUNCH(counted_arithmetic, one);
    assert_count(few.work, many.work);
    assert_true(many.instructions > few.instructions + 3 * 4);
    assert_true(many.cycles > few.cycles);
}

static void programs_of_a_multiprocessor(void **state) {
    (void)state;
    assert_int_equal(16, estimate_programs_per_sm(32, 0));
    assert_int_equal(4, estimate_programs_per_sm(128, 0));
    assert_int_equal(2, estimate_programs_per_sm(128, 100864));
    assert_count(2, estimate_waves(&(Meter){.programs = 528}, 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(few_threads_at_work),
                                       cmocka_unit_test(gaps_cost_sectors),
                                       cmocka_unit_test(words_of_one_bank_wait),
                                       cmocka_unit_test(aligned_loads_move_vectors),
                                       cmocka_unit_test(odd_rows_move_no_vectors),
                                       cmocka_unit_test(products_by_warp),
                                       cmocka_unit_test(programs_share_what_they_read),
                                       cmocka_unit_test(groups_of_programs_share_what_they_read),
                                       cmocka_unit_test(dependent_steps),
                                       cmocka_unit_test(cached_reads_stay_inside),
                                       cmocka_unit_test(arithmetic_takes_instructions),
                                       cmocka_unit_test(programs_of_a_multiprocessor)};
    return cmocka_run_group_tests(tests, arrays_create, arrays_release);
}
