/* The readers of published examples: files as they should be, and damaged ones, which are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/files.h"
#include "suites/examples.h"
#include "suites/flip_flop_text.h"
#include "suites/mad/mad.h"
#include "suites/mad/mad_folder.h"
#include "suites/trial_setup.h"
#include "support/capture.h"
#include "support/examples.h"

enum { ROWS = 3, COLUMNS = 4, TOKENS = 8 };

static char folder[] = "/dev/shm/flame-suites-XXXXXX";
static const char good_header[] = "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 4), }";
static const int64_t inputs[ROWS * COLUMNS] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 7, 7};
static const int64_t targets[ROWS * COLUMNS] = {-100, 1, -100, 3, 7, -100, -100, 0, 1, 2, 3, -100};

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t bytes) {
    folder_create_above(path_of(name));
    file_remove(path_of(name));
    assert_int_equal(file_write_all(path_of(name), data, (int64_t)bytes), 0);
}

/* As NumPy writes it: the header is padded to a multiple of 64 bytes. Returns the bytes. */
static size_t make_array(const char *header, const int64_t *data, size_t count, char *file) {
    const size_t length = 128 - 10, text = strlen(header);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (char)length;
    file[9] = 0;
    memset(file + 10, ' ', length);
    memcpy(file + 10, header, text);
    file[127] = '\n';
    for (size_t i = 0; i < 8 * count; i++) file[128 + i] = (char)((uint64_t)data[i / 8] >> i % 8 * 8);
    return 128 + 8 * count;
}

static void write_array(const char *name, const char *header, const int64_t *data) {
    char file[1024];
    write_file(name, file, make_array(header, data, ROWS * COLUMNS, file));
}

/* Opens the part "train" and reads all of it; a message names the file. */
static Status read_folder(const char *file) {
    MadFolder *mad = NULL;
    int32_t x[16], y[16];
    char text[2048];
    Capture capture = capture_begin(2);
    Status status = mad_folder_open(folder, "train", &mad);
    assert_int_equal(status == OK, mad != NULL);
    for (int64_t i = 0; status == OK && i < mad_folder_examples(mad); i++)
        status = mad_folder_example(mad, i, TOKENS, (Example){.inputs = x, .labels = y});
    mad_folder_close(mad);
    capture_end(&capture, text, sizeof text);
    if (status != OK && !strstr(text, file)) fail_msg("no %s in: %s", file, text);
    if (status == OK) assert_string_equal(text, "");
    return status;
}

static void folders_of_mad_are_read(void **state) {
    (void)state;
    MadFolder *mad;
    int32_t x[COLUMNS], y[COLUMNS];
    write_array("test/inputs.npy", good_header, inputs);
    write_array("test/targets.npy", good_header, targets);
    assert_int_equal(mad_folder_open(folder, "test", &mad), OK);
    assert_int_equal(mad_folder_examples(mad), ROWS);
    assert_int_equal(mad_folder_length(mad), COLUMNS);
    for (int64_t i = ROWS - 1; i >= 0; i--) {
        assert_int_equal(mad_folder_example(mad, i, TOKENS, (Example){.inputs = x, .labels = y}), OK);
        for (int t = 0; t < COLUMNS; t++) {
            assert_int_equal(x[t], inputs[i * COLUMNS + t]);
            assert_int_equal(y[t], targets[i * COLUMNS + t]);
        }
    }
    mad_folder_close(mad);
}

static void damaged_arrays_are_refused(void **state) {
    (void)state;
    static const char *const headers[] = {
        "{'descr': '>i8', 'fortran_order': False, 'shape': (3, 4), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (6, 4), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }",
        "{'descr': '<i8', 'fortran_order': True, 'shape': (3, 4), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (12,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 4, 1), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 5), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 4), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (0, 4), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 0), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-3, -4), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999, 4), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 4), 'x': 1, }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 4), } x",
        "{'fortran_order': False, 'descr': '<i8', 'shape': (3, 4), }",
        "",
    };
    write_array("train/targets.npy", good_header, targets);
    for (int h = 0; h < LENGTH(headers); h++) {
        write_array("train/inputs.npy", headers[h], inputs);
        if (read_folder("train/inputs.npy") != BAD_INPUT) fail_msg("accepted: %s", headers[h]);
    }
    write_array("train/inputs.npy", good_header, inputs);
    assert_int_equal(read_folder(""), OK);
    write_array("train/targets.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (4, 3), }", targets);
    assert_int_equal(read_folder("train/targets.npy"), BAD_INPUT);
    file_remove(path_of("train/targets.npy"));
    assert_int_equal(read_folder("train/targets.npy"), BAD_INPUT);
}

