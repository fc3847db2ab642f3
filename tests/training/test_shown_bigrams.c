/* Pairs of tokens in training data, against a table of all pairs. */
#include "data/tokens_fixture.h"

#include "training/shown_bigrams.h"

enum { T = 16, TOKENS = 3000, VOCABULARY = 300, RARE = 2 };

static Stream *open_file(const char *path) {
    StreamOptions options = stream_default_options();
    Stream *stream = NULL;
    options.files = &path;
    options.seq_len = T;
    options.shuffle = false;
    assert_int_equal(stream_open(&options, &stream), OK);
    return stream;
}

/* Calls that count each pair of a fixture's full windows. */
static void count_pairs(int64_t seed, int table[VOCABULARY][VOCABULARY]) {
    for (int64_t i = 0; i < (TOKENS - 1) / T * T; i++)
        table[fixture_token((uint64_t)seed, i)][fixture_token((uint64_t)seed, i + 1)]++;
}

static void pairs_of_two_files(void **state) {
    (void)state;
    static int asked[VOCABULARY][VOCABULARY], shown_times[VOCABULARY][VOCABULARY];
    enum { ASKED = 1, TRAINING = 2 };
    const char *data = fixture_path("data.h5"), *training = fixture_path("training.h5");
    fixture_write(data, ASKED, 1, TOKENS, false, 2048, 2);
    fixture_write(training, TRAINING, 1, TOKENS, false, 2048, 2);
    count_pairs(ASKED, asked);
    count_pairs(TRAINING, shown_times);
    Comm *comm = comm_self_create();
    Stream *evaluation = open_file(data), *stream = open_file(training);
    ShownBigrams *shown;
    assert_int_equal(shown_bigrams_count(comm, evaluation, stream, RARE, &shown), OK);
    int64_t pairs = 0, rare = 0, never = 0;
    for (int a = 0; a < VOCABULARY; a++)
        for (int b = 0; b < VOCABULARY; b++) {
            const int64_t number = bigrams_number(shown->asked, a, b);
            assert_int_equal(number >= 0, asked[a][b] > 0);
            if (number < 0) continue;
            pairs++;
            never += shown_times[a][b] == 0;
            rare += shown_times[a][b] <= RARE;
            assert_int_equal(shown->times[number], shown_times[a][b]);
            assert_int_equal(shown_bigrams_is_rare(shown, a, b), shown_times[a][b] <= RARE);
        }
    assert_int_equal(pairs, bigrams_count(shown->asked));
    assert_true(0 < never && never < rare && rare < pairs);
    shown_bigrams_free(shown);
    stream_close(evaluation);
    stream_close(stream);
    comm_destroy(comm);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pairs_of_two_files)};
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
