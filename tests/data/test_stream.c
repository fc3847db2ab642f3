/* The sample stream: every token once per epoch, the same samples for any number of ranks and threads, labels and
 * packing, exact accounting. */
#include "data/tokens_fixture.h"

#include "data/pack.h"
#include "data/stream.h"

enum { T = 16, CHUNK = 2048 };

static Stream *open_stream(StreamOptions options, const char *path) {
    Stream *stream = NULL;
    if (path) options.files = &path;
    assert_int_equal(stream_open(&options, &stream), OK);
    return stream;
}

static StreamOptions small_options(void) {
    StreamOptions options = stream_default_options();
    options.seq_len = T;
    options.seed = 5;
    return options;
}

static void read_one(Stream *stream, int64_t sample, int32_t *tokens, int32_t *labels) {
    assert_int_equal(stream_read(stream, sample, 1, tokens, labels, NULL, NULL), OK);
}

static void in_order_samples_are_the_file(void **state) {
    (void)state;
    for (int width = 2; width <= 4; width += 2) {
        const char *path = fixture_path("order.h5");
        fixture_write(path, 1, 1, 5000, false, CHUNK, width);
        StreamOptions options = small_options();
        options.shuffle = false;
        Stream *stream = open_stream(options, path);
        assert_int_equal(stream_samples(stream), 4999 / T);
        int32_t tokens[3 * T], labels[3 * T];
        for (int64_t sample = 0; sample + 3 <= stream_samples(stream); sample += 3) {
            assert_int_equal(stream_read(stream, sample, 3, tokens, labels, NULL, NULL), OK);
            for (int64_t i = 0; i < 3 * T; i++) {
                assert_int_equal(tokens[i], fixture_token(1, sample * T + i));
                assert_int_equal(labels[i], fixture_token(1, sample * T + i + 1));
            }
        }
        stream_close(stream);
    }
}

/* A file in which token i has the value i, so that a sample shows its place in the file. */
static void write_places(const char *path, int64_t count) {
    TokensWriterOptions options = tokens_writer_bytes_options(path);
    options.chunk_tokens = CHUNK;
    options.width = 4;
    options.force = true;
    options.vocab_size = count;
    TokensWriter *writer;
    assert_int_equal(tokens_writer_open(&options, &writer), OK);
    for (int64_t i = 0; i < count; i++) {
        uint32_t token = (uint32_t)i;
        assert_int_equal(tokens_writer_add(writer, &token, 1), OK);
    }
    assert_int_equal(tokens_writer_finish(writer), OK);
}

static void each_epoch_has_every_window_once_in_another_order(void **state) {
    (void)state;
    const char *path = fixture_path("epoch.h5");
    write_places(path, 100000);
    Stream *stream = open_stream(small_options(), path);
    int64_t samples = stream_samples(stream), same = 0;
    int32_t *first = malloc((size_t)samples * sizeof *first), tokens[T], labels[T];
    for (int epoch = 0; epoch < 3; epoch++) {
        char *seen = calloc((size_t)samples, 1);
        for (int64_t i = 0; i < samples; i++) {
            read_one(stream, epoch * samples + i, tokens, labels);
            assert_int_equal(tokens[0] % T, 0);
            assert_false(seen[tokens[0] / T]++);
            for (int t = 0; t < T; t++) assert_int_equal(labels[t], tokens[0] + t + 1);
            same += epoch > 0 && first[i] == tokens[0];
            first[i] = tokens[0];
        }
        free(seen);
    }
    assert_in_range(same, 0, 16);
    free(first);
    stream_close(stream);
}

/* All of `samples` samples, read as `world` ranks with `threads` threads would, `count` at a time. */
static int32_t *read_as(const char *path, int world, int threads, int64_t count, int64_t samples) {
    int32_t *all = malloc((size_t)(samples * T) * sizeof *all), *labels = malloc((size_t)(count * T) * sizeof *labels);
    for (int rank = 0; rank < world; rank++) {
        StreamOptions options = small_options();
        options.threads = threads;
        Stream *stream = open_stream(options, path);
        for (int64_t sample = rank * count; sample < samples; sample += world * count)
            assert_int_equal(stream_read(stream, sample, count, all + sample * T, labels, NULL, NULL), OK);
        stream_close(stream);
    }
    free(labels);
    return all;
}