/* Files that are too short or too long, and changes of each byte before the data. */
static void damaged_bytes_are_refused(void **state) {
    (void)state;
    char file[1024];
    const size_t bytes = make_array(good_header, inputs, ROWS * COLUMNS, file);
    write_array("train/targets.npy", good_header, targets);
    for (size_t length = 0; length <= bytes + 1; length += length == 128 ? 5 : 1) {
        if (length == bytes) continue;
        write_file("train/inputs.npy", file, length);
        assert_int_equal(read_folder("train/inputs.npy"), BAD_INPUT);
    }
    for (size_t i = 0; i < 128; i++) {
        const char before = file[i];
        file[i] = (char)(before ^ 0x11);
        write_file("train/inputs.npy", file, bytes);
        if (read_folder("train/") != BAD_INPUT) fail_msg("accepted with byte %d changed", (int)i);
        file[i] = 0;
        write_file("train/inputs.npy", file, bytes);
        if (before && read_folder("train/") != BAD_INPUT) fail_msg("accepted with byte %d zero", (int)i);
        file[i] = before;
    }
}

static void ids_outside_the_vocabulary_are_refused(void **state) {
    (void)state;
    static const int64_t wrong[] = {TOKENS, -1, -100, -101, INT64_C(1) << 32, INT64_MIN, INT64_MAX};
    for (int w = 0; w < LENGTH(wrong); w++) {
        int64_t changed[ROWS * COLUMNS];
        memcpy(changed, inputs, sizeof changed);
        changed[ROWS * COLUMNS - 1] = wrong[w];
        write_array("train/inputs.npy", good_header, changed);
        write_array("train/targets.npy", good_header, targets);
        assert_int_equal(read_folder("train/inputs.npy"), BAD_INPUT);
        write_array("train/inputs.npy", good_header, inputs);
        write_array("train/targets.npy", good_header, changed);
        assert_int_equal(read_folder("train/targets.npy"), wrong[w] == IGNORED_LABEL ? OK : BAD_INPUT);
    }
}

static Status read_text(const char *content, int64_t *examples) {
    FlipFlopText *text = NULL;
    int32_t x[16], y[16];
    char messages[2048];
    write_file("text", content, strlen(content));
    Capture capture = capture_begin(2);
    Status status = flip_flop_text_open(path_of("text"), &text);
    assert_int_equal(status == OK, text != NULL);
    *examples = text ? flip_flop_text_examples(text) : 0;
    for (int64_t i = 0; status == OK && i < *examples; i++)
        status = flip_flop_text_example(text, i, (Example){.inputs = x, .labels = y});
    flip_flop_text_close(text);
    capture_end(&capture, messages, sizeof messages);
    if (status != OK && !strstr(messages, path_of("text"))) fail_msg("no name of the file in: %s", messages);
    return status;
}

static void texts_of_flip_flop_are_read(void **state) {
    (void)state;
    static const int32_t x[2][8] = {{0, 4, 2, 3, 1, 4, 1, 4}, {0, 3, 0, 4, 2, 3, 1, 4}};
    static const int32_t y[2][8] = {{-100, -100, -100, -100, 4, -100, 4, -100},
                                    {-100, -100, -100, -100, -100, -100, 4, -100}};
    FlipFlopText *text;
    int32_t inputs_read[8], labels_read[8];
    static const char lines[] = "w1i0r1r1\nw0w1i0r1\n";
    for (size_t end = 0; end < 2; end++) { /* the last line with its end and without */
        write_file("text", lines, sizeof lines - 1 - end);
        assert_int_equal(flip_flop_text_open(path_of("text"), &text), OK);
        assert_int_equal(flip_flop_text_examples(text), 2);
        assert_int_equal(flip_flop_text_length(text), 8);
        for (int64_t i = 1; i >= 0; i--) {
            const Example e = {.inputs = inputs_read, .labels = labels_read};
            assert_int_equal(flip_flop_text_example(text, i, e), OK);
            assert_memory_equal(inputs_read, x[i], sizeof x[i]);
            assert_memory_equal(labels_read, y[i], sizeof y[i]);
        }
        flip_flop_text_close(text);
    }
}

