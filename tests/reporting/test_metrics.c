/* The metrics that a run writes, read back with code other than the program's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <dirent.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/signals.h"
#include "support/temporary.h"
#include "support/capture.h"
#include "reporting/metrics.h"
#include "reporting/tensorboard.h"

static const char *run = "this";

static Metrics *open_metrics(int64_t resumed_step) {
    const MetricsOptions options = {.folder = temporary_folder,
                                    .tb_folder = "tb",
                                    .run = run,
                                    .new_run = resumed_step == 0,
                                    .resumed_step = resumed_step,
                                    .steps = 100};
    Metrics *metrics = NULL;
    assert_int_equal(metrics_open(&options, &metrics), OK);
    return metrics;
}

static StepMetrics some_step(int64_t step) {
    return (StepMetrics){.step = step,
                         .tokens = step * 4096,
                         .loss = 2.5 + 1.0 / (double)step,
                         .grad_norm = 0.75,
                         .lr = 3e-4,
                         .tokens_per_second = 123456.5,
                         .mfu = 0.45,
                         .step_seconds = 0.5,
                         .data_seconds = 0.005,
                         .memory_bytes = 1 << 28,
                         .skipped_steps = 2,
                         .eta_seconds = 3723};
}

static void log_step(Metrics *metrics, int64_t number) {
    const StepMetrics step = some_step(number);
    metrics_step(metrics, &step);
}

static char *read_all(const char *name, size_t *bytes) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", temporary_folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    *bytes = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    return text;
}

/* The objects of a file of lines. */
static json_t *read_lines(const char *name) {
    size_t bytes = 0;
    char *text = read_all(name, &bytes);
    json_t *lines = json_array();
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(object);
        json_array_append_new(lines, object);
    }
    free(text);
    return lines;
}

static void expect_steps_of(const char *name, const int *steps, int count) {
    json_t *lines = read_lines(name);
    assert_int_equal(json_array_size(lines), count);
    for (int i = 0; i < count; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, (size_t)i), "step")), steps[i]);
    json_decref(lines);
}

static void expect_steps(const int *steps, int count) { expect_steps_of("metrics.jsonl", steps, count); }

static void test_lines(void **state) {
    (void)state;
    static const char *const keys[] = {
        "step", "tokens",       "loss",         "grad_norm",    "lr",           "tokens_per_second",
        "mfu",  "step_seconds", "data_seconds", "memory_bytes", "skipped_steps"};
    char shown[4096];
    Capture capture = capture_begin(1);
    Metrics *metrics = open_metrics(0);
    StepMetrics step = some_step(1);
    metrics_step(metrics, &step);
    step.loss = NAN;
    step.grad_norm = INFINITY;
    step.step = 2;
    metrics_step(metrics, &step);
    metrics_live(metrics, &step);
    metrics_validation(metrics, 2, 8192, 3.25);
    metrics_note(metrics, "saved %d", 7);
    metrics_step(NULL, &step);
    metrics_close(metrics);
    capture_end(&capture, shown, sizeof shown);
    json_t *lines = read_lines("metrics.jsonl"), *first = json_array_get(lines, 0), *second = json_array_get(lines, 1);
    json_t *validation = json_array_get(lines, 2);
    assert_int_equal(json_array_size(lines), 3);
    assert_int_equal(json_object_size(first), 12);
    assert_string_equal(json_string_value(json_object_get(first, "run")), "this");
    assert_int_equal(json_object_size(second), 11);
    for (int i = 0; i < 11; i++) assert_true(json_is_number(json_object_get(first, keys[i])));
    assert_true(json_real_value(json_object_get(first, "loss")) == 3.5);
    assert_true(json_real_value(json_object_get(first, "lr")) == 3e-4);
    assert_int_equal(json_integer_value(json_object_get(first, "memory_bytes")), 1 << 28);
    assert_true(json_is_null(json_object_get(second, "loss")));
    assert_true(json_is_null(json_object_get(second, "grad_norm")));
    assert_int_equal(json_object_size(validation), 3);
    assert_true(json_real_value(json_object_get(validation, "val_loss")) == 3.25);
    json_decref(lines);
    size_t bytes = 0;
    char *text = read_all("train.log", &bytes);
    assert_string_equal(text, shown);
    assert_non_null(strstr(text,
                           "step      1/100  loss 3.5000  grad norm 0.750  lr 3.00e-04  123.5k tokens/s  MFU 45.0%"
                           "  memory 268 MB  data 1.0%  eta 1:02:03  skipped 2\n"));
    assert_non_null(strstr(text, "validation loss 3.2500  perplexity 25.79\nsaved 7\n"));
    free(text);
}

