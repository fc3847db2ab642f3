#include "training/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/activity.h"
#include "base/log.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/run_lock.h"
#include "checkpoint/weights.h"
#include "training/changes.h"
#include "training/origin.h"

/* How long to wait for the lock. The ranks of a killed job may live for another two seconds. */
static const double lock_patience_seconds = 15;

enum { MOST_REWINDS = 3 }; /* most rewinds to the same step */

struct Saver {
    RunPlace run;
    RunLock *lock, *steps_lock; /* of the run's folder and of that of its checkpoints, if they are on */
    char *folder, *name;
    Checkpointer *checkpointer; /* NULL: checkpoints are off */
    char *config_yaml;
    TokenizerFiles tokenizer; /* rank 0: files of the folder with the initial weights, if the data have none */
    bool begins_run;
    int64_t begun_step;   /* of the checkpoint that the run resumes from; -1: a new run */
    int64_t updated_step; /* the last step up to begun_step that changed the weights */
    KeyDifferences changes;
    Metrics *metrics;      /* rank 0 */
    int64_t reported_step; /* the newest save in the log */
    int64_t saved_samples; /* Progress.samples at the newest save; after a rewind the same step is saved again */
};

/* Checks that the loaded step has this run's model, whose keys may have come from another step, and collects the
 * changes. */
static Status compare_step(Saver *saver, const Session *session, int64_t step) {
    char *path = checkpoint_path(saver->folder, step);
    const Status status = origin_check_model(path, session->model, &saver->run.config->checkpoint.allow_model_changes,
                                             session->comm, &saver->changes);
    if (status == OK && session->comm->rank == 0) changes_find(path, saver->run.config, step, &saver->changes);
    free(path);
    return status;
}

/* Rank 0: renames the checkpoints newer than the one resumed from. They belong to an abandoned branch, which must not
 * be resumed later. */
static Status set_newer_aside(const Saver *saver, int64_t step) {
    int64_t *steps, count, moved = 0;
    Status status = checkpoint_list_all(saver->folder, &steps, &count);
    for (int64_t i = 0; i < count && status == OK; i++) {
        if (steps[i] <= step) continue;
        char *aside = checkpoint_set_aside(saver->folder, steps[i], "rewound");
        if (!aside) status = IO_ERROR;
        moved += aside != NULL;
        free(aside);
    }
    if (moved > 0)
        log_warning("going back to step %lld: the %lld later checkpoints of %s, up to step %lld, are set aside as "
                    "step-....rewound. Nothing removes them; to go on from one, move it into another job.dump_folder "
                    "under its old name%s",
                    (long long)step, (long long)moved, saver->folder, (long long)steps[count - 1],
                    saver->run.config->checkpoint.load_step >= 0
                        ? ". Leave checkpoint.load_step out of the next start, or it goes back again"
                        : "");
    free(steps);
    return status;
}

static void set_name(Saver *saver, const char *name) {
    free(saver->name);
    saver->run.name = saver->name = strdup(name);
    CHECK_MEMORY(saver->name, "no memory for the name of a run");
}

static Status resume(Saver *saver, Session *session, Progress *progress) {
    json_t *state = NULL;
    int64_t step = -1;
    activity_set("loading a checkpoint");
    Status status = checkpoint_resume(saver->folder, saver->run.config->checkpoint.load_step, session->comm,
                                      session->model->unit, session->model->units, &step, &state);
    if (status == OK && step >= 0) status = run_state_unpack(&saver->run, state, step, progress);
    if (status == OK && step >= 0) status = compare_step(saver, session, step);
    if (status == OK && step >= 0) run_state_compare(&saver->run, state, &saver->changes);
    if (status == OK && step >= 0)
        status = agree(session->comm, session->comm->rank == 0 ? set_newer_aside(saver, step) : OK);
    if (status == OK && step >= 0) {
        const char *name = json_string_value(json_object_get(state, "run"));
        set_name(saver, name ? name : "");
        saver->begun_step = step;
        saver->updated_step = progress->updated_step;
    }
    json_decref(state);
    activity_set("starting");
    return status;
}

