/* Runs the trials of a sweep. A rank takes a trial by creating its file NAME.taken; the files of an earlier sweep are
 * removed at the start, under the folder's lock. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/activity.h"
#include "base/clock.h"
#include "base/crc.h"
#include "base/files.h"
#include "base/log.h"
#include "checkpoint/run_lock.h"
#include "suites/report.h"
#include "suites/result_rows.h"
#include "suites/results.h"
#include "suites/sweep.h"
#include "suites/text_file.h"
#include "suites/trial_run.h"

enum { LOCK_PATIENCE = 5, PATH_BYTES = 4096, RESULT_BYTES = 1 << 20 };

typedef struct RunName {
    char text[160];
} RunName;

typedef struct Running {
    const Sweep *sweep;
    RunName *name; /* [trials] */
    const char *folder;
    Comm *comm;
    const Device *device;
    int64_t finished, own; /* trials with results, and those that this rank has run */
    double start;
    const Trial *trial;
} Running;

static Status failed(const char *path, int error) {
    log_error("%s: %s", path, strerror(error));
    return IO_ERROR;
}

/* A hash of everything that decides the results of a trial and the form of its rows. */
static uint32_t identity(const Trial *trial) {
    ConfigValue *root = NULL;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "out of memory");
    CHECK(trial_settings(trial, &root) == OK, "the settings of %s", trial->task->name);
    config_value_write(file, root, -1);
    fprintf(file, " %.17g %.17g %lld %" PRIu32 " " FLAME_VERSION " %s", trial->lr, trial->weight_decay,
            (long long)trial->seed, trial->data_crc, result_columns);
    fclose(file);
    const uint32_t crc = crc_update(0, text, (int64_t)bytes);
    config_value_free(root);
    free(text);
    return crc;
}

/* The names of all trials' files; the caller frees them. */
static RunName *name_runs(const Sweep *sweep) {
    RunName *name = malloc((size_t)sweep->trials * sizeof *name);
    CHECK_MEMORY(name, "out of memory");
    for (int64_t i = 0; i < sweep->trials; i++) {
        const Trial *trial = &sweep->trial[i];
        snprintf(name[i].text, sizeof name[i].text, "%s-%s-%s-%08" PRIx32, trial->suite->name, trial->task->name,
                 trial->mixer, identity(trial));
    }
    return name;
}

static void path_of(const Running *r, int64_t trial, const char *ending, char path[PATH_BYTES]) {
    snprintf(path, PATH_BYTES, "%s/runs/%s%s", r->folder, r->name[trial].text, ending);
}

static bool has_result(const Running *r, int64_t trial) {
    char path[PATH_BYTES];
    path_of(r, trial, ".csv", path);
    return file_exists(path);
}

/* Takes a trial, unless another rank has. *taken says whether this rank runs it. */
static Status take(const Running *r, int64_t trial, bool *taken) {
    char path[PATH_BYTES];
    int fd = -1;
    path_of(r, trial, ".taken", path);
    const int error = file_create(path, &fd);
    *taken = error == 0;
    if (error == EEXIST) return OK;
    return error ? failed(path, error) : file_close(fd) ? failed(path, errno) : OK;
}

/* Writes the rows last, because a trial that has them counts as done. */
static Status write_result(const Running *r, int64_t trial, const TrialResult *result, bool diverged) {
    char path[PATH_BYTES];
    TextFile right, rows;
    text_file_begin(&right);
    right_answers_write(right.file, result, diverged);
    path_of(r, trial, ".right", path);
    const Status status = text_file_replace(&right, path);
    if (status != OK) return status;
    text_file_begin(&rows);
    result_rows_write(rows.file, r->name[trial].text, &r->sweep->trial[trial], result, r->device, diverged);
    path_of(r, trial, ".csv", path);
    return text_file_replace(&rows, path);
}

static void count_finished(Running *r) {
    r->finished = 0;
    for (int64_t i = 0; i < r->sweep->trials; i++) r->finished += has_result(r, i);
}

static void live(void *context, int64_t step, int64_t steps, double accuracy) {
    const Running *r = context;
    char score[48] = "";
    if (r->comm->rank != 0 || !isatty(STDOUT_FILENO)) return;
    if (!isnan(accuracy)) snprintf(score, sizeof score, ", accuracy %.4f", accuracy);
    printf("[%lld/%lld] %s %s %s: step %lld of %lld%s\033[K\r", (long long)r->finished, (long long)r->sweep->trials,
           r->trial->task->name, trial_variant(r->trial), r->trial->mixer, (long long)step, (long long)steps, score);
    fflush(stdout);
}

static void tell(Running *r, const Trial *trial, const TrialResult *result, Status status) {
    const Scores *scores = &result->test[0].scores;
    const bool is_regression = isnan(scores->accuracy);
    char score[64] = "diverged";
    count_finished(r);
    r->own++;
    const double each = (seconds_now() - r->start) / (double)(r->own * r->comm->size);
    if (status == OK)
        snprintf(score, sizeof score, "%s %.4g in %lld steps", is_regression ? "mean squared error" : "accuracy",
                 is_regression ? scores->mse : scores->accuracy, (long long)result->steps);
    log_info("[%lld/%lld] %s%s%s %s lr %g wd %g seed %lld: %s, %.0f s; %.0f min left%s", (long long)r->finished,
             (long long)r->sweep->trials, trial->task->name, trial_variant(trial)[0] ? " " : "", trial_variant(trial),
             trial->mixer, trial->lr, trial->weight_decay, (long long)trial->seed, score, result->seconds,
             each * (double)(r->sweep->trials - r->finished) / 60, isatty(STDOUT_FILENO) ? "\033[K" : "");
}

