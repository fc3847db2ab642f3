#include "suites/examples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/files.h"
#include "base/log.h"

struct Examples {
    const Task *task;
    const void *config;
    TaskSizes sizes;
    int64_t length;
    uint64_t seed;
    const char *split, *path;
    void *file; /* NULL: the examples are generated */
};

/* Whether the published files have the split. Otherwise its examples are generated. */
static bool in_files(const Examples *x) {
    if (strcmp(x->split, "train") == 0 || strcmp(x->split, "test") == 0) return true;
    return x->task->files && x->task->files->has(x->path, x->split);
}

static Status make_example(const Examples *x, int64_t number, Example example) {
    if (x->file) return x->task->files->example(x->file, number, x->sizes.tokens, example);
    task_example(x->task, x->config, x->seed, x->split, number, example);
    return OK;
}

/* Finds the largest id in the inputs of the first examples. */
static Status largest_id(const Examples *x, int64_t examples, int32_t *largest) {
    const int64_t T = x->sizes.T;
    int32_t *ids = malloc(2 * (size_t)T * sizeof *ids);
    CHECK_MEMORY(ids, "out of memory");
    Status status = OK;
    *largest = 0;
    for (int64_t i = 0; i < examples && status == OK; i++) {
        status = make_example(x, i, (Example){.inputs = ids, .labels = ids + T});
        for (int64_t t = 0; t < T && status == OK; t++)
            if (ids[t] > *largest) *largest = ids[t];
    }
    free(ids);
    return status;
}

/* Refuses files of a smaller vocabulary, whose ids have other meanings in this one. Any hundred examples contain the
 * last id, because it is a mark or one of many values that are equally likely. */
static Status check_vocabulary(const Examples *x) {
    enum { LOOKED_AT = 100 };
    int32_t largest;
    if (examples_count(x) < LOOKED_AT) return OK;
    const Status status = largest_id(x, LOOKED_AT, &largest);
    if (status != OK || largest == x->sizes.tokens - 1) return status;
    log_error("training.data: %s has ids up to %d in the first examples to %s, and %s has %lld tokens by its keys; set "
              "them as those of the files",
              x->path, largest, x->split, x->task->name, (long long)x->sizes.tokens);
    return BAD_INPUT;
}

static Status open_file(Examples *x, int64_t wanted) {
    const TaskFiles *files = x->task->files;
    const char *path = x->path;
    const Status status = files->open(path, x->split, &x->file);
    if (status != OK) return status;
    if (files->length(x->file) != x->sizes.T) {
        log_error("training.data: %s holds sequences of %lld tokens, but the keys of %s give %lld", path,
                  (long long)files->length(x->file), x->task->name, (long long)x->sizes.T);
        return BAD_INPUT;
    }
    if (files->examples(x->file) >= wanted) return check_vocabulary(x);
    log_error("training.data: %s holds %lld examples to %s, fewer than the %lld of training.%sexamples", path,
              (long long)files->examples(x->file), x->split, (long long)wanted,
              strcmp(x->split, "train") == 0 ? "" : "test_");
    return BAD_INPUT;
}

Status examples_open(const Task *task, const void *config, int64_t length, uint64_t seed, const char *split,
                     const char *path, int64_t wanted, Examples **examples) {
    Examples *x = calloc(1, sizeof *x);
    CHECK_MEMORY(x, "out of memory");
    *x = (Examples){.task = task,
                    .config = config,
                    .sizes = task->sizes(config),
                    .length = length,
                    .seed = seed,
                    .split = split,
                    .path = path};
    *examples = x;
    return path && in_files(x) ? open_file(x, wanted) : OK;
}

static int add_bytes(int fd, int64_t bytes, uint32_t *crc) {
    enum { PART = 1 << 20 };
    char *part = malloc(PART);
    CHECK_MEMORY(part, "out of memory");
    int error = 0;
    for (int64_t at = 0; at < bytes && error == 0; at += PART) {
        const int64_t count = bytes - at < PART ? bytes - at : PART;
        error = file_read(fd, part, count, at);
        *crc = crc_update(*crc, part, error ? 0 : count);
    }
    free(part);
    return error;
}