static void any_number_of_ranks_and_threads_gives_the_same_samples(void **state) {
    (void)state;
    enum { SAMPLES = 2400 };
    const char *path = fixture_path("ranks.h5");
    fixture_write(path, 2, 40, 700, true, CHUNK, 2);
    int32_t *expected = read_as(path, 1, 0, 1, SAMPLES);
    const int cases[][3] = {{1, 1, 1}, {1, 2, 8}, {2, 2, 4}, {3, 1, 2}, {4, 3, 1}, {8, 2, 3}};
    for (int i = 0; i < 6; i++) {
        int32_t *got = read_as(path, cases[i][0], cases[i][1], cases[i][2], SAMPLES);
        assert_memory_equal(got, expected, SAMPLES * T * sizeof *got);
        free(got);
    }
    free(expected);
}

static void a_seek_gives_what_reading_through_gives(void **state) {
    (void)state;
    enum { SAMPLES = 4000 };
    const char *path = fixture_path("seek.h5");
    fixture_write(path, 3, 1, 30000, false, CHUNK, 2);
    int32_t *expected = read_as(path, 1, 2, 4, SAMPLES);
    Stream *stream = open_stream(small_options(), path);
    int32_t tokens[T], labels[T];
    for (int64_t i = 0; i < 300; i++) {
        int64_t sample = (int64_t)(hash_mix(9, (uint64_t)i) % SAMPLES);
        read_one(stream, sample, tokens, labels);
        assert_memory_equal(tokens, expected + sample * T, sizeof tokens);
    }
    stream_close(stream);
    free(expected);
}

/* Four documents of 3, 5, 1 and 7 tokens, with the expected samples written out. */
static const uint64_t ends[] = {3, 8, 9, 16};
enum { X = IGNORED_LABEL };

typedef struct PackCase {
    PackOptions options;
    int64_t start;
    int32_t labels[8], segment[8], position[8];
} PackCase;

static const PackCase pack_cases[] = {
    {{8, 0, false, true}, 0, {1, 2, X, 4, 5, 6, 7, X}, {0}, {0, 1, 2, 3, 4, 5, 6, 7}},
    {{8, 0, false, false}, 0, {1, 2, 3, 4, 5, 6, 7, 8}, {0}, {0, 1, 2, 3, 4, 5, 6, 7}},
    {{8, 0, true, true}, 0, {1, 2, X, 4, 5, 6, 7, X}, {0, 0, 0, 1, 1, 1, 1, 1}, {0, 1, 2, 0, 1, 2, 3, 4}},
    {{8, 2, true, true}, 0, {1, 2, X, 4, 5, 6, 7, X}, {0, 0, 1, 2, 2, 3, 3, 4}, {0, 1, 0, 0, 1, 0, 1, 0}},
    {{8, 0, true, true}, 5, {6, 7, X, X, 10, 11, 12, 13}, {0, 0, 0, 1, 2, 2, 2, 2}, {0, 1, 2, 0, 0, 1, 2, 3}},
    {{7, 3, true, false}, 8, {9, 10, 11, 12, 13, 14, 15}, {0, 1, 1, 1, 2, 2, 2}, {0, 0, 1, 2, 0, 1, 2}},
    {{4, 0, true, true}, 9, {10, 11, 12, 13}, {0, 0, 0, 0}, {0, 1, 2, 3}},
};

static void packing_by_hand(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pack_cases / sizeof pack_cases[0]; i++) {
        const PackCase *row = &pack_cases[i];
        int32_t window[9], labels[8], segment[8], position[8];
        for (int t = 0; t <= row->options.seq_len; t++) window[t] = (int32_t)row->start + t;
        pack_window(&row->options, ends, 4, row->start, window, labels, segment, position);
        size_t bytes = (size_t)row->options.seq_len * sizeof *labels;
        assert_memory_equal(labels, row->labels, bytes);
        assert_memory_equal(segment, row->segment, bytes);
        assert_memory_equal(position, row->position, bytes);
        pack_window(&row->options, ends, 4, row->start, window, labels, NULL, NULL);
        assert_memory_equal(labels, row->labels, bytes);
    }
}