static void damaged_texts_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "\n",
        "w",
        "w1r",
        "w1r1\nw1r1\n\n",
        "w1r1\nw1r1r1\n",
        "w1r1\nw1\nr1w1",
        "w1r1\r\n",
        "w1r0\n",
        "r1r1\n",
        "i1r1\n",
        "w1w1\n",
        "w1i1\n",
        "w2r2\n",
        "1wr1\n",
        "wwr1\n",
        "w1x1r1\n",
        "W1R1\n",
        "w1r1\nw1r1 ",
        "w1r1w1r1\nw1r1",
        "w1r1\nw1 1\n",
        "w0w1r0\n",
        "w1r1\n\nw1r",
        "w1r1\nw1r1x\nw1r",
    };
    int64_t examples;
    for (int i = 0; i < LENGTH(texts); i++)
        if (read_text(texts[i], &examples) != BAD_INPUT) fail_msg("accepted: %s", texts[i]);
    assert_int_equal(read_text("w1r1\nw0r0\nw0r0", &examples), OK);
    assert_int_equal(examples, 3);
    FlipFlopText *text = NULL;
    Capture capture = capture_begin(2);
    const Status status = flip_flop_text_open(path_of("missing"), &text);
    char messages[512];
    capture_end(&capture, messages, sizeof messages);
    assert_int_equal(status, BAD_INPUT);
    assert_non_null(strstr(messages, path_of("missing")));
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return folder_remove(folder);
}

enum { MANY = 120 };

/* MANY examples k m k m of memorization, whose last id is the mark m. */
static void write_many(const char *part, int64_t mark) {
    static int64_t data[2][MANY * COLUMNS];
    static const char *const files[] = {"inputs", "targets"};
    char name[64], bytes[128 + sizeof data[0]], header[128];
    snprintf(header, sizeof header, "{'descr': '<i8', 'fortran_order': False, 'shape': (%d, %d), }", MANY, COLUMNS);
    for (int i = 0; i < MANY * COLUMNS; i++) {
        data[0][i] = i % 2 ? mark : 0;
        data[1][i] = i % 2 ? mark - 1 : -100;
    }
    for (int f = 0; f < 2; f++) {
        snprintf(name, sizeof name, "many/%s/%s.npy", part, files[f]);
        write_file(name, bytes, make_array(header, data[f], MANY * COLUMNS, bytes));
    }
}

static Status open_many(const char *keys, char said[2048]) {
    char path[128];
    const Trial trial = {
        .suite = suite_find("mad"), .task = &memorization, .mixer = "gla", .setting = "", .user = keys};
    Examples *examples = NULL;
    void *config = NULL;
    snprintf(path, sizeof path, "%s/many", folder);
    assert_int_equal(trial_task(&trial, NULL, &config), OK);
    Capture capture = capture_begin(2);
    const Status status = examples_open(&memorization, config, COLUMNS, 0, "train", path, MANY, &examples);
    capture_end(&capture, said, 2048);
    examples_close(examples);
    task_config_free(&memorization, config);
    return status;
}

static void files_of_another_vocabulary_are_refused(void **state) {
    (void)state;
    char said[2048];
    write_many("train", 6);
    assert_int_equal(open_many("task.vocab_size=7 task.seq_len=4", said), OK);
    assert_int_equal(open_many("task.vocab_size=6 task.seq_len=4", said), BAD_INPUT);
    assert_int_equal(open_many("task.vocab_size=8 task.seq_len=4", said), BAD_INPUT);
    assert_non_null(
        strstr(said, "has ids up to 6 in the first examples to train, and memorization has 8 tokens by its keys"));
}

/* The generated tests of memorization would test another map than the files train. */
static void splits_of_another_map_are_left_out(void **state) {
    (void)state;
    Trial trial = {.suite = suite_find("mad"), .task = &memorization, .mixer = "gla", .setting = ""};
    uint32_t bits;
    char said[2048];
    trial.user = "training.splits=true";
    assert_int_equal(trial_left_out(&trial, &bits), OK);
    assert_int_equal(bits, 0);
    trial.user = "training.splits=true training.data=files";
    Capture capture = capture_begin(2);
    assert_int_equal(trial_left_out(&trial, &bits), OK);
    capture_end(&capture, said, sizeof said);
    assert_int_equal(bits, 1 << 1 | 1 << 2 | 1 << 3);
    assert_non_null(strstr(said, "memorization: the split length 4x is not in files"));
    trial.task = &selective_copying;
    assert_int_equal(trial_left_out(&trial, &bits), OK);
    assert_int_equal(bits, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_of_mad_are_read),
        cmocka_unit_test(damaged_arrays_are_refused),
        cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(texts_of_flip_flop_are_read),
        cmocka_unit_test(damaged_texts_are_refused),
        cmocka_unit_test(files_of_another_vocabulary_are_refused),
        cmocka_unit_test(splits_of_another_map_are_left_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
