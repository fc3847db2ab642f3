/* A sweep whose folder is damaged, has other results, or is on a full disk: valid results are used, and the rest is
 * reported. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/activity.h"
#include "base/files.h"
#include "support/temporary.h"
#include "suites/mqar.h"
#include "suites/mqar_setting.h"
#include "suites/sweep.h"
#include "suites/trial_setup.h"
#include "support/capture.h"

#define ONE_EPOCH                                                                                                      \
    "training.examples=16 training.batch_size=16 training.test_examples=8 model.hidden_size=32 training.epochs=1"

/* Two trainings of a task, of seeds 0 and 1, with these settings. */
static Status run_task(const char *task, const char *user, const char *folder, char *said, size_t room) {
    static const char *const mixers[] = {"gla"};
    const SweepOptions options = {
        .names = &task, .name_count = 1, .mixers = mixers, .mixer_count = 1, .seeds = 2, .quick = true, .user = user};
    Comm *comm = comm_self_create();
    Sweep sweep;
    char out[1 << 14];
    assert_int_equal(sweep_list(&options, &sweep), OK);
    assert_int_equal(sweep.trials, 2);
    Capture errors = capture_begin(2), output = capture_begin(1);
    const Status status = sweep_run(&sweep, folder, comm, device_cpu());
    capture_end(&output, out, sizeof out);
    capture_end(&errors, said, room);
    strncat(said, out, room - strlen(said) - 1);
    sweep_free(&sweep);
    comm_destroy(comm);
    return status;
}

static Status run_sweep_of(const char *user, const char *folder, char *said, size_t room) {
    return run_task("memorization", user, folder, said, room);
}

/* Runs two trainings of one step each. */
static Status run_sweep(const char *folder, char *said, size_t room) {
    return run_sweep_of(ONE_EPOCH, folder, said, room);
}

/* The files of a folder's runs with this ending; *path: the first one's, which the caller frees. */
static int runs_with(const char *folder, const char *ending, char **path) {
    char *runs = path_join(folder, "runs"), **names = NULL;
    int64_t count = 0;
    int found = 0;
    *path = NULL;
    const int error = folder_list(runs, &names, &count);
    assert_true(error == 0 || error == ENOENT);
    for (int64_t i = 0; i < count; i++) {
        if (strlen(names[i]) < strlen(ending) || strcmp(names[i] + strlen(names[i]) - strlen(ending), ending) != 0)
            continue;
        if (!found++) *path = path_join(runs, names[i]);
    }
    folder_list_free(names, count);
    free(runs);
    return found;
}

static int lines_of(const char *folder, const char *name) {
    char *path = path_join(folder, name), *text;
    int64_t bytes;
    int lines = 0;
    assert_int_equal(file_read_all(path, 1 << 20, &text, &bytes), 0);
    for (const char *c = text; *c; c++) lines += *c == '\n';
    free(text);
    free(path);
    return lines;
}

