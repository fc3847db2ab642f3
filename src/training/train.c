#include "training/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "reporting/metrics.h"
#include "base/clock.h"
#include "base/signals.h"
#include "base/files.h"
#include "training/data_check.h"
#include "training/peak.h"
#include "training/previews.h"
#include "training/progress.h"
#include "training/samples.h"
#include "training/step.h"
#include "training/stop.h"

typedef struct Trainer {
    Training run;
    Stream *validation;
    Metrics *metrics; /* rank 0 */
    Previews *previews;
    double peak_rate;      /* of all ranks together */
    double interval_start; /* the interval is that since the last logged step */
    int64_t interval_steps;
    bool told;           /* the advice on stopping has been logged */
    Straggler straggler; /* the one found at the last logged step */
    bool straggler_said;
    int64_t saving; /* the step of the newest save; at first, the step that the run began after */
} Trainer;

static Status make_folder(const char *path) {
    const int error = folder_create_all(path);
    if (error == 0) return OK;
    log_error("job.dump_folder %s cannot be created: %s", path, strerror(error));
    return IO_ERROR;
}

static Status write_effective_config(const TrainConfig *config) {
    char *path = path_join(config->job.dump_folder, "config.yaml"), *text = config_text(config);
    const int error = file_replace(path, text, (int64_t)strlen(text));
    if (error) log_error("%s cannot be written: %s", path, strerror(error));
    free(text);
    free(path);
    return error ? IO_ERROR : OK;
}

static Status open_metrics(Trainer *t) {
    if (t->run.session.comm->rank != 0) return OK;
    const MetricsOptions options = {
        .folder = t->run.config->job.dump_folder,
        .run = saver_run(t->run.saver),
        .new_run = saver_begins_run(t->run.saver),
        .resumed_step = t->run.progress.step,
        .tb_folder = t->run.config->metrics.enable_tensorboard ? t->run.config->metrics.save_tb_folder : NULL,
        .steps = t->run.config->training.steps};
    return metrics_open(&options, &t->metrics);
}

static void print_data(const Trainer *t) {
    const Progress *p = &t->run.progress;
    const int64_t steps = t->run.config->training.steps, left = steps > p->step ? steps - p->step : 0;
    data_print(t->run.stream, (int)t->run.config->data.files.count, p->step + left,
               p->samples + left * t->run.shape.samples);
}

/* Does everything up to the first step. `session.comm` and `session.device` are set. */
static Status prepare(Trainer *t) {
    Comm *comm = t->run.session.comm;
    const DataConfig *data = &t->run.config->data;
    Status status = training_open(&t->run);
    if (status == OK && data->validation_files.count > 0)
        status = training_open_stream(&t->run, &data->validation_files, NULL, false, &t->validation);
    if (status == OK)
        status = agree(comm, data_check(t->run.stream, t->validation, t->run.session.model->config.vocab_size,
                                        t->run.shape.samples, t->run.config->training.seq_len));
    if (status == OK)
        data_check_marks(stream_facts(t->run.stream), t->run.config->model, &t->run.session.model->config);
    if (status == OK) status = agree(comm, comm->rank == 0 ? make_folder(t->run.config->job.dump_folder) : OK);
    if (status == OK)
        status = progress_begin(t->run.config, &t->run.session, t->run.stream, &t->run.progress, &t->run.saver);
    if (status == OK) print_data(t);
    if (status == OK) status = previews_create(t->run.config, &t->run.session, t->run.saver, &t->previews);
    if (status == OK && comm->rank == 0) status = write_effective_config(t->run.config);
    status = agree(comm, status);
    if (status == OK) status = agree(comm, open_metrics(t));
    if (status == OK) saver_report(t->run.saver, t->metrics);
    return status;
}

/* Model FLOPs utilisation on rank 0, which logs it; 0 on the others. */
static double utilisation(Trainer *t, double flops_per_second) {
    if (!t->metrics) return 0;
    bool again;
    const double fraction = peak_utilisation(t->run.session.device, t->run.runner_options.type,
                                             t->run.session.comm->size, flops_per_second, &t->peak_rate, &again);
    if (again)
        metrics_note(t->metrics, "steps are faster than the products that MFU is measured against: now %.0f GFLOP/s",
                     t->peak_rate / 1e9);
    return fraction;
}

