#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/clock.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/checkpoint_state.h"
#include "base/crc.h"
#include "base/files.h"
#include "checkpoint/retention.h"

/* A small file, written by rank 0. */
enum { OWN_TEXTS = 5, TEXTS = OWN_TEXTS + TOKENIZER_FILES };
typedef struct Text {
    const char *name;
    char *content; /* owned in the first OWN_TEXTS; tokenizer files are borrowed */
    int64_t bytes;
} Text;

struct Checkpointer {
    Comm *comm;
    CheckpointOptions options;
    char *folder, *run_name;
    CheckpointParts parts;
    SavedStep saved;

    /* The save in progress. */
    bool busy, threaded, reading; /* reading: the units are being read and must not change */
    int64_t step;
    double begun;  /* seconds_now() */
    json_t *state; /* rank 0 */
    char *temporary;
    Text text[TEXTS]; /* rank 0 */
    pthread_t thread;
    sem_t all_read; /* posted once the units have been read or the save has failed */
    atomic_bool written;
    Failure failure;
};

/* The lowest rank with an error; -1: none. Collective. */
static int failing_rank(Comm *comm, int error) {
    double value = error ? comm->size - comm->rank : 0;
    comm->f->all_reduce_max(comm, &value, 1);
    return value > 0 ? comm->size - (int)value : -1;
}

static bool is_temporary(const char *name) {
    if (strncmp(name, "step-", 5) != 0) return false;
    const size_t digits = strspn(name + 5, "0123456789"); /* 8, or more for steps that have more */
    return digits >= 8 && strncmp(name + 5 + digits, ".tmp-", 5) == 0;
}

/* Removes the temporary folders of saves that were interrupted. */
static void remove_leftovers(const Checkpointer *c) {
    char **names;
    int64_t count;
    if (folder_list(c->folder, &names, &count)) return;
    for (int64_t i = 0; i < count; i++) {
        if (!is_temporary(names[i])) continue;
        char *path = path_join(c->folder, names[i]);
        const int error = folder_remove(path);
        if (error)
            log_warning("cannot remove %s, the temporary folder of an interrupted save: %s", path, strerror(error));
        free(path);
    }
    folder_list_free(names, count);
}

/* Rank 0: creates the folder, removes leftovers and checks that it can be written. Returns 0 or a logged errno. */
static int prepare_folder(const Checkpointer *c) {
    int error = folder_create_all(c->folder);
    if (!error) {
        remove_leftovers(c);
        char *probe = path_join(c->folder, "step-00000000.tmp-probe");
        error = folder_create(probe);
        if (!error) error = folder_remove(probe);
        free(probe);
    }
    if (error) {
        log_error("checkpoints cannot be written to %s: %s", c->folder, strerror(error));
        return error;
    }
    const int64_t available = folder_free_bytes(c->folder), needed = parts_bytes(&c->parts);
    if (available < needed)
        log_warning("a checkpoint needs %.1f MB, but the disk of %s has %.1f MB left", (double)needed / 1e6, c->folder,
                    (double)available / 1e6);
    return 0;
}

Status checkpointer_create(Comm *comm, const Unit *units, int count, const CheckpointOptions *options,
                           Checkpointer **result) {
    Checkpointer *c = calloc(1, sizeof *c);
    CHECK_MEMORY(c, "no memory for the checkpoints");
    c->comm = comm;
    c->options = *options;
    c->folder = strdup(options->folder);
    c->run_name = strdup(options->run_name);
    CHECK_MEMORY(c->folder && c->run_name, "no memory for the checkpoints");
    c->saved.step = -1;
    parts_plan(&c->parts, units, count, options->max_shard_bytes);
    if (options->asynchronous) parts_take_copy(&c->parts);
    *result = c;
    const int error = comm->rank == 0 ? prepare_folder(c) : 0;
    if (failing_rank(comm, error) < 0) return OK;
    checkpointer_destroy(c);
    *result = NULL;
    return IO_ERROR;
}

void checkpointer_destroy(Checkpointer *c) {
    if (!c) return;
    checkpoint_wait(c);
    parts_free(&c->parts);
    free(c->folder);
    free(c->run_name);
    free(c);
}

SavedStep checkpoint_saved(const Checkpointer *c) { return c->saved; }

/* Writes and fsyncs this rank's parts. Rank 0, which has written the header of every file, also writes the small files.
 * An asynchronous save runs this function in a thread. */
static void write_all(Checkpointer *c) {
    parts_write(&c->parts, c->temporary, c->comm->rank == 0, &c->all_read, &c->failure);
    for (int i = 0; i < TEXTS && !c->failure.error; i++) {
        if (!c->text[i].content) continue;
        char *path = path_join(c->temporary, c->text[i].name);
        failure_note(&c->failure, "writing", path, file_write_all(path, c->text[i].content, c->text[i].bytes));
        free(path);
    }
}