static void damaged_results_are_made_again(void **state) {
    (void)state;
    char *folder = temporary_path("broken"), *run, *text, said[1 << 14];
    int64_t bytes;
    assert_int_equal(run_sweep(folder, said, sizeof said), OK);
    assert_int_equal(runs_with(folder, ".csv", &run), 2);
    assert_int_equal(file_read_all(run, 1 << 20, &text, &bytes), 0);
    char *other = strdup(text);
    assert_non_null(other);
    other[strlen(other) - 2] ^= 1; /* of the run's name, the last column */
    const struct {
        const char *text;
        int64_t bytes;
        const char *message;
    } rows[] = {
        {"", 0, "has no results"},
        {text, bytes / 2, "not complete"},
        {"\0\1\2", 3, "zero byte"},
        {"mad,memorization\n", 17, "2 fields instead of 33"},
        {other, bytes, "must be that of the file's name"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        write_file(run, rows[r].text, rows[r].bytes);
        assert_int_equal(run_sweep(folder, said, sizeof said), OK);
        assert_non_null(strstr(said, rows[r].message));
        assert_non_null(strstr(said, "was damaged and is removed"));
        assert_non_null(strstr(said, "1 of 2 trials are done already"));
        assert_int_equal(lines_of(folder, "results.csv"), 3);
    }
    assert_int_equal(run_sweep(folder, said, sizeof said), OK);
    assert_null(strstr(said, "damaged"));
    free(text);
    free(other);
    free(run);
    free(folder);
}

static void other_results_are_told(void **state) {
    (void)state;
    char *folder = temporary_path("others"), *run, said[1 << 14];
    assert_int_equal(run_sweep(folder, said, sizeof said), OK);
    assert_null(strstr(said, "other settings"));
    char *other = temporary_path("others/runs/mad-memorization-gla-01234567.csv");
    write_file(other, "of another version", 18);
    assert_int_equal(run_sweep(folder, said, sizeof said), OK);
    assert_non_null(strstr(said, "has 1 results of other settings or of another version"));
    assert_int_equal(lines_of(folder, "results.csv"), 3);
    assert_int_equal(runs_with(folder, ".csv", &run), 3);
    free(run);
    free(other);
    free(folder);
}

static int64_t bytes_left;

/* Imitates a disk that becomes full. */
static int fill_disk(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)path, (void)fd;
    if (operation != FILE_WRITE) return 0;
    bytes_left -= *bytes;
    return bytes_left < 0 ? ENOSPC : 0;
}

/* At each of the files: the sweep ends with a message, no part of a file is taken for results, and it goes on later. */
static void a_full_disk_ends_the_sweep(void **state) {
    (void)state;
    char said[1 << 14], name[32], *path;
    bool full = true;
    for (int64_t room = 0; full; room += 100) {
        snprintf(name, sizeof name, "full-%d", (int)room);
        char *folder = temporary_path(name), *run;
        bytes_left = room;
        files_set_hook(fill_disk);
        const Status status = run_sweep(folder, said, sizeof said);
        files_set_hook(NULL);
        if (status == OK) {
            assert_true(room > 1000);
            full = false;
        } else {
            assert_int_equal(status, IO_ERROR);
            assert_non_null(strstr(said, "No space left on device"));
        }
        const int before = runs_with(folder, ".csv", &path);
        free(path);
        assert_int_equal(runs_with(folder, ".tmp", &path), 0);
        assert_int_equal(run_sweep(folder, said, sizeof said), OK);
        assert_null(strstr(said, "damaged"));
        if (before == 1) assert_non_null(strstr(said, "1 of 2 trials are done already"));
        assert_int_equal(runs_with(folder, ".csv", &run), 2);
        assert_int_equal(lines_of(folder, "results.csv"), 3);
        assert_true(lines_of(folder, "table.md") > 5);
        free(run);
        free(folder);
    }
}

static int64_t advances_of(const char *user) {
    char *folder = temporary_path("advancing"), said[1 << 14];
    const int64_t before = activity_count();
    assert_int_equal(run_sweep_of(user, folder, said, sizeof said), OK);
    assert_int_equal(folder_remove(folder), 0);
    free(folder);
    return activity_count() - before;
}

/* So that ranks that wait for the last training do not consider it stopped. */
static void every_step_advances(void **state) {
    (void)state;
    assert_true(advances_of(ONE_EPOCH "1") - advances_of(ONE_EPOCH) >= 2 * 10);
}

/* Figure 2 of the publication has smaller batches of longer sequences and nothing between the queries; the presets'
 * trainings have random tokens there. */
