/* flame-c checkpoint list | verify | diff | prune */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/compare_weights.h"
#include "checkpoint/retention.h"
#include "checkpoint/run_lock.h"
#include "checkpoint/tensor_folder.h"
#include "commands/commands.h"

static Status no_steps(const char *folder) {
    log_error("there is no step-... folder in %s", folder);
    return BAD_INPUT;
}

/* Like checkpoint_folder; NULL (logged) if `path` is not a folder. */
static char *steps_folder(const char *path) {
    if (folder_exists(path)) return checkpoint_folder(path);
    log_error("%s is not a folder", path);
    return NULL;
}

typedef struct Folder {
    const char *path;
} Folder;

static const Option folder_options[] = {
    {"", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0, "a run's folder, or the folder of its steps",
     offsetof(Folder, path)},
};

/* list */

static int64_t integer_of(const json_t *state, const char *key) {
    return json_integer_value(json_object_get(state, key));
}

/* What the folder `name`, which begins with "step-", is. */
static const char *meaning(const char *name, const json_t *state) {
    if (strstr(name, ".tmp-")) return "being written, or left by a job that was killed";
    if (strstr(name, ".damaged")) return "set aside: damaged";
    if (strstr(name, ".rewound")) return "set aside: a later start went back to an earlier step";
    if (!state) return "state.json is missing or damaged: not used";
    if (checkpoint_state_updated_step(state) != integer_of(state, "step"))
        return "the last updates before it were skipped";
    return "";
}

static void print_step(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    json_t *state = checkpoint_state_peek(path);
    const char *moments = state ? json_string_value(json_object_get(state, "moments")) : NULL;
    const char *means = meaning(name, state);
    printf("%-24s %12.2f MB %14" PRId64 " tokens   moments %s%s%s\n", name, (double)folder_bytes(path) / 1e6,
           integer_of(state, "tokens"), moments ? moments : "?", *means ? "   " : "", means);
    json_decref(state);
    free(path);
}

static Status run_list(void *values) {
    const Folder *task = values;
    char *folder = steps_folder(task->path), **names;
    if (!folder) return BAD_INPUT;
    int64_t count, printed = 0;
    const int error = folder_list(folder, &names, &count);
    if (error) log_error("reading folder %s: %s", folder, strerror(error));
    for (int64_t i = 0; !error && i < count; i++) {
        if (strncmp(names[i], "step-", 5) != 0) continue;
        print_step(folder, names[i]);
        printed++;
    }
    if (!error) folder_list_free(names, count);
    const Status status = error ? IO_ERROR : printed ? OK : no_steps(folder);
    free(folder);
    return status;
}

static const Command checkpoint_list_command = {
    .name = "checkpoint list",
    .summary = "print the steps of a run",
    .text = "Prints a line for each step of a run, with those that were set aside or not completed. A run resumes\n"
            "from the last step that is complete.\n",
    .options = folder_options,
    .option_count = LENGTH(folder_options),
    .values_size = sizeof(Folder),
    .run = run_list,
};

/* verify */

/* Reads one step and prints what was found. */
static Status verify_step(const char *path) {
    const Status status = checkpoint_check(path);
    printf("%s: %s\n", path, status == OK ? "good" : status == IO_ERROR ? "cannot be read" : "damaged");
    fflush(stdout);
    return status;
}

static Status verify_steps(const char *folder) {
    int64_t *steps, count;
    Status worst = checkpoint_list_all(folder, &steps, &count);
    if (worst == OK && count == 0) worst = no_steps(folder);
    for (int64_t i = 0; i < count; i++) {
        char *path = checkpoint_path(folder, steps[i]);
        const Status status = verify_step(path);
        if (status > worst) worst = status;
        free(path);
    }
    free(steps);
    return worst;
}

static Status run_verify(void *values) {
    const Folder *task = values;
    char *state = path_join(task->path, "state.json");
    const bool is_step = file_exists(state);
    free(state);
    if (is_step) return verify_step(task->path);
    char *folder = steps_folder(task->path);
    const Status status = folder ? verify_steps(folder) : BAD_INPUT;
    free(folder);
    return status;
}

static const Option verify_options[] = {
    {"", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0, "a step, or a run's folder: all its steps",
     offsetof(Folder, path)},
};

