#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/checksums.h"
#include "checkpoint/shards.h"
#include "base/crc.h"
#include "checkpoint/tensor_folder.h"
#include "checkpoint/weights.h"
#include "parallel/agreement.h"

static const int64_t BLOCK_BYTES = 4 << 20; /* bytes read and checksummed at a time */

/* Result of loading a step folder, in order of severity: the ranks agree on the largest. */
typedef enum Verdict {
    GOOD,
    UNREADABLE, /* I/O error; the data may be sound */
    DAMAGED,    /* not what was saved; an older step may still be good */
    FOREIGN     /* sound, but of another model or a newer format */
} Verdict;

typedef struct OpenCheckpoint {
    const char *path;
    json_t *state;
    TensorFolder *model, *optimizer; /* optimizer: NULL if the moments are zero */
} OpenCheckpoint;

static Verdict worst_of(Comm *comm, Verdict verdict) {
    double value = verdict;
    comm->f->all_reduce_max(comm, &value, 1);
    return (Verdict)value;
}

static Verdict verdict_of(Status status) { return status == OK ? GOOD : status == IO_ERROR ? UNREADABLE : DAMAGED; }

static void close_checkpoint(OpenCheckpoint *checkpoint) {
    tensor_folder_close(checkpoint->model);
    tensor_folder_close(checkpoint->optimizer);
    json_decref(checkpoint->state);
    *checkpoint = (OpenCheckpoint){0};
}

/* Verifies the CRCs of the small files, except the index, which is verified with its tensors. Loading
 * needs config.json alone, so it only warns if another of them was changed. */
static Verdict check_texts(const OpenCheckpoint *checkpoint, bool loading) {
    const char *name;
    json_t *value;
    Verdict worst = GOOD;
    json_object_foreach(json_object_get(checkpoint->state, "files"), name, value) {
        if (strstr(name, ".safetensors")) continue;
        const Verdict verdict = verdict_of(checkpoint_state_check_file(checkpoint->state, checkpoint->path, name));
        const bool needed = !loading || strcmp(name, "config.json") == 0;
        if (verdict != GOOD && !needed)
            log_warning("%s/%s is not needed for loading, which continues without it", checkpoint->path, name);
        if (needed && verdict > worst) worst = verdict;
    }
    return worst;
}

static bool moments_are_zero(const OpenCheckpoint *checkpoint) {
    const char *moments = json_string_value(json_object_get(checkpoint->state, "moments"));
    return moments && strcmp(moments, "zero") == 0;
}

/* Refuses a folder that was renamed by hand: the run would continue with the samples of another step than the name
 * says. */
static Status check_step(const OpenCheckpoint *checkpoint) {
    const json_t *saved = json_object_get(checkpoint->state, "step");
    const int64_t named = checkpoint_step(checkpoint->path);
    if (named < 0 || (json_is_integer(saved) && json_integer_value(saved) == named)) return OK;
    if (json_is_integer(saved) && json_integer_value(saved) >= 0)
        log_error("%s is the checkpoint of step %" JSON_INTEGER_FORMAT ", under another name. Rename it to "
                  "step-%08" JSON_INTEGER_FORMAT,
                  checkpoint->path, json_integer_value(saved), json_integer_value(saved));
    else
        log_error("%s/state.json has no step", checkpoint->path);
    return BAD_INPUT;
}

/* Opens and verifies everything but the small files and the tensors' data. */
static Verdict open_checkpoint(const char *path, OpenCheckpoint *checkpoint) {
    *checkpoint = (OpenCheckpoint){.path = path};
    const Status status = checkpoint_state_read(path, &checkpoint->state);
    if (status) return verdict_of(status);
    if (checkpoint_state_check_version(checkpoint->state, path)) return FOREIGN;
    if (check_step(checkpoint)) return FOREIGN;
    const Verdict verdict = verdict_of(checksums_open_tensors(checkpoint->state, path, "model", &checkpoint->model));
    if (verdict != GOOD || moments_are_zero(checkpoint)) return verdict;
    return verdict_of(checksums_open_tensors(checkpoint->state, path, "optimizer", &checkpoint->optimizer));
}

static bool all_fp32(const TensorFolder *folder, const char *path) {
    for (int64_t i = 0; folder && i < tensor_folder_count(folder); i++) {
        const SafeTensor *tensor = tensor_folder_entry(folder, i);
        if (tensor->type == SAFE_F32) continue;
        log_error("%s: tensor %s has dtype %s, but a checkpoint to train from needs F32", path, tensor->name,
                  safe_type_name(tensor->type));
        return false;
    }
    return true;
}