static void mqar_is_trained_as_published(void **state) {
    (void)state;
    static const struct {
        const char *preset, *setting;
        int64_t batch_size, seq_len;
        bool random_non_queries;
    } rows[] = {{NULL, "", 512, 64, false},    {NULL, NULL, 512, 128, false}, {NULL, NULL, 256, 256, false},
                {NULL, NULL, 128, 512, false}, {"based", "", 256, 64, true},  {"forgetting", "", 256, 64, true}};
    for (int i = 0; i < LENGTH(rows); i++) {
        const Trial trial = {.suite = suite_find("mqar"),
                             .task = &mqar,
                             .mixer = "gla",
                             .preset = rows[i].preset ? task_preset(&mqar, rows[i].preset) : NULL,
                             .setting = rows[i].setting ? rows[i].setting : mqar.sweep[i - 1]};
        Protocol protocol;
        void *config;
        assert_int_equal(trial_protocol(&trial, &protocol), OK);
        assert_int_equal(trial_task(&trial, NULL, &config), OK);
        const Mqar *setting = config;
        assert_int_equal(protocol.batch_size, rows[i].batch_size);
        assert_int_equal(setting->seq_len, rows[i].seq_len);
        assert_int_equal(setting->random_non_queries, rows[i].random_non_queries);
        task_config_free(&mqar, config);
        protocol_free(&protocol);
    }
}

enum { LINES = 40, LINE = 9 };

/* Flip-flop's examples w?i?i?r?, the last of which begins with `first`; inverted: with the other bits. */
static void write_texts(const char *name, char first, bool inverted) {
    char text[LINES * LINE + 1];
    for (int i = 0; i < LINES; i++)
        snprintf(text + i * LINE, LINE + 1, "w%di%di%dr%d\n", (i & 1) ^ inverted, i >> 1 & 1, i >> 2 & 1,
                 (i & 1) ^ inverted);
    text[(LINES - 1) * LINE] = first;
    char *path = temporary_path(name);
    folder_create_above(path);
    write_file(path, text, LINES * LINE);
    free(path);
}

/* Where training.examples is 0: three batches of 16 are an epoch. */
static void all_examples_of_files_are_an_epoch(void **state) {
    (void)state;
    char user[512], said[1 << 14], *folder = temporary_path("epochs"), *data = temporary_path("texts");
    for (int damaged = 0; damaged < 2; damaged++) {
        write_texts("texts/train.txt", damaged ? 'x' : 'w', false);
        write_texts("texts/test.txt", 'w', false);
        snprintf(user, sizeof user,
                 "task.seq_len=8 training.splits=false training.steps=%d training.test_examples=%d "
                 "model.hidden_size=32 training.data=%s",
                 damaged ? 3 : 7, LINES, data);
        assert_int_equal(run_task("flip_flop", user, folder, said, sizeof said), damaged ? BAD_INPUT : OK);
        if (damaged) assert_non_null(strstr(said, "character 1 of line 40 is not w, r or i"));
    }
    free(folder);
    free(data);
}

/* The name of a folder does not identify its content. */
static void changed_files_are_read_again(void **state) {
    (void)state;
    char user[512], said[1 << 14], *folder = temporary_path("changed"), *data = temporary_path("texts"), *path;
    snprintf(user, sizeof user,
             "task.seq_len=8 training.splits=false training.steps=1 training.test_examples=%d model.hidden_size=32 "
             "training.data=%s",
             LINES, data);
    for (int runs = 2; runs <= 4; runs += 2) {
        write_texts("texts/train.txt", 'w', runs == 2);
        write_texts("texts/test.txt", 'w', false);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(run_task("flip_flop", user, folder, said, sizeof said), OK);
            assert_int_equal(strstr(said, "2 of 2 trials are done already") != NULL, again);
            assert_int_equal(runs_with(folder, ".csv", &path), runs);
            free(path);
        }
    }
    free(folder);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_results_are_made_again), cmocka_unit_test(other_results_are_told),
        cmocka_unit_test(a_full_disk_ends_the_sweep),     cmocka_unit_test(every_step_advances),
        cmocka_unit_test(mqar_is_trained_as_published),   cmocka_unit_test(all_examples_of_files_are_an_epoch),
        cmocka_unit_test(changed_files_are_read_again),
    };
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
