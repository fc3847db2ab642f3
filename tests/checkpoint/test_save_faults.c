/* A save meets a fault at its n-th operation on the disk, for every n: the process ends, the operation fails once or
 * from then on, or it is cut short. Afterwards the loader finds either the old step or the new one, complete, and the
 * next run continues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/signals.h"
#include "checkpoint/small_model.h"
#include "support/temporary.h"
#include "checkpoint/thread_comm.h"
#include "checkpoint/checkpoint.h"
#include "support/faults.h"

/* How a child ends. */
enum { SAVED = 10, NOT_SAVED = 11, NO_FAULT = 20 }; /* or ENDED_BY_FAULT */

typedef struct Job {
    const char *folder;
    CheckpointOptions options;
    int64_t step;
    Status status;
    bool equal;
    int64_t loaded_step;
} Job;

static void save_body(Comm *comm, void *argument) {
    Job *job = argument;
    Unit units[SMALL_UNITS];
    small_model_create(units, comm->rank, comm->size);
    small_model_fill(units, job->step);
    CheckpointOptions options = job->options;
    options.folder = job->folder;
    options.run_name = "test-run";
    json_t *state = json_object();
    const CheckpointTexts texts = {"{}", NULL, "a: 1\n"};
    Checkpointer *checkpointer;
    Status status = checkpointer_create(comm, units, SMALL_UNITS, &options, &checkpointer);
    if (status == OK) status = checkpoint_save(checkpointer, job->step, state, &texts);
    if (status == OK) status = checkpoint_wait(checkpointer);
    checkpointer_destroy(checkpointer);
    json_decref(state);
    small_model_destroy(units);
    if (comm->rank == 0) job->status = status;
}

static void load_body(Comm *comm, void *argument) {
    Job *job = argument;
    Unit units[SMALL_UNITS];
    small_model_create(units, comm->rank, comm->size);
    json_t *state = NULL;
    job->status = checkpoint_resume(job->folder, -1, comm, units, SMALL_UNITS, &job->loaded_step, &state);
    job->equal = job->loaded_step > 0 && small_model_is(units, job->loaded_step, false);
    json_decref(state);
    small_model_destroy(units);
}

static Status save(const char *folder, int ranks, int64_t step, CheckpointOptions options) {
    Job job = {.folder = folder, .step = step, .options = options};
    thread_run(ranks, save_body, &job);
    return job.status;
}

/* The newest step; its values are checked. */
static int64_t newest(const char *folder) {
    Job job = {.folder = folder};
    thread_run(1, load_body, &job);
    assert_int_equal(job.status, OK);
    assert_true(job.equal);
    return job.loaded_step;
}

/* Saves step 2 with the fault in a child process, and returns how that ended. */
static int save_with_fault(const char *folder, int ranks, CheckpointOptions options) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        atomic_store(&fault.operations, 0);
        files_set_hook(fault_hook);
        const Status status = save(folder, ranks, 2, options);
        const bool faulty = atomic_load(&fault.operations) > fault.at;
        _exit(!faulty ? NO_FAULT : status == OK ? SAVED : NOT_SAVED);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

static int64_t leftovers(const char *folder) {
    char **names;
    int64_t count, found = 0;
    assert_int_equal(folder_list(folder, &names, &count), 0);
    for (int64_t i = 0; i < count; i++)
        found += strstr(names[i], ".tmp") != NULL || strstr(names[i], ".damaged") != NULL;
    folder_list_free(names, count);
    return found;
}

/* The step exists already. After any fault, the old or the new one has its name when the next run begins. */
static bool try_fault_replacing(int ranks, CheckpointOptions options) {
    char *folder = temporary_path("replaced");
    if (folder_exists(folder)) assert_int_equal(folder_remove(folder), 0);
    assert_int_equal(save(folder, 1, 1, (CheckpointOptions){0}), OK);
    assert_int_equal(save(folder, 1, 2, (CheckpointOptions){0}), OK);
    const int ended = save_with_fault(folder, ranks, options);
    const int64_t step = newest(folder);
    if (step != 2)
        fail_msg("operation %lld, kind %d, errno %d: ended %d, found step %lld", (long long)fault.at, fault.kind,
                 fault.error, ended, (long long)step);
    assert_int_equal(save(folder, 2, 3, (CheckpointOptions){.keep_latest_k = 2}), OK);
    assert_int_equal(leftovers(folder), 0);
    free(folder);
    return ended != NO_FAULT;
}