static Status run_one(Running *r, int64_t index) {
    const Trial *trial = &r->sweep->trial[index];
    TrialResult result;
    r->trial = trial;
    activity_set("training");
    Status status = trial_run(trial, r->device, live, r, &result);
    if (status == OK || status == NUMERIC_STOP) {
        const Status written = write_result(r, index, &result, status == NUMERIC_STOP);
        if (written == OK) tell(r, trial, &result, status);
        status = written;
    }
    trial_result_free(&result);
    return status;
}

/* A rank that finds no more trials waits for the others. Ranks on other hosts cannot be watched, so with several hosts
 * the time limit is turned off. */
static Status run_all(Running *r) {
    Status status = OK;
    if (r->comm->size > r->comm->local_size) comm_configure("never", INFINITY);
    for (int64_t i = 0; i < r->sweep->trials && status == OK; i++) {
        bool taken = false;
        if (has_result(r, i)) continue;
        status = take(r, i, &taken);
        if (status == OK && taken) status = run_one(r, i);
    }
    return status;
}

static bool ends_with(const char *name, const char *ending) {
    const size_t length = strlen(name), tail = strlen(ending);
    return length > tail && strcmp(name + length - tail, ending) == 0;
}

static bool is_of_sweep(const Running *r, const char *name) {
    for (int64_t i = 0; i < r->sweep->trials; i++) {
        const size_t length = strlen(r->name[i].text);
        if (strncmp(name, r->name[i].text, length) == 0 && strcmp(name + length, ".csv") == 0) return true;
    }
    return false;
}

static void tell_others(const Running *r, char *const names[], int64_t count) {
    int64_t others = 0;
    for (int64_t i = 0; i < count; i++) others += ends_with(names[i], ".csv") && !is_of_sweep(r, names[i]);
    if (others > 0)
        log_info("%s/runs has %lld results of other settings or of another version of flame-c, which are not used",
                 r->folder, (long long)others);
}

/* Removes results that cannot be read, so that their trials run again. */
static Status remove_damaged(const Running *r) {
    for (int64_t i = 0; i < r->sweep->trials; i++) {
        char path[PATH_BYTES];
        path_of(r, i, ".csv", path);
        const Status status = file_exists(path) ? results_check_run(path, r->name[i].text) : OK;
        if (status == OK) continue;
        if (status != BAD_INPUT) return status;
        const int error = file_remove(path);
        if (error) return failed(path, error);
        log_warning("%s was damaged and is removed: the training runs again", path);
    }
    return OK;
}

/* Makes OUT/runs and removes the marks of ranks that are gone. */
static Status prepare_folder(const Running *r) {
    char *runs = path_join(r->folder, "runs"), **names = NULL;
    int64_t count = 0;
    int error = folder_create_all(runs);
    if (!error) error = folder_list(runs, &names, &count);
    for (int64_t i = 0; i < count && !error; i++) {
        if (!ends_with(names[i], ".taken")) continue;
        char *path = path_join(runs, names[i]);
        error = file_remove(path);
        free(path);
    }
    if (!error) tell_others(r, names, count);
    folder_list_free(names, count);
    const Status status = error ? failed(runs, error) : OK;
    free(runs);
    return status == OK ? remove_damaged(r) : status;
}

static Status append_file(FILE *to, const char *path) {
    char *text = NULL;
    int64_t bytes = 0;
    const int error = file_read_all(path, RESULT_BYTES, &text, &bytes);
    if (error) return failed(path, error);
    fwrite(text, 1, (size_t)bytes, to);
    free(text);
    return OK;
}

static Status collect(const Running *r) {
    char *path = path_join(r->folder, "results.csv"), run[PATH_BYTES];
    TextFile text;
    text_file_begin(&text);
    fprintf(text.file, "%s\n", result_columns);
    Status status = OK;
    for (int64_t i = 0; i < r->sweep->trials && status == OK; i++) {
        path_of(r, i, ".csv", run);
        status = append_file(text.file, run);
    }
    for (int64_t i = 0; i < r->sweep->unable_count; i++) unable_row_write(text.file, &r->sweep->unable[i]);
    if (status == OK)
        status = text_file_replace(&text, path);
    else
        text_file_drop(&text);
    if (status == OK) log_info("wrote %s", path);
    free(path);
    return status;
}

Status sweep_run(const Sweep *sweep, const char *folder, Comm *comm, const Device *device) {
    Running r = {.sweep = sweep, .folder = folder, .comm = comm, .device = device, .start = seconds_now()};
    r.name = name_runs(sweep);
    RunLock *lock = NULL;
    Status status = run_lock_acquire(comm, folder, LOCK_PATIENCE, &lock);
    if (status == OK) status = comm_worst(comm, comm->rank == 0 ? prepare_folder(&r) : OK);
    if (status == OK) {
        count_finished(&r);
        if (r.finished > 0)
            log_info("%lld of %lld trials are done already", (long long)r.finished, (long long)sweep->trials);
        comm->f->barrier(comm);
        status = comm_worst(comm, run_all(&r));
    }
    if (status == OK) status = comm_worst(comm, comm->rank == 0 ? collect(&r) : OK);
    if (status == OK) status = comm_worst(comm, comm->rank == 0 ? report_write(folder) : OK);
    run_lock_release(lock);
    free(r.name);
    return status;
}