static void packing_through_the_stream(void **state) {
    (void)state;
    const char *path = fixture_path("packed.h5");
    fixture_write(path, 4, 30, 10, false, CHUNK, 2); /* documents of 10 tokens */
    StreamOptions options = small_options();
    options.shuffle = false;
    options.varlen = true;
    options.context_len = 4;
    Stream *stream = open_stream(options, path);
    int32_t tokens[T], labels[T], segment[T], position[T];
    for (int64_t sample = 0; sample < stream_samples(stream); sample++) {
        assert_int_equal(stream_read(stream, sample, 1, tokens, labels, segment, position), OK);
        for (int t = 0; t < T; t++) {
            int64_t place = sample * T + t;
            assert_int_equal(labels[t] == IGNORED_LABEL, place % 10 == 9);
            if (t > 0 && place % 10 == 0) assert_int_equal(position[t], 0);
            if (t == 0)
                assert_int_equal(segment[t], 0);
            else
                assert_int_equal(segment[t], segment[t - 1] + (position[t] == 0));
            assert_in_range(position[t], 0, 3);
        }
    }
    stream_close(stream);
}

static void accounting_is_exact_for_a_mixture(void **state) {
    (void)state;
    const char *files[] = {fixture_path("mix0.h5"), fixture_path("mix1.h5"), fixture_path("mix2.h5")};
    const int64_t lengths[] = {3000, 500, 9000};
    for (int file = 0; file < 3; file++) fixture_write(files[file], (uint64_t)file, 1, lengths[file], false, CHUNK, 2);
    const double probabilities[] = {0.5, 0.375, 0.125};
    for (int use = 0; use < 2; use++) {
        StreamOptions options = small_options();
        options.files = files;
        options.file_count = 3;
        options.probabilities = use ? probabilities : NULL;
        Stream *stream = open_stream(options, NULL);
        int64_t tokens[3], epoch = stream_samples(stream);
        assert_int_equal(epoch, 2999 / T + 499 / T + 8999 / T);
        stream_accounting(stream, use ? 8000 : epoch, tokens);
        for (int file = 0; file < 3; file++)
            assert_int_equal(tokens[file],
                             use ? (int64_t)(8000 * probabilities[file]) * T : (lengths[file] - 1) / T * T);
        stream_close(stream);
    }
}

static void in_order_files_follow_one_another(void **state) {
    (void)state;
    const char *files[] = {fixture_path("first.h5"), fixture_path("second.h5")};
    fixture_write(files[0], 10, 1, 3 * T + 1, false, CHUNK, 2);
    fixture_write(files[1], 11, 1, 2 * T + 1, false, CHUNK, 2);
    StreamOptions options = small_options();
    options.files = files;
    options.file_count = 2;
    options.shuffle = false;
    options.concatenate = true;
    Stream *stream = open_stream(options, NULL);
    assert_int_equal(stream_samples(stream), 5);
    int32_t tokens[7 * T], labels[7 * T];
    assert_int_equal(stream_read(stream, 0, 7, tokens, labels, NULL, NULL), OK);
    for (int64_t i = 0; i < 7 * T; i++) {
        int64_t place = i % (5 * T);
        uint32_t expected = place < 3 * T ? fixture_token(10, place) : fixture_token(11, place - 3 * T);
        assert_int_equal(tokens[i], expected);
    }
    stream_close(stream);
}

/* The first half of an epoch is the first half of each file; the epoch has every window once. */
static void in_order_files_take_turns_in_proportion(void **state) {
    (void)state;
    enum { FIRST = 20, SECOND = 4 };
    const char *files[] = {fixture_path("large.h5"), fixture_path("small.h5")};
    fixture_write(files[0], 10, 1, FIRST * T + 1, false, CHUNK, 2);
    fixture_write(files[1], 11, 1, SECOND * T + 1, false, CHUNK, 2);
    StreamOptions options = small_options();
    options.files = files;
    options.file_count = 2;
    options.shuffle = false;
    Stream *stream = open_stream(options, NULL);
    int64_t next[2] = {0, 0};
    for (int64_t sample = 0; sample < FIRST + SECOND; sample++) {
        const StreamPlace place = stream_place(stream, sample);
        assert_int_equal(place.start, T * next[place.file]++);
        if (sample + 1 != (FIRST + SECOND) / 2) continue;
        assert_int_equal(next[0], FIRST / 2);
        assert_int_equal(next[1], SECOND / 2);
    }
    assert_int_equal(next[0], FIRST);
    assert_int_equal(next[1], SECOND);
    stream_close(stream);
}