static void begin_interval(Trainer *t) {
    t->interval_start = seconds_now();
    t->interval_steps = 0;
    t->run.data_seconds = 0;
    t->run.times = (StepTimes){0};
}

/* Logs once who is slow, if the same was slow at the last logged step too. The first steps do not count, because they
 * allocate and plan. Collective. */
static void look_for_stragglers(Trainer *t) {
    const double steps = (double)t->interval_steps;
    if (t->run.session.comm->size == 1 || t->run.progress.step == 1) return;
    const Straggler now = stragglers_gather(t->run.session.comm, &t->run.times, steps);
    const Straggler *before = &t->straggler;
    const bool again = now.part == before->part && now.rank == before->rank;
    if (now.part && again && !t->straggler_said) {
        char text[256];
        stragglers_say(&now, steps, text);
        metrics_note(t->metrics, "%s", text);
    }
    t->straggler_said = again;
    t->straggler = now;
}

static void log_step(Trainer *t, const StepResult *result) {
    const double now = seconds_now(), seconds = (now - t->interval_start) / (double)t->interval_steps;
    const double rate = (double)(t->run.shape.samples * t->run.config->training.seq_len) / seconds;
    const Progress *p = &t->run.progress;
    const StepMetrics metrics = {.step = p->step,
                                 .tokens = p->tokens,
                                 .loss = result->loss,
                                 .teacher_kl = result->divergence,
                                 .has_teacher = t->run.session.teacher != NULL,
                                 .grad_norm = result->gradient_norm,
                                 .lr = result->lr,
                                 .tokens_per_second = rate,
                                 .mfu = utilisation(t, rate * t->run.flops_per_token),
                                 .step_seconds = seconds,
                                 .data_seconds = t->run.data_seconds / (double)t->interval_steps,
                                 .memory_bytes = memory_peak(),
                                 .skipped_steps = p->step - p->updates,
                                 .passed_over = progress_passed_over(p),
                                 .eta_seconds = seconds * (double)(t->run.config->training.steps - p->step)};
    const int64_t frequency = t->run.config->metrics.log_freq;
    if (p->step % frequency != 0 && p->step != 1 && p->step != t->run.config->training.steps) {
        metrics_live(t->metrics, &metrics);
        return;
    }
    metrics_step(t->metrics, &metrics);
    look_for_stragglers(t);
    begin_interval(t);
}

/* Validation is due every validation_interval steps and after the last step. */
static bool validation_is_due(const Trainer *t) {
    const int64_t interval = t->run.config->data.validation_interval, step = t->run.progress.step;
    return step == t->run.config->training.steps || (interval > 0 && step % interval == 0);
}

/* Scores all windows, or as many as validation_steps training steps have. With a fixed global_batch_size these are the
 * same windows on any number of ranks. */
static Status score(Trainer *t) {
    const int64_t all = stream_samples(t->validation),
                  wanted = t->run.config->data.validation_steps * t->run.shape.samples;
    Evaluation result;
    const Status status = evaluate(&t->run.session, &t->run.runner_options, t->validation, 0,
                                   wanted > 0 && wanted < all ? wanted : all, NULL, &result);
    if (status == OK && !result.given_up)
        metrics_validation(t->metrics, t->run.progress.step, t->run.progress.tokens,
                           result.loss_sum / (double)result.targets);
    return status;
}

/* What a validation consists of. */
typedef struct Parts {
    bool loss, previews;
} Parts;

static Status validate(Trainer *t, Parts wanted) {
    if (!validation_is_due(t)) return OK;
    const double start = seconds_now();
    const Status status = wanted.loss && t->validation ? score(t) : OK;
    if (status == OK && wanted.previews) previews_show(t->previews, &t->run.progress, t->metrics);
    t->interval_start += seconds_now() - start; /* not part of the steps' time */
    return status;
}

