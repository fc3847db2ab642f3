#include "checkpoint/checkpoint_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/block_writer.h"
#include "base/check.h"
#include "base/files.h"
#include "base/memory.h"

static const int64_t LARGEST_FILE = INT64_C(5) * 1000 * 1000 * 1000; /* transformers' limit for shards */

/* The overlap of one tensor with this rank's shard: a contiguous range of a file. */
struct Piece {
    int64_t tensor;
    int file;
    int64_t offset; /* in the file */
    int64_t bytes;
    const Device *device;
    const char *source;  /* in the unit's shard, which is memory of `device` */
    int64_t copy_offset; /* in CheckpointParts.copy */
};

void failure_note(Failure *failure, const char *doing, const char *path, int error) {
    if (!error || failure->error) return;
    failure->error = error;
    snprintf(failure->what, sizeof failure->what, "%s %s: %s (errno %d)", doing, path, strerror(error), error);
}

const PlannedTensor *parts_tensor(const CheckpointParts *parts, int64_t index) {
    const SafetensorsPlan *model = &parts->plan[PLAN_MODEL], *optimizer = &parts->plan[PLAN_OPTIMIZER];
    return index < model->tensors ? &model->tensor[index] : &optimizer->tensor[index - model->tensors];
}

const PlannedFile *parts_file(const CheckpointParts *parts, int index) {
    const SafetensorsPlan *model = &parts->plan[PLAN_MODEL], *optimizer = &parts->plan[PLAN_OPTIMIZER];
    return index < model->files ? &model->file[index] : &optimizer->file[index - model->files];
}

int64_t parts_bytes(const CheckpointParts *parts) {
    int64_t bytes = 0;
    for (int i = 0; i < parts->files; i++) bytes += parts_file(parts, i)->bytes;
    return bytes;
}

static void plan_files(CheckpointParts *parts, const Unit *units, int count, int64_t max_shard_bytes) {
    static const char *const prefixes[] = {"exp_avg.", "exp_avg_sq."};
    SafetensorsPlan *model = &parts->plan[PLAN_MODEL], *optimizer = &parts->plan[PLAN_OPTIMIZER];
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters; i++) {
            const Parameter *p = &units[u].parameter[i];
            safetensors_plan_add(model, p->name, SAFE_F32, p->dims, p->shape);
        }
    /* Per unit: all first moments, then all second ones. A rank's shard of each is then one contiguous range. */
    for (int u = 0; u < count; u++)
        for (int moment = 0; moment < 2; moment++)
            for (int i = 0; i < units[u].parameters; i++) {
                const Parameter *p = &units[u].parameter[i];
                char name[PARAMETER_NAME + 16];
                snprintf(name, sizeof name, "%s%s", prefixes[moment], p->name);
                safetensors_plan_add(optimizer, name, SAFE_F32, p->dims, p->shape);
            }
    const int64_t limit = max_shard_bytes ? max_shard_bytes : LARGEST_FILE;
    safetensors_plan_place(model, "model", limit);
    safetensors_plan_place(optimizer, "optimizer", limit);
    parts->tensors = model->tensors + optimizer->tensors;
    parts->files = model->files + optimizer->files;
}

/* Adds the overlap of parameter p with this rank's shard, which is at `values`. */
static void add_piece(CheckpointParts *parts, const Unit *unit, const Parameter *p, const float *values,
                      int64_t tensor) {
    const UnitRange range = unit_range(unit, p);
    const int64_t bytes = (range.last - range.first) * 4;
    if (bytes <= 0) return;
    if (parts->pieces == parts->capacity) {
        parts->capacity = parts->capacity ? 2 * parts->capacity : 64;
        parts->piece = realloc(parts->piece, (size_t)parts->capacity * sizeof *parts->piece);
        CHECK_MEMORY(parts->piece, "no memory to plan a checkpoint");
    }
    const bool model = tensor < parts->plan[PLAN_MODEL].tensors;
    const PlannedTensor *planned = parts_tensor(parts, tensor);
    parts->piece[parts->pieces++] = (Piece){.tensor = tensor,
                                            .file = planned->file + (model ? 0 : parts->plan[PLAN_MODEL].files),
                                            .offset = planned->offset + range.in_parameter * 4,
                                            .bytes = bytes,
                                            .device = unit->update_device,
                                            .source = (const char *)(values + range.in_shard),
                                            .copy_offset = parts->copy_bytes};
    parts->copy_bytes += bytes;
}