static void append_text(const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/metrics.jsonl", temporary_folder);
    FILE *file = fopen(path, "ab");
    fputs(text, file);
    fclose(file);
}

/* A run that continues from step 4: the lines of steps 5 and 6 are marked as void, the truncated line is removed, and
 * the next line is step 5. */
static void test_resume(void **state) {
    (void)state;
    char shown[8192], path[512];
    snprintf(path, sizeof path, "%s/metrics.jsonl", temporary_folder);
    remove(path); /* of other tests */
    Capture capture = capture_begin(1);
    Metrics *metrics = open_metrics(0);
    for (int s = 1; s <= 4; s++) log_step(metrics, s);
    metrics_validation(metrics, 4, 4 * 4096, 3);
    for (int s = 5; s <= 6; s++) log_step(metrics, s);
    metrics_close(metrics);
    append_text("{\"step\": 3, \"tok");
    metrics = open_metrics(4);
    log_step(metrics, 5);
    metrics_close(metrics);
    expect_steps((int[]){1, 2, 3, 4, 4, 5}, 6);
    append_text("{\"step\": 6, \"tok");
    metrics_close(open_metrics(90));
    expect_steps((int[]){1, 2, 3, 4, 4, 5}, 6);
    metrics = open_metrics(0); /* a new run */
    log_step(metrics, 10);
    metrics_close(metrics);
    capture_end(&capture, shown, sizeof shown);
    expect_steps((int[]){10}, 1);
    expect_steps_of("metrics.jsonl.old", (int[]){1, 2, 3, 4, 4, 5}, 6);
    expect_steps_of("metrics.void.jsonl", (int[]){5, 6}, 2);
    capture = capture_begin(1);
    for (int run = 11; run <= 12; run++) { /* neither overwrites what is older */
        metrics = open_metrics(0);
        log_step(metrics, run);
        metrics_close(metrics);
    }
    capture_end(&capture, shown, sizeof shown);
    expect_steps((int[]){12}, 1);
    expect_steps_of("metrics.jsonl.old", (int[]){1, 2, 3, 4, 4, 5}, 6);
    expect_steps_of("metrics.jsonl.old-2", (int[]){10}, 1);
    expect_steps_of("metrics.jsonl.old-3", (int[]){11}, 1);
}

/* A run that goes back to step 0: its lines are void, and those of no other run. */
static void test_back_to_the_beginning(void **state) {
    (void)state;
    char shown[8192], path[512];
    for (int i = 0; i < 2; i++) { /* what other tests have left */
        snprintf(path, sizeof path, "%s/metrics.%s", temporary_folder, i ? "jsonl" : "void.jsonl");
        remove(path);
    }
    Capture capture = capture_begin(1);
    Metrics *metrics = open_metrics(0);
    for (int s = 1; s <= 3; s++) log_step(metrics, s);
    assert_int_equal(metrics_rewind(metrics, 0), OK);
    log_step(metrics, 1);
    metrics_close(metrics);
    capture_end(&capture, shown, sizeof shown);
    expect_steps((int[]){1}, 1);
    expect_steps_of("metrics.void.jsonl", (int[]){1, 2, 3}, 3);
    snprintf(path, sizeof path, "%s/metrics.jsonl", temporary_folder);
    remove(path);
}

/* A run that continues in a folder that another run has used since: the lines of that run are kept apart, also if it
 * has no name. */
static void test_other_run(void **state) {
    (void)state;
    char shown[8192];
    const char *const names[] = {"other", "", "this"};
    Capture capture = capture_begin(1);
    for (int i = 0; i < 3; i++) {
        run = names[i];
        Metrics *metrics = open_metrics(2);
        log_step(metrics, 3 + i);
        metrics_close(metrics);
        metrics = open_metrics(3 + i);
        log_step(metrics, 4 + i);
        metrics_close(metrics);
        expect_steps((int[]){3 + i, 4 + i}, 2);
    }
    capture_end(&capture, shown, sizeof shown);
    expect_steps_of("metrics.jsonl.old-4", (int[]){12}, 1);
    expect_steps_of("metrics.jsonl.old-5", (int[]){3, 4}, 2);
    expect_steps_of("metrics.jsonl.old-6", (int[]){4, 5}, 2);
}

/* A full disk, imitated by a limit on the size of files: only whole lines are written, there is one warning, and
 * writing continues afterwards. */
