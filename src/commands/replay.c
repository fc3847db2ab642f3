/* flame-c replay: computes a step of a run again and reports what its loss and gradient came from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "commands/commands.h"
#include "commands/start.h"
#include "commands/configure.h"
#include "reporting/metrics.h"
#include "training/diagnosis.h"
#include "training/progress.h"

typedef struct Replay {
    const char *run;
    int64_t step;
    bool abandoned;
    Texts keys;
} Replay;

#define AT(field) offsetof(Replay, field)

static const Option options[] = {
    {"", OPTION_TEXT | OPTION_REQUIRED, "RUN", NULL, 0, 0, "the run's folder, job.dump_folder", AT(run)},
    {"step", OPTION_INTEGER | OPTION_REQUIRED, "N", NULL, 1, 1e15, "the step to compute", AT(step)},
    {"abandoned", OPTION_FLAG, "", NULL, 0, 0, "the step as it was before the run went back (training.rewind_spikes)",
     AT(abandoned)},
};

/* Reads RUN/config.yaml and then the keys of the command line. */
static Status configure_run(const Replay *task, Comm *comm, TrainConfig *config, const Device **device) {
    char *yaml = path_join(task->run, "config.yaml"), option[] = "--config", folder[] = "--job.dump_folder";
    char **words = calloc((size_t)task->keys.count + 4, sizeof *words);
    CHECK_MEMORY(words, "out of memory");
    int count = 0;
    words[count++] = option;
    words[count++] = yaml;
    words[count++] = folder;
    words[count++] = (char *)task->run;
    for (int i = 0; i < task->keys.count; i++) words[count++] = task->keys.item[i];
    const Status status = configure(&(Texts){count, words}, comm, config, device);
    free(words);
    free(yaml);
    return status;
}

static const char *metrics_of(const Replay *task) { return task->abandoned ? "metrics.void.jsonl" : "metrics.jsonl"; }

/* The last step that the run can have begun. Not every step has a line. */
static int64_t last_step(const Replay *task, const TrainConfig *config) {
    const int64_t steps = config->training.steps, unlogged = config->metrics.log_freq,
                  logged = metrics_last_step(task->run, metrics_of(task));
    if (logged >= steps) return logged;
    return logged < 0 || steps - logged < unlogged ? steps : logged + unlogged;
}

/* Refuses a step that the run never had, before all steps up to it are computed. */
static Status check_step(const Replay *task, const TrainConfig *config) {
    const int64_t last = last_step(task, config);
    if (task->step <= last) return OK;
    log_error(
        "--step %lld: the run has at most %lld steps (training.steps, and the lines of %s/%s). Choose one of them",
        (long long)task->step, (long long)last, task->run, metrics_of(task));
    return BAD_INPUT;
}

/* Warns if a step would read other samples than in the run: the number of ranks may decide how many samples a step
 * has. */
static void check_samples(const Training *t) {
    const Progress *p = &t->progress;
    if (log_rank() == 0 && p->tokens != p->step * t->shape.samples * t->config->training.seq_len)
        log_warning("the %lld steps so far read %lld tokens, but a step reads %lld here, so it may read other samples "
                    "than in the run. Use as many ranks as the run, or set training.global_batch_size",
                    (long long)p->step, (long long)p->tokens,
                    (long long)(t->shape.samples * t->config->training.seq_len));
}

/* Trains up to the step before `step`. Nothing is saved. */
static Status catch_up(Training *t, int64_t step) {
    if (log_rank() == 0)
        log_info("\n%s %lld: computing %lld steps up to step %lld again",
                 t->progress.step > 0 ? "from the checkpoint of step" : "from step", (long long)t->progress.step,
                 (long long)(step - 1 - t->progress.step), (long long)step - 1);
    while (t->progress.step < step - 1) {
        StepResult result;
        const Status status = training_step(t, &result);
        if (status != OK) return status;
    }
    return OK;
}

/* Returns to the samples that the run has passed over since its checkpoint. */
static Status take_abandoned(Progress *p) {
    const PassedOver *last = p->rewinds > 0 ? &p->passed_over[p->rewinds - 1] : NULL;
    if (last && last->step == p->step) {
        p->samples = last->first;
        return OK;
    }
    if (log_rank() == 0) log_error("--abandoned: the run has not gone back to step %lld", (long long)p->step);
    return BAD_INPUT;
}

static Status replay(const Replay *task, const TrainConfig *config, Training *t) {
    Status status = agree(t->session.comm, log_rank() == 0 ? check_step(task, config) : OK);
    if (status == OK) status = training_open(t);
    if (status == OK) status = progress_before(config, &t->session, t->stream, task->step, &t->progress);
    if (status == OK && task->abandoned) status = take_abandoned(&t->progress);
    if (status == OK) check_samples(t);
    if (status == OK) status = catch_up(t, task->step);
    return status == OK ? diagnose_step(t, task->run, metrics_of(task)) : status;
}

static Status run(void *values) {
    const Replay *task = values;
    Comm *comm = NULL;
    const Device *device = NULL;
    TrainConfig config;
    Status status = command_start(&replay_command, task, &comm);
    if (status != OK) return status;
    status = configure_run(task, comm, &config, &device);
    if (status != OK) {
        comm_destroy(comm);
        return status;
    }
    Training training = {.config = &config, .session = {.comm = comm, .device = device}};
    status = replay(task, &config, &training);
    training_close(&training);
    config_free(&config);
    return status;
}

const Command replay_command = {
    .name = "replay",
    .summary = "compute a step of a run again, and print what its loss and gradient came from",
    .text =
        "Examines a step that was skipped or has an unusual loss. Trains in memory from the newest checkpoint before\n"
        "the step, with RUN/config.yaml, and prints the loss and the gradient norm of each sample of the step, the\n"
        "gradient by layer and parameter, and where values first are not finite. Writes nothing. With the same\n"
        "number of ranks as the run, the numbers are those of the run, bit for bit.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(Replay),
    .takes_keys = true,
    .keys = AT(keys),
    .run = run,
};
