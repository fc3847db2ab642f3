#include "training/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/files.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/run_lock.h"
#include "checkpoint/weights.h"
#include "training/origin.h"

/* Ranks of a killed job live for about two seconds more. */
static const double lock_patience_seconds = 15;

struct Saver {
    const TrainConfig *config;
    const Session *session;
    const Stream *stream;
    RunLock *lock;
    char *folder;
    Checkpointer *checkpointer; /* NULL: checkpoints are off */
    char *config_yaml;
};

static json_t *state_of(const Saver *saver, const Progress *p) {
    char fingerprint[32];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, stream_facts(saver->stream)->fingerprint);
    json_t *state =
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:s}", "updates", (json_int_t)p->updates, "samples", (json_int_t)p->samples,
                  "tokens", (json_int_t)p->tokens, "updated_step", (json_int_t)p->updated_step, "seed",
                  (json_int_t)saver->config->training.seed, "data_fingerprint", fingerprint);
    CHECK(state, "out of memory");
    return state;
}

/* The sample cursor means the same tokens only with the same files, mixing, seed and lengths. */
static Status check_data(const Saver *saver, const json_t *state, const char *folder) {
    const char *saved = json_string_value(json_object_get(state, "data_fingerprint"));
    char fingerprint[32];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, stream_facts(saver->stream)->fingerprint);
    if (!saved || strcmp(saved, fingerprint) == 0) return OK;
    if (log_rank() == 0)
        log_error(
            "%s was trained on other data: data.files, data.probabilities, training.seed, training.seq_len, "
            "training.context_len or training.varlen differ. Restore them, or start in another job.dump_folder with "
            "checkpoint.initial_load_path",
            folder);
    return BAD_INPUT;
}

static int64_t integer_of(const json_t *state, const char *key) {
    return json_integer_value(json_object_get(state, key));
}

/* The step that was loaded may be an older one than that which filled the run's keys. */
static Status check_step_model(const Saver *saver, const Session *session, int64_t step) {
    char *path = checkpoint_path(saver->folder, step);
    const Status status =
        origin_check_model(path, session->model, &saver->config->checkpoint.allow_model_changes, session->comm, NULL);
    free(path);
    return status;
}

static Status resume(Saver *saver, Session *session, Progress *progress) {
    json_t *state = NULL;
    int64_t step = -1;
    Status status = checkpoint_resume(saver->folder, saver->config->checkpoint.load_step, session->comm,
                                      session->model->unit, session->model->units, &step, &state);
    if (status == OK && step >= 0) status = check_data(saver, state, saver->folder);
    if (status == OK && step >= 0) status = check_step_model(saver, session, step);
    if (status == OK && step >= 0) {
        *progress = (Progress){.step = step,
                               .updates = integer_of(state, "updates"),
                               .samples = integer_of(state, "samples"),
                               .tokens = integer_of(state, "tokens"),
                               .updated_step = checkpoint_state_updated_step(state)};
        log_info("resuming after step %lld from %s", (long long)step, saver->folder);
    } else if (status == OK) {
        progress->step = -1;
    }
    json_decref(state);
    return status;
}

static Status begin_weights(const TrainConfig *config, Session *session) {
    const char *path = config->checkpoint.initial_load_path;
    if (!path) {
        fsdp_initialise(session->fsdp, (uint64_t)config->training.seed);
        return OK;
    }
    char *folder = checkpoint_find(path);
    Status status = agree(session->comm, folder ? OK : BAD_INPUT);
    if (status == OK) status = weights_load(folder, session->comm, session->model->unit, session->model->units);
    if (status == OK) log_info("weights from %s", folder);
    free(folder);
    return status;
}

static char *config_text(const TrainConfig *config) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK(file, "out of memory");
    config_write(file, config);
    fclose(file);
    return text;
}

static Status open_checkpoints(Saver *saver) {
    const CheckpointConfig *c = &saver->config->checkpoint;
    if (!c->enable_checkpoint) return OK;
    const CheckpointOptions options = {.folder = saver->folder,
                                       .run_name = run_lock_name(saver->lock),
                                       .keep_latest_k = c->keep_latest_k,
                                       .keep_every = c->keep_every,
                                       .asynchronous = strcmp(c->async_mode, "disabled") != 0};
    return checkpointer_create(saver->session->comm, saver->session->model->unit, saver->session->model->units,
                               &options, &saver->checkpointer);
}

Status progress_begin(const TrainConfig *config, Session *session, const Stream *stream, Progress *progress,
                      Saver **result) {
    Saver *saver = calloc(1, sizeof *saver);
    CHECK(saver, "out of memory");
    *result = saver;
    saver->config = config;
    saver->session = session;
    saver->stream = stream;
    saver->folder = path_join(config->job.dump_folder, config->checkpoint.folder);
    saver->config_yaml = config_text(config);
    *progress = (Progress){.step = -1};
    Status status = run_lock_acquire(session->comm, config->job.dump_folder, lock_patience_seconds, &saver->lock);
    if (status == OK && config->checkpoint.enable_checkpoint) status = resume(saver, session, progress);
    if (status == OK && progress->step < 0) {
        *progress = (Progress){0};
        status = begin_weights(config, session);
    }
    return status == OK ? open_checkpoints(saver) : status;
}

Status saver_save(Saver *saver, const Progress *progress, bool wait) {
    if (!saver->checkpointer || checkpoint_saved(saver->checkpointer).step == progress->step) return OK;
    char *config_json = model_config_json(saver->session->model),
         *generation = model_generation_config_json(saver->session->model);
    const CheckpointTexts texts = {config_json, generation, saver->config_yaml};
    json_t *state = state_of(saver, progress);
    Status status = checkpoint_save(saver->checkpointer, progress->step, state, &texts);
    if (status == OK && wait) status = checkpoint_wait(saver->checkpointer);
    json_decref(state);
    free(config_json);
    free(generation);
    if (status == OK || wait) return status;
    if (log_rank() == 0) log_warning("training goes on without the checkpoint of step %lld", (long long)progress->step);
    return OK;
}

Status saver_poll(Saver *saver) {
    if (saver->checkpointer) checkpoint_poll(saver->checkpointer); /* its failure is logged; training goes on */
    return OK;
}

SavedStep saver_saved(const Saver *saver) {
    return saver->checkpointer ? checkpoint_saved(saver->checkpointer) : (SavedStep){.step = -1};
}

void saver_close(Saver *saver) {
    if (!saver) return;
    if (saver->checkpointer) checkpointer_destroy(saver->checkpointer);
    run_lock_release(saver->lock);
    free(saver->folder);
    free(saver->config_yaml);
    free(saver);
}