static void fingerprint_changes_with_what_changes_the_samples(void **state) {
    (void)state;
    const char *path = fixture_path("print.h5");
    fixture_write(path, 6, 3, 1000, true, CHUNK, 2);
    StreamOptions options = small_options();
    uint64_t prints[4];
    for (int i = 0; i < 4; i++) {
        options.threads = i == 1 ? 0 : 2;
        options.seed = i == 2 ? 77 : 5;
        if (i == 3) fixture_write(path, 7, 3, 1000, true, CHUNK, 2);
        Stream *stream = open_stream(options, path);
        prints[i] = stream_facts(stream)->fingerprint;
        stream_close(stream);
    }
    assert_true(prints[0] == prints[1]);
    assert_true(prints[0] != prints[2]);
    assert_true(prints[0] != prints[3]);
}

static void expect_refusal(StreamOptions options, const char *path, const char *message) {
    Stream *stream;
    if (path) options.files = &path;
    capture_begin();
    Status status = stream_open(&options, &stream);
    const char *text = capture_end();
    assert_int_equal(status, BAD_INPUT);
    assert_mentions(text, message);
}

static void unusable_options_and_files_are_refused(void **state) {
    (void)state;
    const char *files[] = {fixture_path("a.h5"), fixture_path("b.h5")};
    fixture_write(files[0], 1, 1, 100, false, CHUNK, 2);
    write_places(files[1], 500);
    StreamOptions options = small_options();
    options.seq_len = 100;
    expect_refusal(options, files[0], "fewer than one sample");
    options.seq_len = 99;
    stream_close(open_stream(options, files[0]));
    options.vocab_size = 256;
    expect_refusal(options, files[0], "model.vocab_size");
    options = small_options();
    options.seq_len = 0;
    expect_refusal(options, files[0], "seq_len");
    options = small_options();
    options.files = files;
    options.file_count = 2;
    expect_refusal(options, NULL, "b.h5: made by another tokenizer (bytes, 500 tokens, bos 256, eos 257) than ");
    const char *link = fixture_path("link.h5"), *same[] = {files[0], link};
    assert_int_equal(symlink(files[0], link), 0);
    options.files = same;
    options.seq_len = 50;
    expect_refusal(options, NULL, "link.h5: is listed twice (file 1 and file 2 are both");
    options.files = files;
    options.probabilities = (double[]){1, -1};
    expect_refusal(options, NULL, "probability is negative");
    options.probabilities = (double[]){1, 0.0 / 0.0};
    expect_refusal(options, NULL, "not a number");
    options.probabilities = (double[]){0, 0};
    expect_refusal(options, NULL, "greater than 0");
    options.probabilities = (double[]){1, 1.0 / 0.0};
    expect_refusal(options, NULL, "finite");
    options.file_count = 0;
    expect_refusal(options, NULL, "no data file");
}

static void a_replaced_or_touched_file_stops_the_stream(void **state) {
    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        const char *path = fixture_path("replaced.h5");
        fixture_write(path, 8, 1, 30 * CHUNK, false, CHUNK, 2);
        StreamOptions options = small_options();
        options.shuffle = false;
        options.threads = threads;
        Stream *stream = open_stream(options, path);
        int32_t tokens[T], labels[T];
        read_one(stream, 0, tokens, labels);
        fixture_write(path, 9, 1, 30 * CHUNK, false, CHUNK, 2);
        capture_begin();
        Status status = stream_read(stream, stream_samples(stream) - 1, 1, tokens, labels, NULL, NULL);
        const char *text = capture_end();
        assert_int_equal(status, IO_ERROR);
        assert_mentions(text, "was replaced or changed");
        stream_close(stream);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_samples_are_the_file),
        cmocka_unit_test(each_epoch_has_every_window_once_in_another_order),
        cmocka_unit_test(any_number_of_ranks_and_threads_gives_the_same_samples),
        cmocka_unit_test(a_seek_gives_what_reading_through_gives),
        cmocka_unit_test(packing_by_hand),
        cmocka_unit_test(packing_through_the_stream),
        cmocka_unit_test(accounting_is_exact_for_a_mixture),
        cmocka_unit_test(in_order_files_follow_one_another),
        cmocka_unit_test(in_order_files_take_turns_in_proportion),
        cmocka_unit_test(fingerprint_changes_with_what_changes_the_samples),
        cmocka_unit_test(unusable_options_and_files_are_refused),
        cmocka_unit_test(a_replaced_or_touched_file_stops_the_stream),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