/* Rank 0: refuses to begin at step 0 if the folder has had checkpoints, because that would discard their work. */
static Status check_fresh_start(const Saver *saver) {
    const CheckpointConfig *c = &saver->run.config->checkpoint;
    char *trace = checkpoint_trace(saver->folder);
    if (trace && !c->start_over)
        log_error("%s holds %s, %s: this run would begin at step 0. %s, choose another job.dump_folder, or set "
                  "checkpoint.start_over: true",
                  saver->folder, trace,
                  c->enable_checkpoint ? "but no checkpoint that can be used"
                                       : "but checkpoint.enable_checkpoint is false",
                  c->enable_checkpoint ? "Restore a checkpoint" : "Set it to true to go on from there");
    const bool refused = trace && !c->start_over;
    if (trace && c->start_over)
        log_warning("checkpoint.start_over: the run begins at step 0 although %s holds %s", saver->folder, trace);
    free(trace);
    return refused ? BAD_INPUT : OK;
}

static Status begin_weights(const TrainConfig *config, Session *session) {
    const char *path = config->checkpoint.initial_load_path;
    if (!path) {
        fsdp_initialise(session->fsdp, (uint64_t)config->training.seed);
        return OK;
    }
    char *folder = checkpoint_find(path);
    Status status = agree(session->comm, folder ? OK : BAD_INPUT);
    if (status == OK)
        status =
            origin_check_model(folder, session->model, &config->checkpoint.allow_model_changes, session->comm, NULL);
    if (status == OK) status = weights_load(folder, session->comm, session->model->unit, session->model->units);
    if (status == OK) log_info("weights from %s", folder);
    free(folder);
    return status;
}

/* The folder with the weights that the run began with; NULL if they were random. The caller frees it. */
static char *initial_folder(const Saver *saver) {
    const char *path = saver->run.config->checkpoint.initial_load_path;
    if (saver->begun_step >= 0) return checkpoint_path(saver->folder, saver->begun_step);
    return path ? checkpoint_find(path) : NULL;
}

const char *saver_run(const Saver *saver) { return saver->run.name; }
bool saver_begins_run(const Saver *saver) { return saver->begins_run; }

Status saver_tokenizer(const Saver *saver, Tokenizer **tokenizer) {
    Status status = stream_tokenizer(saver->run.stream, tokenizer);
    if (status != OK || *tokenizer) return status;
    char *folder = initial_folder(saver);
    if (folder) status = tokenizer_of_model(folder, tokenizer);
    free(folder);
    return status;
}

/* Rank 0: the tokenizer files of the data, or else of the folder with the initial weights. */
static Status find_tokenizer(Saver *saver, const TokenizerFiles **tokenizer) {
    *tokenizer = stream_facts(saver->run.stream)->tokenizer_files;
    if (tokenizer_files_any(*tokenizer)) return OK;
    char *folder = initial_folder(saver);
    const Status status = folder ? tokenizer_files_of_model(folder, &saver->tokenizer) : OK;
    free(folder);
    *tokenizer = &saver->tokenizer;
    return status;
}

static Status open_checkpoints(Saver *saver) {
    const CheckpointConfig *c = &saver->run.config->checkpoint;
    const TokenizerFiles *tokenizer = NULL;
    if (!c->enable_checkpoint) return OK;
    const bool first = saver->run.session->comm->rank == 0;
    const Status status = agree(saver->run.session->comm, first ? find_tokenizer(saver, &tokenizer) : OK);
    if (status != OK) return status;
    const CheckpointOptions options = {.folder = saver->folder,
                                       .run_name = run_lock_name(saver->lock),
                                       .keep_latest_k = c->keep_latest_k,
                                       .keep_every = c->keep_every,
                                       .tokenizer = tokenizer,
                                       .asynchronous = strcmp(c->async_mode, "disabled") != 0};
    return checkpointer_create(saver->run.session->comm, saver->run.session->model->unit,
                               saver->run.session->model->units, &options, &saver->checkpointer);
}

Status progress_begin(const TrainConfig *config, Session *session, const Stream *stream, Progress *progress,
                      Saver **result) {
    Saver *saver = calloc(1, sizeof *saver);
    CHECK_MEMORY(saver, "out of memory");
    *result = saver;
    saver->folder = path_join(config->job.dump_folder, config->checkpoint.folder);
    saver->run = (RunPlace){config, session, stream, saver->folder, ""};
    saver->config_yaml = config_text(config);
    saver->begun_step = saver->updated_step = saver->reported_step = -1;
    *progress = (Progress){.step = -1};
    Status status = run_lock_acquire(session->comm, config->job.dump_folder, lock_patience_seconds, &saver->lock);
    if (status == OK && config->checkpoint.enable_checkpoint)
        status = run_lock_acquire(session->comm, saver->folder, lock_patience_seconds, &saver->steps_lock);
    if (status == OK && config->checkpoint.enable_checkpoint) status = resume(saver, session, progress);
    if (status == OK && progress->step < 0) {
        *progress = (Progress){0};
        status = agree(session->comm, session->comm->rank == 0 ? check_fresh_start(saver) : OK);
        if (status == OK) status = begin_weights(config, session);
    }
    saver->begins_run = progress->step == 0 && !saver->run.name[0];
    if (saver->begins_run) set_name(saver, run_lock_name(saver->lock));
    return status == OK ? open_checkpoints(saver) : status;
}