static void *write_in_background(void *argument) {
    Checkpointer *c = argument;
    write_all(c);
    atomic_store(&c->written, true);
    return NULL;
}

/* The thread blocks all signals, because another thread handles them (base/signals.h). */
static void start_thread(Checkpointer *c) {
    c->reading = !c->parts.copy;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&c->written, false);
    c->threaded = pthread_create(&c->thread, NULL, write_in_background, c) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!c->threaded) write_in_background(c);
}

static void add_text(Checkpointer *c, int index, const char *name, const char *content) {
    if (!content) return;
    c->text[index] = (Text){name, strdup(content), (int64_t)strlen(content)};
    CHECK_MEMORY(c->text[index].content, "no memory for %s", name);
}

static void begin(Checkpointer *c, int64_t step, const json_t *state, const CheckpointTexts *texts) {
    c->busy = true;
    c->step = step;
    c->begun = seconds_now();
    c->failure.error = 0;
    CHECK(sem_init(&c->all_read, 0, 0) == 0, "a semaphore cannot be made");
    c->temporary = checkpoint_temporary_path(c->folder, step, c->run_name, "");
    if (c->comm->rank != 0) return;
    c->state = json_deep_copy(state);
    add_text(c, 0, "config.json", texts->config_json);
    add_text(c, 1, "generation_config.json", texts->generation_config_json);
    add_text(c, 2, "config.yaml", texts->config_yaml);
    add_text(c, 3, "model.safetensors.index.json", c->parts.plan[PLAN_MODEL].index);
    add_text(c, 4, "optimizer.safetensors.index.json", c->parts.plan[PLAN_OPTIMIZER].index);
    for (int i = 0; i < TOKENIZER_FILES && c->options.tokenizer; i++) {
        const TokenizerFile *file = &c->options.tokenizer->file[i];
        c->text[OWN_TEXTS + i] = (Text){tokenizer_file_names[i], file->content, file->bytes};
    }
    failure_note(&c->failure, "creating", c->temporary, folder_create_empty(c->temporary));
    parts_create_files(&c->parts, c->temporary, &c->failure);
}

static void end(Checkpointer *c) {
    c->busy = c->threaded = false;
    sem_destroy(&c->all_read);
    json_decref(c->state);
    c->state = NULL;
    free(c->temporary);
    for (int i = 0; i < OWN_TEXTS; i++) free(c->text[i].content);
    memset(c->text, 0, sizeof c->text);
}

/* IO_ERROR on all ranks if one has failed: the lowest such rank logs why, rank 0 removes the temporary folder.
 * Collective. */
static Status agree(Checkpointer *c) {
    const int rank = failing_rank(c->comm, c->failure.error);
    if (rank < 0) return OK;
    if (c->comm->rank == rank)
        log_error("step %" PRId64 " was not saved: rank %d: %s. Older checkpoints are untouched", c->step, rank,
                  c->failure.what);
    if (c->comm->rank == 0 && path_exists(c->temporary)) {
        const int error = folder_remove(c->temporary);
        if (error) log_warning("cannot remove %s: %s", c->temporary, strerror(error));
    }
    return IO_ERROR;
}

/* Rank 0: combines the CRCs of all ranks' parts into one per tensor. */
static void combine_crcs(Checkpointer *c, const CrcPart *parts) {
    for (int64_t i = 0; i < c->parts.tensors; i++) {
        const PlannedTensor *tensor = parts_tensor(&c->parts, i);
        const uint32_t crc = crc_of_parts(&parts[i], c->comm->size, c->parts.tensors, tensor->bytes);
        checkpoint_state_add(c->state, "tensors", tensor->name, crc);
    }
}

static void write_state(Checkpointer *c, const CrcPart *parts) {
    json_object_set_new(c->state, "format_version", json_integer(CHECKPOINT_VERSION));
    json_object_set_new(c->state, "step", json_integer(c->step));
    json_object_set_new(c->state, "moments", json_string("saved"));
    for (int i = 0; i < TEXTS; i++)
        if (c->text[i].content)
            checkpoint_state_add(c->state, "files", c->text[i].name,
                                 crc_update(0, c->text[i].content, c->text[i].bytes));
    for (int i = 0; i < c->parts.files; i++) {
        const PlannedFile *file = parts_file(&c->parts, i);
        checkpoint_state_add(c->state, "files", file->name, crc_update(0, file->header, file->header_bytes));
    }
    combine_crcs(c, parts);
    int64_t bytes;
    char *text = checkpoint_state_encode(c->state, &bytes), *path = path_join(c->temporary, "state.json");
    failure_note(&c->failure, "writing", path, file_write_all(path, text, bytes));
    free(path);
    free(text);
}