static Status add_file(const char *path, const char *split, const char *ending, uint32_t *crc) {
    const size_t room = strlen(path) + strlen(split) + strlen(ending) + 2;
    char *name = malloc(room);
    int64_t bytes;
    int fd = -1;
    CHECK_MEMORY(name, "out of memory");
    snprintf(name, room, "%s/%s%s", path, split, ending);
    int error = file_open_read(name, &fd, &bytes);
    if (error == 0) {
        error = add_bytes(fd, bytes, crc);
        close(fd);
    }
    if (error) log_error("training.data: %s cannot be read: %s", name, file_read_reason(error));
    free(name);
    return error == 0 ? OK : file_is_missing(error) ? BAD_INPUT : IO_ERROR;
}

static Status add_split(const TaskFiles *files, const char *path, const char *split, uint32_t *crc) {
    Status status = OK;
    for (const char *const *ending = files->endings; *ending && status == OK; ending++)
        status = add_file(path, split, *ending, crc);
    return status;
}

Status examples_files_crc(const Task *task, const char *path, uint32_t *crc) {
    *crc = 0;
    if (!task->files) {
        log_error("training.data: %s has no published files", task->name);
        return USAGE;
    }
    Status status = add_split(task->files, path, "train", crc);
    if (status == OK) status = add_split(task->files, path, "test", crc);
    for (const Split *split = task->splits; split && split->name && status == OK; split++)
        if (task->files->has(path, split->name)) status = add_split(task->files, path, split->name, crc);
    return status;
}

void examples_close(Examples *x) {
    if (!x) return;
    if (x->file) x->task->files->close(x->file);
    free(x);
}

int64_t examples_count(const Examples *x) { return x->file ? x->task->files->examples(x->file) : 0; }

/* The arrays of the example that begins at position `first` of a batch. */
static Example example_at(HostBatch batch, int64_t first, const TaskSizes *sizes) {
    return (Example){.inputs = batch.tokens + first,
                     .labels = batch.labels + first,
                     .features = batch.features ? batch.features + first * sizes->features : NULL,
                     .values = batch.values ? batch.values + first : NULL};
}

/* Makes the first copy of a set from the second, which is the example. The first copy has no labels. */
static void copy_inputs(Example from, Example to, const TaskSizes *sizes) {
    memcpy(to.inputs, from.inputs, (size_t)sizes->T * sizeof *to.inputs);
    if (to.features) memcpy(to.features, from.features, (size_t)(sizes->T * sizes->features) * sizeof *to.features);
    for (int64_t t = 0; t < sizes->T; t++) to.labels[t] = IGNORED_LABEL;
}

/* Writes example `number` as sequence b. */
static Status fill_example(const Examples *x, int64_t number, HostBatch batch, int64_t b) {
    const int64_t T = x->length;
    const Example example = example_at(batch, (b + 1) * T - x->sizes.T, &x->sizes);
    if (x->sizes.features) memset(example.inputs, 0, (size_t)x->sizes.T * sizeof *example.inputs);
    const Status status = make_example(x, number, example);
    if (T > x->sizes.T) copy_inputs(example, example_at(batch, b * T, &x->sizes), &x->sizes);
    return status;
}

static void fill_positions(HostBatch batch, int64_t B, int64_t T) {
    for (int64_t i = 0; i < B * T; i++) {
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)(i % T);
    }
}

static void fill_empty(HostBatch batch, int64_t b, int64_t T) {
    for (int64_t i = b * T; i < (b + 1) * T; i++) {
        batch.tokens[i] = 0;
        batch.labels[i] = PADDING_LABEL;
    }
}

Status examples_fill(const Examples *x, const int64_t number[], int64_t B, HostBatch batch) {
    const int64_t T = x->length;
    Status status = OK;
    fill_positions(batch, B, T);
    for (int64_t b = 0; b < B && status == OK; b++)
        if (number[b] < 0)
            fill_empty(batch, b, T);
        else
            status = fill_example(x, number[b], batch, b);
    return status;
}