void parts_plan(CheckpointParts *parts, const Unit *units, int count, int64_t max_shard_bytes) {
    plan_files(parts, units, count, max_shard_bytes);
    int64_t tensor = 0;
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters; i++)
            add_piece(parts, &units[u], &units[u].parameter[i], units[u].master, tensor++);
    for (int u = 0; u < count; u++)
        for (int moment = 0; moment < 2; moment++)
            for (int i = 0; i < units[u].parameters; i++)
                add_piece(parts, &units[u], &units[u].parameter[i],
                          moment == 0 ? units[u].exp_avg : units[u].exp_avg_sq, tensor++);
    parts->written = calloc((size_t)parts->tensors + 1, sizeof *parts->written);
    CHECK_MEMORY(parts->written, "no memory to plan a checkpoint");
}

void parts_free(CheckpointParts *parts) {
    for (int i = 0; i < PLANS; i++) safetensors_plan_free(&parts->plan[i]);
    free(parts->piece);
    free(parts->copy);
    free(parts->written);
}

void parts_take_copy(CheckpointParts *parts) {
    if (parts->pieces == 0 || parts->piece[0].device->host_memory) return;
    parts->copy = memory_take(parts->copy_bytes, "the copy that checkpoints are written from",
                              "Set checkpoint.async_mode: disabled, or use more ranks");
}

void parts_copy(CheckpointParts *parts) {
    if (!parts->copy) return;
    for (int64_t i = 0; i < parts->pieces; i++) {
        const Piece *piece = &parts->piece[i];
        piece->device->copy(parts->copy + piece->copy_offset, piece->bytes, piece->source, piece->bytes, 1,
                            piece->bytes);
    }
    parts->piece[0].device->synchronize();
}

static void create_file(const PlannedFile *file, const char *folder, Failure *failure) {
    char *path = path_join(folder, file->name);
    int fd = -1;
    int error = file_create(path, &fd);
    failure_note(failure, "creating", path, error);
    if (!error) {
        error = file_allocate(fd, file->bytes);
        failure_note(failure, "reserving room for", path, error);
        if (!error) error = file_write(fd, file->header, file->header_bytes, 0);
        failure_note(failure, "writing", path, error);
        failure_note(failure, "closing", path, file_close(fd));
    }
    free(path);
}

void parts_create_files(const CheckpointParts *parts, const char *folder, Failure *failure) {
    for (int i = 0; i < parts->files && !failure->error; i++) create_file(parts_file(parts, i), folder, failure);
}

/* Writes one piece. The CRC is updated here, while the bytes are in the processor's cache. */
static int write_piece(CheckpointParts *parts, const Piece *piece, BlockWriter *writer) {
    CrcPart *written = &parts->written[piece->tensor];
    *written = (CrcPart){piece->offset - parts_tensor(parts, piece->tensor)->offset, piece->bytes, 0};
    for (int64_t done = 0, bytes; done < piece->bytes; done += bytes) {
        char *to;
        int64_t room;
        const int error = block_writer_room(writer, piece->offset + done, &to, &room);
        if (error) return error;
        bytes = piece->bytes - done < room ? piece->bytes - done : room;
        if (parts->copy)
            memcpy(to, parts->copy + piece->copy_offset + done, (size_t)bytes);
        else
            device_download(piece->device, to, piece->source + done, bytes);
        written->crc = crc_update(written->crc, to, bytes);
        block_writer_advance(writer, bytes);
    }
    return 0;
}

/* Writes pieces first .. last - 1, which belong to one file. */
static int write_pieces(CheckpointParts *parts, int64_t first, int64_t last, int fd) {
    BlockWriter writer;
    int error = block_writer_open(&writer, fd);
    for (int64_t i = first; i < last && !error; i++) error = write_piece(parts, &parts->piece[i], &writer);
    if (!error) error = block_writer_flush(&writer);
    block_writer_close(&writer);
    return error;
}

void parts_write(CheckpointParts *parts, const char *folder, bool sync_all, sem_t *all_read, Failure *failure) {
    memset(parts->written, 0, (size_t)parts->tensors * sizeof *parts->written);
    int64_t first = 0;
    for (int file = 0; file < parts->files && !failure->error; file++) {
        int64_t last = first;
        while (last < parts->pieces && parts->piece[last].file == file) last++;
        if (last == first && !sync_all) continue;
        char *path = path_join(folder, parts_file(parts, file)->name);
        int fd = -1;
        const int error = file_open_write(path, &fd);
        failure_note(failure, "opening", path, error);
        if (!error) {
            failure_note(failure, "writing", path, write_pieces(parts, first, last, fd));
            if (last == parts->pieces) sem_post(all_read);
            if (!failure->error) failure_note(failure, "syncing", path, file_sync(fd));
            failure_note(failure, "closing", path, file_close(fd));
        }
        free(path);
        first = last;
    }
    sem_post(all_read);
}