/* Replaces the folder `path` in two steps, for file systems that cannot exchange names. If it is interrupted between
 * them, no folder has the name, and checkpoint_recover repairs that. */
static int replace_folder(Checkpointer *c, const char *path, const char *old) {
    int error = file_rename(path, old);
    if (error) return error;
    error = file_rename(c->temporary, path);
    if (error && file_rename(old, path) != 0)
        log_error("%s has been renamed to %s; the next start of the run gives it its name back", path, old);
    return error;
}

/* Renames the complete temporary folder to its final name. The same step may exist already, if it was saved before the
 * run went back to an earlier one. It is then exchanged in one system call, if the file system can do that, and
 * removed. */
static int give_name(Checkpointer *c, const char *path) {
    if (!path_exists(path)) return file_rename(c->temporary, path);
    int error = file_exchange(c->temporary, path);
    char *old =
        error ? checkpoint_temporary_path(c->folder, c->step, c->run_name, CHECKPOINT_REPLACED) : strdup(c->temporary);
    CHECK_MEMORY(old, "no memory for a path");
    if (error == EINVAL || error == ENOSYS) error = replace_folder(c, path, old);
    if (!error) {
        const int failed = folder_remove(old);
        if (failed) log_warning("cannot remove %s: %s", old, strerror(failed));
    }
    free(old);
    return error;
}

/* Rank 0: writes state.json, syncs the folder and renames it. */
static void commit(Checkpointer *c, const CrcPart *parts) {
    char *path = checkpoint_path(c->folder, c->step);
    write_state(c, parts);
    if (!c->failure.error) failure_note(&c->failure, "syncing", c->temporary, folder_sync(c->temporary));
    if (!c->failure.error) failure_note(&c->failure, "renaming", c->temporary, give_name(c, path));
    if (!c->failure.error) failure_note(&c->failure, "syncing", c->folder, folder_sync(c->folder));
    free(path);
}

/* Rank 0: removes the steps that retention does not keep. Steps later than the one just saved are left alone, because
 * they belong to a run that got further. */
static void remove_old_steps(const Checkpointer *c) {
    const int64_t keep = c->options.keep_latest_k;
    if (keep <= 0) return;
    if (keep == 1) {
        char *path = checkpoint_path(c->folder, c->step);
        const Status status = checkpoint_check(path);
        free(path);
        if (status) {
            log_warning("step %" PRId64 " does not read back as written; the older checkpoints are kept", c->step);
            return;
        }
    }
    int64_t *steps, count;
    const RetentionRule rule = {keep, c->options.keep_every};
    if (retention_excess(c->folder, rule, c->step, &steps, &count)) return;
    for (int64_t i = 0; i < count; i++) retention_remove(c->folder, steps[i], c->run_name);
    free(steps);
}

/* Ends a save after every rank has written its parts or failed: combines CRCs, renames, applies retention. Collective.
 */
static Status finish(Checkpointer *c) {
    Comm *comm = c->comm;
    if (c->threaded) pthread_join(c->thread, NULL);
    c->reading = false;
    Status status = agree(c);
    if (status == OK) {
        CrcPart *parts = calloc((size_t)(comm->size * c->parts.tensors) + 1, sizeof *parts);
        CHECK_MEMORY(parts, "no memory for the CRCs of a checkpoint");
        comm->f->all_gather(comm, c->parts.written, parts, c->parts.tensors * (int64_t)sizeof *parts);
        if (comm->rank == 0) commit(c, parts);
        free(parts);
        status = agree(c);
    }
    if (status == OK) {
        c->saved = (SavedStep){c->step, parts_bytes(&c->parts), seconds_now() - c->begun};
        if (comm->rank == 0) remove_old_steps(c);
    }
    end(c);
    return status;
}

Status checkpoint_save(Checkpointer *c, int64_t step, const json_t *state, const CheckpointTexts *texts) {
    checkpoint_wait(c);
    begin(c, step, state, texts);
    const Status status = agree(c);
    if (status) {
        end(c);
        return status;
    }
    if (!c->options.asynchronous) {
        write_all(c);
        return finish(c);
    }
    parts_copy(&c->parts);
    start_thread(c);
    return OK;
}

void checkpoint_finish_reading(Checkpointer *c) {
    if (!c->reading) return;
    while (sem_wait(&c->all_read) != 0) CHECK(errno == EINTR, "waiting for a semaphore fails");
    c->reading = false;
}

Status checkpoint_poll(Checkpointer *c) {
    if (!c->busy) return OK;
    double writing = !atomic_load(&c->written);
    c->comm->f->all_reduce_max(c->comm, &writing, 1);
    return writing > 0 ? OK : finish(c);
}

Status checkpoint_wait(Checkpointer *c) { return c->busy ? finish(c) : OK; }