static Verdict check_names(const OpenCheckpoint *checkpoint, const Unit *units, int count) {
    if (!all_fp32(checkpoint->model, checkpoint->path)) return FOREIGN;
    if (!all_fp32(checkpoint->optimizer, checkpoint->path)) return FOREIGN;
    if (weights_check(checkpoint->model, checkpoint->path, "", units, count)) return FOREIGN;
    if (!checkpoint->optimizer) return GOOD;
    if (weights_check(checkpoint->optimizer, checkpoint->path, shard_prefixes[SHARD_EXP_AVG], units, count))
        return FOREIGN;
    if (weights_check(checkpoint->optimizer, checkpoint->path, shard_prefixes[SHARD_EXP_AVG_SQ], units, count))
        return FOREIGN;
    return GOOD;
}

/* Loads and verifies one kind of tensors of all units. Collective. */
static Verdict load_kind(const OpenCheckpoint *checkpoint, Comm *comm, Unit *units, int count, ShardKind kind) {
    const TensorFolder *tensors = kind == SHARD_WEIGHTS ? checkpoint->model : checkpoint->optimizer;
    return verdict_of(shards_read(tensors, checkpoint->state, checkpoint->path, comm, units, count, kind));
}

/* Compares the CRC of state.json over all ranks: a host that mounts another file system at the same path may have the
 * checkpoint of another run there. Collective. */
static Verdict check_same(const OpenCheckpoint *checkpoint, Comm *comm) {
    Agreement *agreement = agreement_begin();
    agreement_add(agreement, checkpoint->path, "a checkpoint with the CRC %s",
                  json_string_value(json_object_get(checkpoint->state, "crc32")));
    return agreement_end(agreement, comm, "let all hosts see the same job.dump_folder") == OK ? GOOD : FOREIGN;
}

/* Rank 0 opens the folder before the others do, so that an error is logged once. Collective. */
static Verdict load(const char *path, Comm *comm, Unit *units, int count, json_t **state) {
    OpenCheckpoint checkpoint = {0};
    Verdict verdict = GOOD;
    for (int turn = 0; turn < 2 && verdict == GOOD; turn++) {
        if ((turn == 0) == (comm->rank == 0)) {
            verdict = open_checkpoint(path, &checkpoint);
            if (verdict == GOOD) verdict = check_texts(&checkpoint, true);
            if (verdict == GOOD) verdict = check_names(&checkpoint, units, count);
        }
        verdict = worst_of(comm, verdict);
    }
    if (verdict == GOOD) verdict = check_same(&checkpoint, comm);
    const bool zero = verdict == GOOD && !checkpoint.optimizer;
    const ShardKind kinds = zero ? SHARD_EXP_AVG : SHARD_KINDS;
    for (ShardKind kind = SHARD_WEIGHTS; kind < kinds && verdict == GOOD; kind++)
        verdict = load_kind(&checkpoint, comm, units, count, kind);
    if (verdict == GOOD && zero) weights_zero_moments(units, count);
    if (verdict == GOOD && state) {
        *state = json_deep_copy(checkpoint.state);
        json_object_del(*state, "tensors");
        json_object_del(*state, "files");
        json_object_del(*state, "crc32");
    }
    close_checkpoint(&checkpoint);
    return verdict;
}

/* Lists the steps on rank 0 and broadcasts them, so that all ranks try the same folders. Collective. */
static Status agreed_list(const char *folder, Comm *comm, int64_t **steps, int64_t *count) {
    int64_t header[2] = {OK, 0};
    *steps = NULL;
    if (comm->rank == 0) checkpoint_recover(folder);
    if (comm->rank == 0) header[0] = checkpoint_list_all(folder, steps, &header[1]);
    comm->f->broadcast(comm, header, sizeof header, 0);
    *count = header[1];
    if (header[0]) return (Status)header[0];
    if (comm->rank != 0) *steps = malloc((size_t)(*count + 1) * sizeof **steps);
    CHECK_MEMORY(*steps, "no memory for the list of checkpoints");
    comm->f->broadcast(comm, *steps, *count * (int64_t)sizeof **steps, 0);
    return OK;
}

/* Rank 0: renames a damaged step, so that retention does not count it. */
static void set_damaged_aside(const char *folder, int64_t step) {
    char *aside = checkpoint_set_aside(folder, step, "damaged");
    if (aside)
        log_warning("step %" PRId64
                    " is damaged; its checkpoint is now %s. If only the optimizer's state is damaged, a "
                    "new run can start from its weights: name that folder in checkpoint.initial_load_path",
                    step, aside);
    free(aside);
}