static const Command checkpoint_verify_command = {
    .name = "checkpoint verify",
    .summary = "read and check whole steps",
    .text = "Reads every byte of the steps, compares it with the checksums and names every damaged tensor and file.\n"
            "Changes nothing. Exit code 0: all good, 1: damaged or missing, 3: cannot be read.\n",
    .options = verify_options,
    .option_count = LENGTH(verify_options),
    .values_size = sizeof(Folder),
    .run = run_verify,
};

/* diff */

typedef struct Pair {
    Texts folder;
} Pair;

static const Option pair_options[] = {
    {"", OPTION_TEXTS | OPTION_REQUIRED, "DIR", NULL, 0, 0,
     "two steps, runs (their newest steps) or Hugging Face folders", offsetof(Pair, folder)},
};

static void print_value(const json_t *value) {
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
    printf("%s", text ? text : "absent");
    free(text);
}

/* Checksums, of what is compared itself, and the run's name. */
static bool is_of_one_run(const char *key) {
    return strcmp(key, "tensors") == 0 || strcmp(key, "files") == 0 || strcmp(key, "crc32") == 0 ||
           strcmp(key, "run") == 0;
}

/* Prints the keys of two objects whose values differ. Returns how many there are. */
static int64_t compare_objects(const char *title, json_t *a, json_t *b) {
    json_t *all = json_object(), *ignored;
    const char *key;
    int64_t count = 0;
    json_object_update(all, a);
    json_object_update(all, b);
    json_object_foreach(all, key, ignored) {
        const json_t *one = json_object_get(a, key), *other = json_object_get(b, key);
        if (is_of_one_run(key)) continue;
        if (one && other && json_equal(one, other)) continue;
        printf("%s: %s ", title, key);
        print_value(one);
        printf(" | ");
        print_value(other);
        printf("\n");
        count++;
    }
    json_decref(all);
    return count;
}

/* The JSON object of FOLDER/NAME; an empty one if the file is missing. NULL (logged) if it is not an object. */
static json_t *read_object(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    json_error_t error;
    json_t *object = file_exists(path) ? json_load_file(path, JSON_REJECT_DUPLICATES, &error) : json_object();
    if (!object) log_error("%s is not JSON: line %d: %s", path, error.line, error.text);
    if (object && !json_is_object(object)) {
        log_error("%s is not a JSON object", path);
        json_decref(object);
        object = NULL;
    }
    free(path);
    return object;
}

static Status compare_files(const char *a, const char *b, const char *name, bool *equal) {
    json_t *one = read_object(a, name), *other = read_object(b, name);
    const Status status = one && other ? OK : BAD_INPUT;
    *equal = status == OK && compare_objects(name, one, other) == 0;
    json_decref(one);
    json_decref(other);
    return status;
}

static Status compare_steps(const char *a, const char *b) {
    const bool moments_a = tensor_folder_exists(a, "optimizer"), moments_b = tensor_folder_exists(b, "optimizer");
    bool config, state, model, moments = true;
    Status status = compare_files(a, b, "config.json", &config);
    if (status == OK) status = compare_files(a, b, "state.json", &state);
    if (status == OK) status = compare_weights(a, b, "model", &model);
    if (status == OK && moments_a && moments_b) status = compare_weights(a, b, "optimizer", &moments);
    if (status) return status;
    return config && state && model && moments && moments_a == moments_b ? OK : BAD_INPUT;
}

static Status run_diff(void *values) {
    const Pair *task = values;
    if (task->folder.count != 2) {
        log_error("checkpoint diff takes two folders, not %d; see flame-c checkpoint diff --help", task->folder.count);
        return USAGE;
    }
    char *a = checkpoint_find(task->folder.item[0]), *b = a ? checkpoint_find(task->folder.item[1]) : NULL;
    if (b) printf("first: %s\nsecond: %s\n", a, b);
    const Status status = b ? compare_steps(a, b) : BAD_INPUT;
    free(a);
    free(b);
    return status;
}