/* Returns false if the save had fewer operations than `fault.at`. */
static bool try_fault(int ranks, CheckpointOptions options) {
    char *folder = temporary_path("checkpoint");
    if (folder_exists(folder)) assert_int_equal(folder_remove(folder), 0);
    assert_int_equal(save(folder, 1, 1, (CheckpointOptions){0}), OK);
    const int ended = save_with_fault(folder, ranks, options);
    const int64_t step = newest(folder);
    const bool may_be_old = ended == ENDED_BY_FAULT || ended == NOT_SAVED;
    if (step != 2 && !(step == 1 && may_be_old))
        fail_msg("operation %lld, kind %d, errno %d: ended %d, found step %lld", (long long)fault.at, fault.kind,
                 fault.error, ended, (long long)step);
    /* The next run cleans up and saves. */
    assert_int_equal(save(folder, 2, 3, (CheckpointOptions){.keep_latest_k = 2}), OK);
    assert_int_equal(newest(folder), 3);
    assert_int_equal(leftovers(folder), 0);
    free(folder);
    return ended != NO_FAULT;
}

static int64_t tried; /* number of faults, each tested in a process of its own */

static void try_every_operation(FaultKind kind, int error, int ranks, CheckpointOptions options) {
    fault.kind = kind;
    fault.error = error;
    fault.at = 0;
    while (try_fault(ranks, options)) fault.at++;
    assert_true(fault.at > 30); /* or the hook is not reached */
    tried += fault.at;
}

static const CheckpointOptions keep_two = {.keep_latest_k = 2};
static const CheckpointOptions keep_one = {.keep_latest_k = 1, .asynchronous = true};

static void test_process_ends(void **state) {
    (void)state;
    try_every_operation(FAULT_EXIT, 0, 1, keep_one);
    try_every_operation(FAULT_EXIT, 0, 2, keep_two);
}

static void test_operation_fails_once(void **state) {
    (void)state;
    try_every_operation(FAULT_ONCE, ENOSPC, 1, keep_one);
    try_every_operation(FAULT_ONCE, EIO, 2, keep_two);
    try_every_operation(FAULT_ONCE, EINTR, 2, keep_two);
}

static void test_operation_fails_from_now_on(void **state) {
    (void)state;
    try_every_operation(FAULT_FROM_NOW_ON, ENOSPC, 2, keep_two);
    try_every_operation(FAULT_FROM_NOW_ON, EIO, 1, keep_one);
    try_every_operation(FAULT_FROM_NOW_ON, EROFS, 1, keep_two);
}

static void test_without_exchange(void **state) {
    (void)state;
    static const FaultKind kinds[] = {FAULT_EXIT, FAULT_ONCE, FAULT_FROM_NOW_ON};
    fault.no_exchange = true;
    fault.error = EIO;
    for (int i = 0; i < 3; i++) {
        fault.kind = kinds[i];
        fault.at = 0;
        while (try_fault_replacing(2, keep_two)) fault.at++;
        assert_true(fault.at > 30);
        tried += fault.at;
    }
    fault.no_exchange = false;
}

static void test_short_writes_do_no_harm(void **state) {
    (void)state;
    fault.kind = FAULT_SHORT;
    fault.at = 0;
    char *folder = temporary_path("short");
    assert_int_equal(save_with_fault(folder, 2, keep_two), SAVED);
    assert_int_equal(newest(folder), 2);
    free(folder);
}

/* An interrupted call alone is no failure. */
static void test_interrupted_calls_go_on(void **state) {
    (void)state;
    fault.kind = FAULT_ONCE;
    fault.error = EINTR;
    char *folder = temporary_path("interrupted");
    for (fault.at = 8; fault.at < 14; fault.at++) assert_int_equal(save_with_fault(folder, 1, keep_two), SAVED);
    free(folder);
}

/* Errors of the kernel itself, by a limit on the size of files; a full disk behaves in the same way. */
static void test_file_size_limit(void **state) {
    (void)state;
    char *folder = temporary_path("limited");
    assert_int_equal(save(folder, 1, 1, keep_two), OK);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {2000, 2000};
        signals_ignore_size_limit();
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || !freopen("/dev/null", "w", stderr)) _exit(1);
        _exit(save(folder, 2, 2, keep_two) == IO_ERROR ? NOT_SAVED : SAVED);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == NOT_SAVED);
    assert_int_equal(newest(folder), 1);
    assert_int_equal(leftovers(folder), 0);
    free(folder);
}

/* If the disk fails while a checkpoint is read, the result is the newest step or an error. It is never another value,
 * nor the step before, which would lose the work since. A fault of the disk is not taken for damage: nothing is
 * renamed. */
