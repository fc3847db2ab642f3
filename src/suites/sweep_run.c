/* Runs the trials of a sweep. A rank takes a trial by creating its file NAME.taken; the files of an earlier sweep are
 * removed at the start, under the folder's lock. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc.h"
#include "base/files.h"
#include "base/log.h"
#include "checkpoint/run_lock.h"
#include "suites/report.h"
#include "suites/result_rows.h"
#include "suites/sweep.h"
#include "suites/trial_run.h"

enum { LOCK_PATIENCE = 5, NAME_BYTES = 256, PATH_BYTES = 4096, RESULT_BYTES = 1 << 20 };

typedef struct Running {
    const Sweep *sweep;
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

/* All that decides the results of a trial, and the form of its rows. */
static uint32_t identity(const Trial *trial) {
    ConfigValue *root = NULL;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK(file, "out of memory");
    CHECK(trial_settings(trial, &root) == OK, "the settings of %s", trial->task->name);
    config_value_write(file, root, -1);
    fprintf(file, " %.17g %.17g %lld " FLAME_VERSION " %s", trial->lr, trial->weight_decay, (long long)trial->seed,
            result_columns);
    fclose(file);
    const uint32_t crc = crc_update(0, text, (int64_t)bytes);
    config_value_free(root);
    free(text);
    return crc;
}

static void name_run(const Trial *trial, char name[NAME_BYTES]) {
    snprintf(name, NAME_BYTES, "%s-%s-%s-%08" PRIx32, trial->suite->name, trial->task->name, trial->mixer,
             identity(trial));
}

static void path_of(const Running *r, const Trial *trial, const char *ending, char path[PATH_BYTES]) {
    char name[NAME_BYTES];
    name_run(trial, name);
    snprintf(path, PATH_BYTES, "%s/runs/%s%s", r->folder, name, ending);
}

static bool has_result(const Running *r, const Trial *trial) {
    char path[PATH_BYTES];
    path_of(r, trial, ".csv", path);
    return file_exists(path);
}

/* Whether this rank is the one that runs the trial. */
static Status take(const Running *r, const Trial *trial, bool *taken) {
    char path[PATH_BYTES];
    int fd = -1;
    path_of(r, trial, ".taken", path);
    const int error = file_create(path, &fd);
    *taken = error == 0;
    if (error == EEXIST) return OK;
    return error ? failed(path, error) : file_close(fd) ? failed(path, errno) : OK;
}

static Status write_text(const char *path, const char *text, size_t bytes) {
    const int error = file_replace(path, text, (int64_t)bytes);
    return error ? failed(path, error) : OK;
}

/* The rows come last: a trial that has them is done. */
static Status write_result(const Running *r, const Trial *trial, const TrialResult *result, bool diverged) {
    char name[NAME_BYTES], path[PATH_BYTES], *right = NULL, *rows = NULL;
    size_t right_bytes = 0, rows_bytes = 0;
    FILE *right_file = open_memstream(&right, &right_bytes), *rows_file = open_memstream(&rows, &rows_bytes);
    CHECK(right_file && rows_file, "out of memory");
    name_run(trial, name);
    right_answers_write(right_file, result, diverged);
    result_rows_write(rows_file, name, trial, result, r->device, diverged);
    fclose(right_file);
    fclose(rows_file);
    path_of(r, trial, ".right", path);
    Status status = write_text(path, right, right_bytes);
    path_of(r, trial, ".csv", path);
    if (status == OK) status = write_text(path, rows, rows_bytes);
    free(right);
    free(rows);
    return status;
}

static void count_finished(Running *r) {
    r->finished = 0;
    for (int64_t i = 0; i < r->sweep->trials; i++) r->finished += has_result(r, &r->sweep->trial[i]);
}

static void live(void *context, int64_t step, int64_t steps, double accuracy) {
    const Running *r = context;
    if (r->comm->rank != 0 || !isatty(STDOUT_FILENO)) return;
    printf("[%lld/%lld] %s %s %s: step %lld of %lld, accuracy %.4f\033[K\r", (long long)r->finished,
           (long long)r->sweep->trials, r->trial->task->name, r->trial->setting, r->trial->mixer, (long long)step,
           (long long)steps, accuracy);
    fflush(stdout);
}

static void tell(Running *r, const Trial *trial, const TrialResult *result, Status status) {
    const int64_t before = r->finished;
    count_finished(r);
    const double passed = seconds_now() - r->start;
    r->own++;
    const double left = passed / (double)(r->own * r->comm->size) * (double)(r->sweep->trials - r->finished);
    const Scores *scores = &result->test[0].scores;
    const bool is_regression = isnan(scores->accuracy);
    char score[64] = "diverged";
    if (status == OK)
        snprintf(score, sizeof score, "%s %.4g in %lld steps", is_regression ? "mean squared error" : "accuracy",
                 is_regression ? scores->mse : scores->accuracy, (long long)result->steps);
    log_info("[%lld/%lld] %s%s%s %s lr %g wd %g seed %lld: %s, %.0f s; %.0f min left%s", (long long)r->finished,
             (long long)r->sweep->trials, trial->task->name, trial->setting[0] ? " " : "", trial->setting, trial->mixer,
             trial->lr, trial->weight_decay, (long long)trial->seed, score, result->seconds, left / 60,
             isatty(STDOUT_FILENO) && before >= 0 ? "\033[K" : "");
}

static Status run_one(Running *r, const Trial *trial) {
    TrialResult result;
    r->trial = trial;
    Status status = trial_run(trial, r->device, live, r, &result);
    if (status == OK || status == NUMERIC_STOP) {
        const Status written = write_result(r, trial, &result, status == NUMERIC_STOP);
        if (written == OK) tell(r, trial, &result, status);
        status = written;
    }
    trial_result_free(&result);
    return status;
}

static Status run_all(Running *r) {
    Status status = OK;
    for (int64_t i = 0; i < r->sweep->trials && status == OK; i++) {
        bool taken = false;
        const Trial *trial = &r->sweep->trial[i];
        if (has_result(r, trial)) continue;
        status = take(r, trial, &taken);
        if (status == OK && taken) status = run_one(r, trial);
    }
    return status;
}

static bool ends_with(const char *name, const char *ending) {
    const size_t length = strlen(name), tail = strlen(ending);
    return length > tail && strcmp(name + length - tail, ending) == 0;
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
    folder_list_free(names, count);
    const Status status = error ? failed(runs, error) : OK;
    free(runs);
    return status;
}

static Status collect(const Running *r) {
    char *path = path_join(r->folder, "results.csv"), *text = NULL, run[PATH_BYTES];
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK(file, "out of memory");
    fprintf(file, "%s\n", result_columns);
    int error = 0;
    for (int64_t i = 0; i < r->sweep->trials && !error; i++) {
        char *rows = NULL;
        int64_t length = 0;
        path_of(r, &r->sweep->trial[i], ".csv", run);
        error = file_read_all(run, RESULT_BYTES, &rows, &length);
        if (!error) fwrite(rows, 1, (size_t)length, file);
        free(rows);
    }
    fclose(file);
    Status status = error ? failed(run, error) : OK;
    if (status == OK) status = write_text(path, text, bytes);
    if (status == OK) log_info("wrote %s", path);
    free(text);
    free(path);
    return status;
}

Status sweep_run(const Sweep *sweep, const char *folder, Comm *comm, const Device *device) {
    Running r = {.sweep = sweep, .folder = folder, .comm = comm, .device = device, .start = seconds_now()};
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
    return status;
}