/* The newest step below `step` that is a multiple of `multiple`, as rank 0 sees it; -1: none. Collective. */
static Status find_before(const RunPlace *run, int64_t step, int64_t multiple, int64_t *found) {
    Comm *comm = run->session->comm;
    int64_t answer[2] = {OK, -1}, *steps, count;
    if (comm->rank == 0) {
        answer[0] = checkpoint_list(run->folder, &steps, &count);
        for (int64_t i = 0; i < count && steps[i] < step; i++)
            if (steps[i] % multiple == 0) answer[1] = steps[i];
        free(steps);
    }
    comm->f->broadcast(comm, answer, sizeof answer, 0);
    *found = answer[1];
    return (Status)answer[0];
}

/* Loads the newest good checkpoint of those that find_before considers. progress->step is -1 if there is none; *tried
 * says whether weights were overwritten. Collective. */
static Status load_before(const RunPlace *run, int64_t step, int64_t multiple, Progress *progress, bool *tried) {
    const Session *session = run->session;
    int64_t found;
    json_t *state = NULL;
    *progress = (Progress){.step = -1};
    *tried = false;
    Status status = find_before(run, step, multiple, &found), loaded = BAD_INPUT;
    while (status == OK && found >= 0 && loaded == BAD_INPUT) {
        char *path = checkpoint_path(run->folder, found);
        loaded = checkpoint_load(path, session->comm, session->model->unit, session->model->units, &state);
        *tried = true;
        if (loaded == BAD_INPUT && log_rank() == 0) log_warning("%s cannot be used: looking for an older one", path);
        free(path);
        if (loaded == BAD_INPUT) status = find_before(run, found, multiple, &found);
    }
    if (status == OK && found >= 0) status = loaded;
    if (status == OK && found >= 0) status = run_state_unpack(run, state, found, progress);
    json_decref(state);
    return status;
}

Status progress_before(const TrainConfig *config, Session *session, const Stream *stream, int64_t step,
                       Progress *progress) {
    char *folder = path_join(config->job.dump_folder, config->checkpoint.folder);
    const RunPlace run = {config, session, stream, folder, ""};
    bool tried;
    Status status = load_before(&run, step, 1, progress, &tried);
    if (status == OK && progress->step < 0) {
        *progress = (Progress){0};
        weights_zero_moments(session->model->unit, session->model->units);
        status = begin_weights(config, session);
    }
    free(folder);
    return status;
}

void saver_report(Saver *saver, Metrics *metrics) {
    const CheckpointConfig *c = &saver->run.config->checkpoint;
    saver->metrics = metrics;
    if (saver->begun_step >= 0) {
        metrics_note(metrics, "resuming after step %lld from %s%s", (long long)saver->begun_step, saver->folder,
                     c->initial_load_path ? "; checkpoint.initial_load_path is for new runs and is not read" : "");
        if (c->start_over)
            metrics_note(metrics, "checkpoint.start_over has no effect: the run resumes after step %lld",
                         (long long)saver->begun_step);
        changes_print(&saver->changes, saver->begun_step, metrics);
    }
    if (saver->begun_step > saver->updated_step)
        metrics_note(metrics, "the checkpoint's weights are those of step %lld: the updates since were skipped",
                     (long long)saver->updated_step);
    if (!c->enable_checkpoint)
        metrics_note(metrics, "this run saves no checkpoints: checkpoint.enable_checkpoint is false");
}

/* Logs a completed save. Called after everything that can complete a save, so that none is missing in the log. */
static void report_saved(Saver *saver) {
    const SavedStep saved = checkpoint_saved(saver->checkpointer);
    if (saved.step != saver->reported_step)
        metrics_note(saver->metrics, "saved step %lld: %.1f MB in %.2f s", (long long)saved.step,
                     (double)saved.bytes / 1e6, saved.seconds);
    saver->reported_step = saved.step;
}