static void test_reading_fails(void **state) {
    (void)state;
    char *folder = temporary_path("unreadable");
    assert_int_equal(save(folder, 1, 1, (CheckpointOptions){0}), OK);
    assert_int_equal(save(folder, 2, 2, (CheckpointOptions){0}), OK);
    int64_t refused = 0;
    fault.kind = FAULT_ONCE;
    fault.error = EIO;
    files_set_hook(fault_hook);
    for (fault.at = 0;; fault.at++) {
        atomic_store(&fault.operations, 0);
        Job job = {.folder = folder};
        thread_run(1, load_body, &job);
        const bool loaded = job.status == OK && job.loaded_step == 2 && job.equal;
        if (!loaded && job.status != IO_ERROR)
            fail_msg("operation %lld: status %d, step %lld", (long long)fault.at, job.status,
                     (long long)job.loaded_step);
        refused += !loaded;
        assert_int_equal(leftovers(folder), 0);
        if (atomic_load(&fault.operations) <= fault.at) break;
    }
    files_set_hook(NULL);
    assert_true(refused > 15);
    assert_int_equal(newest(folder), 2);
    free(folder);
}

/* A disk that does not answer is an I/O error, not a bad checkpoint: exit code 3, and nothing is renamed. */
static void test_unreadable_is_an_io_error(void **state) {
    (void)state;
    char *folder = temporary_path("no-answer");
    assert_int_equal(save(folder, 1, 1, (CheckpointOptions){0}), OK);
    fault.kind = FAULT_FROM_NOW_ON;
    fault.error = EIO;
    fault.at = 0;
    Job job = {.folder = folder};
    files_set_hook(fault_hook);
    thread_run(1, load_body, &job);
    files_set_hook(NULL);
    assert_int_equal(job.status, IO_ERROR);
    assert_int_equal(newest(folder), 1);
    free(folder);
}

/* What a loss of power could destroy: every file and folder that has changed since its last sync. */
static struct {
    char path[64][512];
    int count;
    bool renamed_while_dirty;
    int renames;
} dirty;

static void mark(const char *path, bool changed) {
    int i = 0;
    while (i < dirty.count && strcmp(dirty.path[i], path) != 0) i++;
    if (changed && i == dirty.count) {
        CHECK(dirty.count < 64, "too many files");
        snprintf(dirty.path[dirty.count++], sizeof dirty.path[0], "%s", path);
    } else if (!changed && i < dirty.count) {
        memcpy(dirty.path[i], dirty.path[--dirty.count], sizeof dirty.path[0]);
    }
}

static void mark_parent(const char *path) {
    char parent[512];
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    mark(parent, true);
}

static int durability_hook(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)bytes;
    char link[64], target[512] = "";
    if (fd >= 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        const ssize_t length = readlink(link, target, sizeof target - 1);
        target[length > 0 ? length : 0] = 0;
    }
    if (operation == FILE_WRITE || operation == FILE_ALLOCATE) mark(target, true);
    if (operation == FILE_SYNC) mark(target, false);
    if (operation == FILE_OPEN && !file_exists(path) && !folder_exists(path)) mark_parent(path);
    if (operation == FILE_RENAME) {
        /* The parent folder changes by this rename, and before by the creation of the temporary folder. */
        for (int i = 0; i < dirty.count; i++) dirty.renamed_while_dirty |= strstr(dirty.path[i], ".tmp-") != NULL;
        dirty.renames++;
        mark_parent(path);
    }
    return 0;
}

static void test_everything_is_synced_before_the_rename(void **state) {
    (void)state;
    char *folder = temporary_path("synced");
    dirty.count = 0;
    files_set_hook(durability_hook);
    const Status status = save(folder, 1, 1, (CheckpointOptions){.max_shard_bytes = 500});
    files_set_hook(NULL);
    assert_int_equal(status, OK);
    assert_int_equal(dirty.renames, 1);
    assert_false(dirty.renamed_while_dirty);
    assert_int_equal(dirty.count, 0);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_everything_is_synced_before_the_rename),
                                       cmocka_unit_test(test_short_writes_do_no_harm),
                                       cmocka_unit_test(test_without_exchange),
                                       cmocka_unit_test(test_interrupted_calls_go_on),
                                       cmocka_unit_test(test_file_size_limit),
                                       cmocka_unit_test(test_reading_fails),
                                       cmocka_unit_test(test_unreadable_is_an_io_error),
                                       cmocka_unit_test(test_operation_fails_once),
                                       cmocka_unit_test(test_operation_fails_from_now_on),
                                       cmocka_unit_test(test_process_ends)};
    const int failed = cmocka_run_group_tests(tests, temporary_create, temporary_remove);
    printf("%lld faults and ends of the process at operations on files\n", (long long)tried);
    return failed;
}