static const Command checkpoint_diff_command = {
    .name = "checkpoint diff",
    .summary = "print what differs between two checkpoints",
    .text = "Prints the keys of config.json and state.json that differ, and for every tensor that is not the same in\n"
            "both: how many values differ, the largest |a - b|, and the norm of a - b over that of a. Moments are\n"
            "compared if both have them. Exit code 0: nothing differs, 1: something does or cannot be compared.\n",
    .options = pair_options,
    .option_count = LENGTH(pair_options),
    .values_size = sizeof(Pair),
    .run = run_diff,
};

/* prune */

typedef struct Prune {
    const char *path;
    int64_t keep_latest_k, keep_every;
    bool dry_run;
} Prune;

static const Option prune_options[] = {
    {"", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0, "a run's folder, or the folder of its steps",
     offsetof(Prune, path)},
    {"keep-latest-k", OPTION_INTEGER | OPTION_REQUIRED, "N", NULL, 1, 1e9,
     "keep the newest N steps with different weights", offsetof(Prune, keep_latest_k)},
    {"keep-every", OPTION_INTEGER, "N", "0", 0, 1e15, "also keep steps divisible by this; 0: no such rule",
     offsetof(Prune, keep_every)},
    {"dry-run", OPTION_FLAG, "", NULL, 0, 0, "print what would be removed, and remove nothing",
     offsetof(Prune, dry_run)},
};

static Status check_any(const char *folder) {
    int64_t *steps, count;
    const Status status = checkpoint_list_all(folder, &steps, &count);
    free(steps);
    return status == OK && count == 0 ? no_steps(folder) : status;
}

/* The newest step must read back as it was written before an older one goes. */
static Status check_newest(const char *folder) {
    int64_t *steps, count;
    Status status = checkpoint_list(folder, &steps, &count);
    if (status == OK && count == 0) status = no_steps(folder);
    if (status == OK) {
        char *newest = checkpoint_path(folder, steps[count - 1]);
        status = checkpoint_check(newest);
        if (status) log_error("%s does not read back as it was written: no step is removed", newest);
        free(newest);
    }
    free(steps);
    return status;
}

static Status remove_excess(const Prune *task, const char *folder, const char *run_name) {
    const RetentionRule rule = {task->keep_latest_k, task->keep_every};
    int64_t *steps, count, failed = 0;
    const Status status = retention_excess(folder, rule, INT64_MAX, &steps, &count);
    if (status) return status;
    for (int64_t i = count - 1; i >= 0; i--) {
        char *path = checkpoint_path(folder, steps[i]);
        if (task->dry_run)
            printf("would remove %s\n", path);
        else if (retention_remove(folder, steps[i], run_name))
            printf("removed %s\n", path);
        else
            failed++;
        free(path);
    }
    if (count == 0) printf("nothing to remove in %s\n", folder);
    free(steps);
    return failed ? IO_ERROR : OK;
}

static Status run_prune(void *values) {
    const Prune *task = values;
    char *folder = steps_folder(task->path);
    if (!folder) return BAD_INPUT;
    RunLock *lock = NULL;
    Comm *self = comm_self_create();
    Status status = check_any(folder); /* before anything is made there */
    if (status == OK && !task->dry_run) status = run_lock_acquire(self, folder, 0, &lock);
    if (status == OK) status = check_newest(folder);
    if (status == OK) status = remove_excess(task, folder, lock ? run_lock_name(lock) : "");
    run_lock_release(lock);
    comm_destroy(self);
    free(folder);
    return status;
}

static const Command checkpoint_prune_command = {
    .name = "checkpoint prune",
    .summary = "remove old steps",
    .text = "Removes the steps that a run with checkpoint.keep_latest_k and checkpoint.keep_every would have removed,\n"
            "after it has read the newest step and found it good. Steps that were set aside as damaged or rewound\n"
            "stay. Refuses while a job runs in the folder.\n",
    .options = prune_options,
    .option_count = LENGTH(prune_options),
    .values_size = sizeof(Prune),
    .run = run_prune,
};

static const Command *const parts[] = {&checkpoint_list_command, &checkpoint_verify_command, &checkpoint_diff_command,
                                       &checkpoint_prune_command, NULL};

const Command checkpoint_command = {
    .name = "checkpoint",
    .summary = "list, verify, diff and prune checkpoints",
    .text = "Looks after the checkpoints of a run; docs/checkpoint-format.md describes their files.\n",
    .parts = parts,
};