static void finish_save(Saver *saver) {
    activity_set("saving a checkpoint");
    checkpoint_wait(saver->checkpointer); /* a failure has been logged, and training continues */
    report_saved(saver);
    activity_set("computing");
}

Status saver_save(Saver *saver, const Progress *progress, bool wait) {
    if (!saver->checkpointer) return OK;
    finish_save(saver);
    if (saver->reported_step == progress->step && saver->saved_samples == progress->samples) return OK;
    saver->saved_samples = progress->samples;
    char *config_json = model_config_json(saver->run.session->model),
         *generation = model_generation_config_json(saver->run.session->model);
    const CheckpointTexts texts = {config_json, generation, saver->config_yaml};
    json_t *state = run_state_pack(&saver->run, progress);
    activity_set("saving a checkpoint");
    Status status = checkpoint_save(saver->checkpointer, progress->step, state, &texts);
    if (status == OK && wait) status = checkpoint_wait(saver->checkpointer);
    report_saved(saver);
    activity_set("computing");
    json_decref(state);
    free(config_json);
    free(generation);
    if (status == OK || wait) return status;
    if (log_rank() == 0)
        log_warning("training continues without the checkpoint of step %lld", (long long)progress->step);
    return OK;
}

void saver_finish_reading(Saver *saver) {
    if (!saver || !saver->checkpointer) return;
    activity_set("saving a checkpoint");
    checkpoint_finish_reading(saver->checkpointer);
    activity_set("computing");
}

/* BAD_INPUT or NUMERIC_STOP (logged) if the run cannot go back to `old`. */
static Status check_rewind(const Saver *saver, const Progress *old, bool tried) {
    int64_t before = 0;
    for (int64_t i = 0; i < old->rewinds; i++) before += old->passed_over[i].step == old->step;
    if (old->step < 0 && tried && log_rank() == 0)
        log_error("no checkpoint in %s can be used to go back to", saver->folder);
    if (old->step < 0 && tried) return BAD_INPUT;
    if (before < MOST_REWINDS && old->rewinds < REWINDS) return OK;
    if (log_rank() == 0)
        log_error("the run has gone back to step %lld %lld times, and %lld times in all: other samples do not help. "
                  "Lower optimizer.lr, or go on from an earlier step (checkpoint.load_step)",
                  (long long)old->step, (long long)before, (long long)old->rewinds);
    return NUMERIC_STOP;
}

Status saver_rewind(Saver *saver, Progress *progress) {
    const Session *session = saver->run.session;
    const int64_t step = progress->step, skipped = step - progress->updated_step, end = progress->samples;
    Progress old;
    bool tried;
    finish_save(saver);
    activity_set("loading a checkpoint");
    Status status =
        load_before(&saver->run, progress->updated_step + 1, saver->run.config->checkpoint.interval, &old, &tried);
    if (status == OK) status = check_rewind(saver, &old, tried);
    activity_set("computing");
    if (status != OK || old.step < 0) return status;
    fsdp_end_step(session->fsdp);
    old.passed_over[old.rewinds++] = (PassedOver){old.step, old.samples, end - 1};
    old.samples = end;
    status = agree(session->comm, session->comm->rank == 0 ? set_newer_aside(saver, old.step) : OK);
    if (status == OK && saver->metrics) status = metrics_rewind(saver->metrics, old.step);
    status = agree(session->comm, status);
    *progress = old;
    if (status != OK) return status;
    metrics_note(saver->metrics,
                 "%lld steps in a row were skipped: going back from step %lld to step %lld, and passing over the %lld "
                 "samples since, %lld to %lld",
                 (long long)skipped, (long long)step, (long long)old.step,
                 (long long)(end - old.passed_over[old.rewinds - 1].first),
                 (long long)old.passed_over[old.rewinds - 1].first, (long long)end - 1);
    return saver_save(saver, progress, false);
}

Status saver_poll(Saver *saver) {
    if (!saver->checkpointer) return OK;
    activity_set("saving a checkpoint");
    checkpoint_poll(saver->checkpointer); /* a failure has been logged, and training continues */
    report_saved(saver);
    activity_set("computing");
    return OK;
}

void saver_close(Saver *saver) {
    if (!saver) return;
    if (saver->checkpointer) finish_save(saver);
    checkpointer_destroy(saver->checkpointer);
    run_lock_release(saver->steps_lock);
    run_lock_release(saver->lock);
    free(saver->folder);
    free(saver->name);
    free(saver->config_yaml);
    tokenizer_files_free(&saver->tokenizer);
    key_differences_free(&saver->changes);
    free(saver);
}