/* A run that was killed while it validated its last saved step has lost that: it is done again. */
static Status validate_lost(Trainer *t) {
    Comm *comm = t->run.session.comm;
    Parts lost = {!metrics_has_validation(t->metrics), !metrics_has_previews(t->metrics)};
    comm->f->broadcast(comm, &lost, sizeof lost, 0);
    return t->run.progress.step > 0 ? validate(t, lost) : OK;
}

/* Warns of a skipped update. NUMERIC_STOP, with the samples to look at, after too many in a row. */
static Status check_skipped(const Trainer *t, const StepResult *result) {
    const TrainingConfig *c = &t->run.config->training;
    const Progress *p = &t->run.progress;
    if (p->skipped_in_row == 0) return OK;
    char why[160];
    step_say_why(result, why);
    const long long first = p->samples - t->run.shape.samples, last = p->samples - 1;
    if (log_rank() == 0)
        log_warning("step %lld, samples %lld to %lld: %s: the update is skipped", (long long)p->step, first, last, why);
    if ((c->skip_nan_inf || isfinite(result->gradient_norm)) && p->skipped_in_row < c->max_skipped_steps) return OK;
    if (log_rank() == 0)
        log_error(
            "%lld updates in a row were skipped; the last step read samples %lld to %lld. Lower optimizer.lr, look "
            "at these samples, or go on from an earlier step",
            (long long)p->skipped_in_row, first, last);
    return NUMERIC_STOP;
}

/* Goes back to a checkpoint after training.rewind_spikes skipped steps in a row, even if an earlier process took some
 * of them. *rewound says that the step was undone. */
static Status rewind_if_due(Trainer *t, bool *rewound) {
    const Progress *p = &t->run.progress;
    const int64_t after = t->run.config->training.rewind_spikes, step = p->step;
    *rewound = false;
    if (after == 0 || p->step - p->updated_step < after) return OK;
    const int64_t rewinds = p->rewinds, saving = t->saving;
    t->saving = step; /* so that, if this fails, the lost weights are not saved */
    const Status status = saver_rewind(t->run.saver, &t->run.progress);
    if (status != OK) return status;
    *rewound = p->rewinds != rewinds || p->step != step;
    t->saving = *rewound ? p->step : saving;
    if (!*rewound && step - p->updated_step == after && log_rank() == 0)
        log_warning("there is no checkpoint from before these steps to go back to");
    if (*rewound) begin_interval(t);
    return OK;
}

static Status save(Trainer *t, bool last) {
    const double start = seconds_now();
    metrics_flush(t->metrics);
    signals_saved();
    t->saving = t->run.progress.step;
    const Status status = saver_save(t->run.saver, &t->run.progress, last);
    t->interval_start += seconds_now() - start;
    return status;
}

/* Saves the step if a save is `due`, and waits for it if it is the `last`. Otherwise finishes a background save that is
 * ready. */
static Status save_if(Trainer *t, bool due, bool last) { return due ? save(t, last) : saver_poll(t->run.saver); }

/* Logs how to stop the run, once, after the first step, when its duration is known. */
static void tell_how_to_stop(Trainer *t, double step_seconds) {
    char advice[512];
    if (!t->told && t->run.config->checkpoint.enable_checkpoint && stop_advice(step_seconds, advice))
        metrics_note(t->metrics, "%s", advice);
    t->told = true;
}

/* Takes a step and everything that is due after it. A due save comes before the validation, which can fail. */
static Status take_step(Trainer *t, StepResult *result) {
    Status status = training_step(&t->run, result);
    if (status != OK || result->given_up) return status;
    tell_how_to_stop(t, (seconds_now() - t->interval_start) / (double)t->interval_steps);
    log_step(t, result);
    status = check_skipped(t, result);
    bool rewound = false;
    if (status == OK) status = rewind_if_due(t, &rewound);
    if (status != OK || rewound) return status;
    const int64_t interval = t->run.config->checkpoint.interval;
    const bool last = result->stop || t->run.progress.step == t->run.config->training.steps;
    const bool due = last || result->save || (interval > 0 && t->run.progress.step % interval == 0);
    status = save_if(t, due, last);
    return status == OK ? validate(t, (Parts){true, true}) : status;
}