static void say_which(const char *folder, int64_t wanted, const int64_t *steps, int64_t count) {
    char list[256] = "none";
    const int64_t first = count > 10 ? count - 10 : 0;
    for (int64_t i = first; i < count; i++) {
        const size_t used = i > first ? strlen(list) : 0;
        snprintf(list + used, sizeof list - used, "%s%" PRId64, i > first ? ", " : first ? "..., " : "", steps[i]);
    }
    log_error("%s has no checkpoint of step %" PRId64 ", which checkpoint.load_step asks for; it has %s", folder,
              wanted, list);
}

Status checkpoint_resume(const char *folder, int64_t load_step, Comm *comm, Unit *units, int count, int64_t *step,
                         json_t **state) {
    int64_t *steps, steps_count;
    *step = -1;
    const Status status = agreed_list(folder, comm, &steps, &steps_count);
    if (status) return status;
    Verdict verdict = GOOD;
    bool tried = false;
    for (int64_t i = steps_count - 1; i >= 0 && *step < 0 && (verdict == GOOD || verdict == DAMAGED); i--) {
        if (load_step >= 0 && steps[i] != load_step) continue;
        if (tried && comm->rank == 0)
            log_warning("falling back to the older checkpoint of step %" PRId64 ": the work since then is lost",
                        steps[i]);
        tried = true;
        char *path = checkpoint_path(folder, steps[i]);
        verdict = load(path, comm, units, count, state);
        if (verdict == GOOD) *step = steps[i];
        if (verdict == DAMAGED && load_step < 0 && comm->rank == 0) set_damaged_aside(folder, steps[i]);
        if (verdict == UNREADABLE && comm->rank == 0)
            log_error("%s cannot be read, but may be whole: make it readable and start again, or go back to an older "
                      "step with checkpoint.load_step",
                      path);
        free(path);
    }
    if (comm->rank == 0 && !tried && load_step >= 0) say_which(folder, load_step, steps, steps_count);
    free(steps);
    /* The failed load has overwritten moments, and a run that starts over initialises only the weights. */
    if (tried && *step < 0) weights_zero_moments(units, count);
    if (*step >= 0 || (load_step < 0 && (verdict == GOOD || verdict == DAMAGED))) return OK;
    if (comm->rank == 0 && tried && verdict != UNREADABLE) log_error("no checkpoint in %s can be used", folder);
    return verdict == UNREADABLE ? IO_ERROR : BAD_INPUT;
}

Status checkpoint_load(const char *path, Comm *comm, Unit *units, int count, json_t **state) {
    const Verdict verdict = load(path, comm, units, count, state);
    return verdict == GOOD ? OK : verdict == UNREADABLE ? IO_ERROR : BAD_INPUT;
}

/* Reads a whole tensor and compares its CRC. */
static Status check_tensor(const OpenCheckpoint *checkpoint, const SafeTensor *tensor, char *block) {
    uint32_t crc = 0;
    for (int64_t done = 0, bytes; done < tensor->bytes; done += bytes) {
        bytes = tensor->bytes - done < BLOCK_BYTES ? tensor->bytes - done : BLOCK_BYTES;
        const Status status = safetensors_read(tensor, done, bytes, block);
        if (status) return status;
        crc = crc_update(crc, block, bytes);
    }
    return checksums_check_tensor(checkpoint->state, checkpoint->path, tensor->name, crc, true);
}

Status checkpoint_check(const char *path) {
    OpenCheckpoint checkpoint;
    Verdict verdict = open_checkpoint(path, &checkpoint);
    const bool open = verdict == GOOD;
    const Verdict texts = check_texts(&checkpoint, false);
    if (texts > verdict) verdict = texts;
    Status status = verdict == GOOD ? OK : verdict == UNREADABLE ? IO_ERROR : BAD_INPUT;
    char *block = memory_take(BLOCK_BYTES, "checking a checkpoint", NOTHING_LESS);
    TensorFolder *const folders[] = {checkpoint.model, checkpoint.optimizer};
    for (int i = 0; i < 2 && open; i++)
        for (int64_t t = 0; folders[i] && t < tensor_folder_count(folders[i]) && status != IO_ERROR; t++) {
            const Status one = check_tensor(&checkpoint, tensor_folder_entry(folders[i], t), block);
            if (one) status = one;
        }
    free(block);
    close_checkpoint(&checkpoint);
    return status;
}