static int run_out_of_space(void) {
    char message[4096], shown[8192];
    signals_ignore_size_limit();
    Capture capture = capture_begin(2), output = capture_begin(1);
    Metrics *metrics = open_metrics(0);
    log_step(metrics, 1);
    struct rlimit limit = {300, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int s = 2; s <= 5; s++) log_step(metrics, s);
    size_t bytes = 0;
    char *whole = read_all("metrics.jsonl", &bytes);
    const bool cut = bytes == 0 || whole[bytes - 1] != '\n';
    free(whole);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    log_step(metrics, 6);
    metrics_close(metrics);
    capture_end(&output, shown, sizeof shown);
    capture_end(&capture, message, sizeof message);
    const char *warning = strstr(message, "metrics.jsonl: a record is lost");
    if (!warning || strstr(warning + 1, "metrics.jsonl: a record is lost")) return 1;
    return cut ? 2 : 0;
}

static void test_full_disk(void **state) {
    (void)state;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) _exit(run_out_of_space());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_steps((int[]){1, 6}, 2);
}

static uint64_t little(const unsigned char *bytes, int count) {
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

static uint32_t unmasked(uint64_t masked) {
    const uint32_t rotated = (uint32_t)masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

static uint64_t varint(const unsigned char **at) {
    uint64_t value = 0;
    int shift = 0;
    for (; **at & 0x80; (*at)++, shift += 7) value |= (uint64_t)(**at & 0x7f) << shift;
    value |= (uint64_t)(**at & 0x7f) << shift;
    (*at)++;
    return value;
}

/* The step of an event and its scalar of the given tag, parsed from the protobuf messages. */
typedef struct Event {
    int64_t step;
    int session_starts, scalars;
    float loss;
} Event;

static void parse_fields(const unsigned char *at, const unsigned char *end, int level, Event *event, char tag[64]) {
    while (at < end) {
        const uint64_t key = varint(&at);
        const int field = (int)(key >> 3), wire = (int)(key & 7);
        uint64_t length = wire == 1 ? 8 : wire == 5 ? 4 : 0;
        const uint64_t value = wire == 0 ? varint(&at) : 0;
        if (wire == 2) length = varint(&at);
        assert_true(length <= (uint64_t)(end - at));
        if (level == 0 && field == 2) event->step = (int64_t)value;
        if (level == 0 && field == 7) event->session_starts += at[0] == 8 && at[1] == 1;
        if (level == 0 && field == 5) parse_fields(at, at + length, 1, event, tag);
        if (level == 1 && field == 1) parse_fields(at, at + length, 2, event, tag);
        if (level == 2 && field == 1) snprintf(tag, 64, "%.*s", (int)length, (const char *)at);
        if (level == 2 && field == 2) {
            event->scalars++;
            if (strcmp(tag, "loss/train") == 0) memcpy(&event->loss, at, 4);
        }
        at += length;
    }
    assert_ptr_equal(at, end);
}

static void remove_event_files(void) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s/tb", temporary_folder);
    assert_int_equal(system(command), 0);
}

static unsigned char *read_event_file(size_t *bytes) {
    char path[300], name[512] = "";
    snprintf(path, sizeof path, "%s/tb", temporary_folder);
    DIR *tb = opendir(path);
    for (struct dirent *entry; (entry = readdir(tb));)
        if (strstr(entry->d_name, "tfevents")) snprintf(name, sizeof name, "tb/%.200s", entry->d_name);
    closedir(tb);
    return (unsigned char *)read_all(name, bytes);
}

static void test_event_file(void **state) {
    (void)state;
    static const unsigned char nines[] = "123456789";
    assert_int_equal(crc32c(nines, 9), 0xe3069283u); /* the check value of CRC-32C */
    char shown[4096];
    remove_event_files();
    Capture capture = capture_begin(1);
    Metrics *metrics = open_metrics(2);
    log_step(metrics, 300);
    metrics_close(metrics);
    capture_end(&capture, shown, sizeof shown);
    size_t bytes = 0;
    unsigned char *file = read_event_file(&bytes);
    Event events[3] = {{0}};
    int count = 0;
    for (size_t at = 0; at < bytes; count++) {
        const uint64_t length = little(file + at, 8);
        assert_true(count < 3 && at + 16 + length <= bytes);
        assert_int_equal(unmasked(little(file + at + 8, 4)), crc32c(file + at, 8));
        assert_int_equal(unmasked(little(file + at + 12 + length, 4)), crc32c(file + at + 12, length));
        char tag[64] = "";
        parse_fields(file + at + 12, file + at + 12 + length, 0, &events[count], tag);
        at += 16 + length;
    }
    assert_int_equal(count, 3);
    assert_memory_equal(file + 12 + 9 + 2 + 2, "brain.Event:2", 13); /* behind wall time, step and its own tag */
    assert_int_equal(events[1].session_starts, 1);
    assert_int_equal(events[1].step, 3);
    assert_int_equal(events[2].step, 300);
    assert_int_equal(events[2].scalars, 10);
    assert_true(events[2].loss == (float)some_step(300).loss);
    free(file);
}

/* The last record of an event file is this summary of one text. */
static void expect_text_event(const unsigned char *file, size_t bytes) {
    static const unsigned char summary[] = "\x2a\x2e\x0a\x2c"
                                           "\x0a\x09samples/2"
                                           "\x42\x15\x08\x07\x12\x04\x12\x02\x08\x01\x42\x0b    a\n    b"
                                           "\x4a\x08\x0a\x06\x0a\x04text";
    const size_t size = sizeof summary - 1, event = 9 + 2 + size; /* behind wall time and step */
    assert_true(bytes > event + 16);
    const unsigned char *record = file + bytes - event - 16;
    assert_int_equal(little(record, 8), event);
    assert_int_equal(unmasked(little(record + 12 + event, 4)), crc32c(record + 12, event));
    assert_int_equal(record[12 + 9 + 1], 7);
    assert_memory_equal(record + 12 + 9 + 2, summary, size);
}

/* The continuation of a prompt is one line on the terminal, with escapes. TensorBoard shows prompt and continuation as
 * they are. */
static void test_preview(void **state) {
    (void)state;
    static const char nasty[] = "\"loss\": 1\n\0\xe6\x9d\xb1\\";
    char shown[8192], path[512];
    snprintf(path, sizeof path, "%s/metrics.jsonl", temporary_folder);
    remove(path);
    remove_event_files();
    Capture capture = capture_begin(1);
    Metrics *metrics = open_metrics(0);
    metrics_preview(metrics, &(Preview){7, 700, 1, "a", nasty, 1, sizeof nasty - 1});
    metrics_preview(metrics, &(Preview){7, 700, 2, "a\n", "b", 2, 1});
    metrics_preview(NULL, &(Preview){0});
    metrics_close(metrics);
    capture_end(&capture, shown, sizeof shown);
    assert_string_equal(shown, "step      7/100  \"a\" goes on \"\\\"loss\\\": 1\\n\\u0000\xe6\x9d\xb1\\\\\"\n"
                               "step      7/100  \"a\\n\" goes on \"b\"\n");
    json_t *lines = json_array(), *first;
    size_t bytes = 0;
    char *text = read_all("metrics.jsonl", &bytes);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        json_array_append_new(lines, json_loads(line, JSON_ALLOW_NUL, NULL));
    first = json_array_get(lines, 0);
    assert_int_equal(json_array_size(lines), 2);
    assert_int_equal(json_object_size(first), 6); /* with the run's name */
    assert_int_equal(json_integer_value(json_object_get(first, "step")), 7);
    assert_int_equal(json_integer_value(json_object_get(first, "tokens")), 700);
    assert_string_equal(json_string_value(json_object_get(first, "kind")), "sample");
    assert_string_equal(json_string_value(json_object_get(first, "prompt")), "a");
    assert_int_equal(json_string_length(json_object_get(first, "text")), sizeof nasty - 1);
    assert_memory_equal(json_string_value(json_object_get(first, "text")), nasty, sizeof nasty - 1);
    json_decref(lines);
    free(text);
    unsigned char *file = read_event_file(&bytes);
    expect_text_event(file, bytes);
    free(file);
}

static void test_errors(void **state) {
    (void)state;
    const MetricsOptions options = {.folder = "/nowhere/at/all"};
    Metrics *metrics = NULL;
    char message[4096];
    Capture capture = capture_begin(2);
    assert_int_equal(metrics_open(&options, &metrics), IO_ERROR);
    capture_end(&capture, message, sizeof message);
    assert_non_null(strstr(message, "/nowhere/at/all/metrics.jsonl cannot be written: No such file"));
    assert_null(metrics);
}

static void test_memory_peak(void **state) {
    (void)state;
    const int64_t before = memory_peak();
    const size_t bytes = 256 << 20;
    volatile char *memory = malloc(bytes); /* volatile: the compiler must not see that nobody reads it */
    for (size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
    const int64_t after = memory_peak();
    free((char *)memory);
    assert_true(before > 0);
    assert_true(after >= (int64_t)bytes);
    assert_true(memory_peak() >= after - (1 << 20)); /* the kernel counts pages in batches */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_other_run),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_event_file),
        cmocka_unit_test(test_preview),
        cmocka_unit_test(test_back_to_the_beginning),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_memory_peak),
    };
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
