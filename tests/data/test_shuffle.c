/* Permutations are bijections; an epoch visits each window once, pool by pool; mixing gives exact counts. */
#include "data/tokens_fixture.h"

#include "data/mixture.h"

static void permutation_is_a_bijection_with_its_inverse(void **state) {
    (void)state;
    for (uint64_t count = 1; count < 700; count += count < 70 ? 1 : 37) {
        Permutation permutation = permutation_make(count, 11 * count);
        bool *seen = calloc(count, 1);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t image = permutation_apply(&permutation, i);
            assert_true(image < count);
            assert_false(seen[image]);
            seen[image] = true;
            assert_int_equal(permutation_invert(&permutation, image), i);
        }
        free(seen);
    }
}

static void permutation_of_huge_counts_stays_inside(void **state) {
    (void)state;
    Permutation permutation = permutation_make(UINT64_C(3) << 60, 5);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t image = permutation_apply(&permutation, i * 0x1234567890abu);
        assert_true(image < permutation.count);
        assert_int_equal(permutation_invert(&permutation, image), i * 0x1234567890abu);
    }
}

static void each_epoch_visits_every_window_once(void **state) {
    (void)state;
    for (int64_t windows = 1; windows < 400; windows += 13)
        for (int64_t block = 1; block <= 20; block += 3)
            for (int64_t pool = 1; pool <= 9; pool += 4) {
                Shuffle shuffle = {windows, block, pool, 42};
                char seen[400] = {0};
                for (int64_t i = 0; i < windows; i++) {
                    int64_t window = shuffle_window(&shuffle, 3, i);
                    assert_in_range(window, 0, windows - 1);
                    assert_false(seen[window]++);
                }
            }
}

static void a_pool_touches_only_its_blocks(void **state) {
    (void)state;
    enum { WINDOWS = 1000, BLOCK = 10, POOL = 4 };
    Shuffle shuffle = {WINDOWS, BLOCK, POOL, 7};
    for (int64_t pool = 0; pool < WINDOWS / (BLOCK * POOL); pool++) {
        char blocks[WINDOWS / BLOCK] = {0};
        int touched = 0;
        for (int64_t i = 0; i < BLOCK * POOL; i++) {
            int64_t block = shuffle_window(&shuffle, 0, pool * BLOCK * POOL + i) / BLOCK;
            touched += !blocks[block]++;
        }
        assert_int_equal(touched, POOL);
    }
}

static void epochs_and_seeds_differ_and_neighbours_part(void **state) {
    (void)state;
    enum { WINDOWS = 4096 };
    Shuffle shuffle = {WINDOWS, 128, 32, 1}, other = shuffle;
    other.key = 2;
    int same_epoch = 0, same_seed = 0, neighbours = 0;
    for (int64_t i = 0; i + 1 < WINDOWS; i++) {
        int64_t window = shuffle_window(&shuffle, 0, i);
        same_epoch += window == shuffle_window(&shuffle, 1, i);
        same_seed += window == shuffle_window(&other, 0, i);
        neighbours += window + 1 == shuffle_window(&shuffle, 0, i + 1);
    }
    /* One of each is what a random order has on average; 12 has probability below 1e-9. */
    assert_in_range(same_epoch, 0, 12);
    assert_in_range(same_seed, 0, 12);
    assert_in_range(neighbours, 0, 12);
}

/* Counts the samples of each file one by one, for comparison. */
static void check_mixture(const Mixture *mixture, int64_t samples) {
    int64_t next[8] = {0}, counts[8];
    for (int64_t sample = 0; sample < samples; sample++) {
        mixture_counts(mixture, sample, counts);
        for (int file = 0; file < mixture->count; file++) assert_int_equal(counts[file], next[file]);
        int64_t index;
        int file = mixture_file(mixture, sample, &index);
        assert_int_equal(index, next[file]++);
    }
}

static void mixing_counts_are_exact(void **state) {
    (void)state;
    int64_t weights[][4] = {{1}, {7, 3}, {1, 1, 1}, {5, 1, 900, 44}, {0, 3, 0, 2}, {4, 1, 0, 0}};
    int counts[] = {1, 2, 3, 4, 4, 4};
    for (int i = 0; i < 6; i++) {
        Mixture mixture = {.count = counts[i], .weight = weights[i]};
        for (int file = 0; file < mixture.count; file++) mixture.total += weights[i][file];
        check_mixture(&mixture, 3000);
        int64_t got[4];
        mixture_counts(&mixture, mixture.total * 10, got);
        for (int file = 0; file < mixture.count; file++) assert_int_equal(got[file], 10 * weights[i][file]);
        mixture.concatenate = true;
        check_mixture(&mixture, 3000);
    }
}

static void mixing_stays_near_its_shares_for_huge_sample_numbers(void **state) {
    (void)state;
    int64_t weights[] = {1 << 29, 1 << 28, 1 << 28}, counts[3];
    Mixture mixture = {.count = 3, .weight = weights, .total = 1 << 30};
    int64_t sample = INT64_C(1) << 50;
    mixture_counts(&mixture, sample + 1, counts);
    assert_int_equal(counts[0] + counts[1] + counts[2], sample + 1);
    assert_in_range(counts[0], sample / 2, sample / 2 + 1);
    assert_in_range(counts[1], sample / 4, sample / 4 + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutation_is_a_bijection_with_its_inverse),
        cmocka_unit_test(permutation_of_huge_counts_stays_inside),
        cmocka_unit_test(each_epoch_visits_every_window_once),
        cmocka_unit_test(a_pool_touches_only_its_blocks),
        cmocka_unit_test(epochs_and_seeds_differ_and_neighbours_part),
        cmocka_unit_test(mixing_counts_are_exact),
        cmocka_unit_test(mixing_stays_near_its_shares_for_huge_sample_numbers),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