/* Saves the last whole step of a run that ends early, because reading failed or a rank has received SIGNAL_NOW. Weights
 * without a finite gradient are not saved. */
static Status save_rest(Trainer *t, Status status) {
    if (status == NUMERIC_STOP || t->run.progress.step == t->saving) return status;
    const Status saved = save_if(t, true, true);
    return status == OK ? saved : status;
}

static Status run_steps(Trainer *t) {
    const int64_t steps = t->run.config->training.steps;
    StepResult result = {0};
    t->interval_start = seconds_now();
    Status status = validate_lost(t);
    if (status != OK) return status;
    if (t->run.progress.step >= steps) {
        metrics_note(t->metrics, "step %lld of %lld is done already: nothing to train", (long long)t->run.progress.step,
                     (long long)steps);
        return t->run.progress.step == 0 ? save_if(t, true, true) : OK;
    }
    while (status == OK && t->run.progress.step < steps && !result.stop && !result.given_up) {
        t->interval_steps++;
        status = take_step(t, &result);
    }
    status = save_rest(t, status);
    if (status == OK && (result.stop || result.given_up))
        metrics_note(t->metrics, "stopped on request after step %lld", (long long)t->run.progress.step);
    return status;
}

/* Counts the tokens of each file in the steps of the run, skipped steps included, without samples passed over. */
static void count_tokens(const Trainer *t, int64_t *tokens) {
    const Progress *p = &t->run.progress;
    const int64_t files = t->run.config->data.files.count;
    int64_t *before = calloc(2 * (size_t)files, sizeof *before), *after = before + files;
    CHECK_MEMORY(before, "out of memory");
    stream_accounting(t->run.stream, p->samples, tokens);
    for (int64_t i = 0; i < p->rewinds; i++) {
        stream_accounting(t->run.stream, p->passed_over[i].first, before);
        stream_accounting(t->run.stream, p->passed_over[i].last + 1, after);
        for (int64_t file = 0; file < files; file++) tokens[file] -= after[file] - before[file];
    }
    free(before);
}

static void print_accounting(const Trainer *t) {
    const StringList *files = &t->run.config->data.files;
    int64_t *tokens = calloc((size_t)files->count, sizeof *tokens);
    if (!tokens) return;
    count_tokens(t, tokens);
    for (int64_t i = 0; i < files->count; i++)
        metrics_note(t->metrics, "tokens from %s: %lld", files->item[i], (long long)tokens[i]);
    free(tokens);
}

/* Logs the bytes that each rank has sent per step. */
static void print_traffic(const Trainer *t) {
    const Mesh *mesh = &t->run.session.mesh;
    const Traffic *sent = &t->run.traffic;
    if (mesh->world->size == 1 || sent->steps == 0) return;
    char text[64] = "";
    if (mesh->replicas->size > 1)
        snprintf(text, sizeof text, ", of it %.3f MB to other replicas",
                 (double)sent->between / (double)sent->steps / 1e6);
    metrics_note(t->metrics, "each rank sent %.3f MB per step in all-gathers and reduce-scatters%s",
                 (double)(sent->within + sent->between) / (double)sent->steps / 1e6, text);
}

static void finish(Trainer *t) {
    previews_free(t->previews);
    saver_close(t->run.saver);
    metrics_close(t->metrics);
    stream_close(t->validation);
    training_close(&t->run);
}

Status train(const TrainConfig *config, Comm *comm, const Device *device) {
    const double start = seconds_now();
    Trainer t = {.run = {.config = config, .session = {.comm = comm, .device = device}}};
    signals_install();
    time_left(config->job.time_limit);
    Status status = prepare(&t);
    if (status == OK) {
        int64_t product = PEAK_PRODUCT;
        t.peak_rate = peak_product_rate(device, t.run.runner_options.type, &product) * comm->size;
        metrics_note(t.metrics, "ready for step %lld after %.2f s; products run at %.0f GFLOP/s",
                     (long long)t.run.progress.step + 1, seconds_now() - start, t.peak_rate / 1e9);
        t.saving = t.run.progress.step;
        status = run_steps(&t);
        print_traffic(&t);
        print_accounting(&t);
    }
    finish(&t);
    return status;
}
