#include "training/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "reporting/metrics.h"
#include "base/clock.h"
#include "training/schedule.h"
#include "base/signals.h"
#include "base/files.h"
#include "training/data_check.h"
#include "training/peak.h"
#include "training/progress.h"
#include "training/repeat.h"
#include "training/samples.h"
#include "training/setup.h"
#include "training/stop.h"
#include "training/teacher.h"

typedef struct Trainer {
    const TrainConfig *config;
    Session session;
    RunnerOptions runner_options;
    OptimizerOptions optimizer;
    StepShape shape;
    Schedule schedule;
    Stream *stream, *validation;
    Metrics *metrics; /* rank 0 */
    Progress progress;
    Saver *saver;
    double peak_rate, flops_per_token;   /* peak_rate: of all ranks together */
    double interval_start, data_seconds; /* since the last logged step */
    int64_t interval_steps;
    bool told;      /* the advice on stopping has been logged */
    int64_t saving; /* the step of the newest save; at the start, the step that the run began after */
} Trainer;

/* The result of one step over all ranks. */
typedef struct StepResult {
    double loss, divergence, gradient_norm, lr; /* divergence: from the teacher */
    double loss_limit, norm_limit;              /* larger ones are spikes */
    bool stop, save;                            /* requested on at least one rank */
    bool given_up;                              /* a rank has received SIGNAL_NOW: the step was abandoned */
} StepResult;

static Status make_folder(const char *path) {
    const int error = folder_create_all(path);
    if (error == 0) return OK;
    log_error("job.dump_folder %s cannot be made: %s", path, strerror(error));
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

static Status open_stream(const Trainer *t, const StringList *files, const RealList *probabilities, bool shuffle,
                          Stream **stream) {
    const TrainingConfig *c = &t->config->training;
    StreamOptions options = stream_default_options();
    options.files = (const char *const *)files->item;
    options.file_count = (int)files->count;
    options.probabilities = probabilities && probabilities->count ? probabilities->item : NULL;
    options.seq_len = c->seq_len;
    options.context_len = c->context_len;
    options.varlen = c->varlen;
    options.mask_boundaries = c->mask_document_boundaries;
    options.shuffle = shuffle;
    options.seed = (uint64_t)c->seed;
    options.threads = (int)t->config->data.threads;
    options.vocab_size = t->session.model->config.vocab_size;
    return samples_open(t->session.comm, &options, stream);
}

static Status open_streams(Trainer *t) {
    const DataConfig *data = &t->config->data;
    Status status = open_stream(t, &data->files, &data->probabilities, true, &t->stream);
    if (status == OK && data->validation_files.count > 0)
        status = open_stream(t, &data->validation_files, NULL, false, &t->validation);
    return status;
}

static Status compare_streams(const Trainer *t) {
    const DataConfig *data = &t->config->data;
    Status status = samples_compare(t->session.comm, t->stream, (int)data->files.count);
    if (status == OK && t->validation)
        status = samples_compare(t->session.comm, t->validation, (int)data->validation_files.count);
    return status;
}

static Status open_metrics(Trainer *t) {
    if (t->session.comm->rank != 0) return OK;
    const MetricsOptions options = {
        .folder = t->config->job.dump_folder,
        .resumed_step = t->progress.step,
        .tb_folder = t->config->metrics.enable_tensorboard ? t->config->metrics.save_tb_folder : NULL,
        .steps = t->config->training.steps};
    return metrics_open(&options, &t->metrics);
}

static Status plan_memory(Trainer *t, Model *model) {
    Comm *comm = t->session.comm;
    const Device *device = t->session.device;
    setup_recompute(t->config, model, comm, device, &t->runner_options);
    const MemoryPlan plan = setup_memory(t->config, &t->runner_options, model, comm->size, comm->local_size);
    setup_print(t->config, &t->runner_options, model, &plan, comm->size);
    t->flops_per_token = setup_flops_per_token(&plan, t->config);
    return agree(comm, setup_check_memory(&plan, device, comm_sharers(comm, device)));
}

/* Everything up to the first step. `session.comm` and `session.device` are set. */
static Status prepare(Trainer *t) {
    Comm *comm = t->session.comm;
    Model *model = NULL;
    Status status = agree(comm, model_create(t->config->model, &model));
    if (status != OK) return status;
    t->session.model = model;
    status = teacher_read(t->config, model, comm, &t->session.teacher);
    if (status != OK) return status;
    t->runner_options = setup_runner(t->config, t->session.teacher);
    t->optimizer = setup_optimizer(t->config);
    t->shape = step_shape(t->config, comm->size);
    t->schedule = schedule_create(&t->config->lr_scheduler, t->config->training.steps);
    const FsdpOptions sharding = setup_sharding(t->config);
    status = session_connect(&t->session, comm, t->session.device, sharding.replicas);
    if (status == OK) status = plan_memory(t, model);
    if (status == OK) status = teacher_load(t->config, &t->session);
    t->runner_options.teacher_fsdp = t->session.teacher_fsdp;
    if (status == OK) status = session_fill(&t->session, model, t->runner_options, sharding);
    if (status == OK) status = open_streams(t);
    if (status == OK) status = compare_streams(t);
    if (status == OK)
        status = agree(comm, data_check(t->stream, t->validation, t->shape.samples, t->config->training.seq_len));
    if (status == OK) data_check_marks(stream_facts(t->stream), t->config->model, &model->config);
    if (status == OK) status = agree(comm, comm->rank == 0 ? make_folder(t->config->job.dump_folder) : OK);
    if (status == OK) status = progress_begin(t->config, &t->session, t->stream, &t->progress, &t->saver);
    if (status == OK && comm->rank == 0) status = write_effective_config(t->config);
    status = agree(comm, status);
    if (status == OK) status = agree(comm, open_metrics(t));
    if (status == OK) saver_report(t->saver, t->metrics);
    return status;
}

/* Reads and runs the micro-batches of one step and sums losses and targets. Changes nothing that a checkpoint holds. */
static Status run_micro_batches(Trainer *t, double *loss_sum, double *targets, bool *given_up) {
    Comm *comm = t->session.comm;
    const int64_t first = t->progress.samples, end = first + t->shape.samples;
    for (int64_t m = 0; m < t->shape.micro_batches; m++) {
        const double start = seconds_now();
        const int64_t sample = first + m * comm->size * t->shape.batch;
        const Status status = samples_read(&t->session, &t->runner_options, t->stream, sample, end, given_up);
        if (status != OK || *given_up) return status;
        t->data_seconds += seconds_now() - start;
        runner_train(t->session.runner, m == t->shape.micro_batches - 1);
    }
    int64_t count = 0;
    runner_losses(t->session.runner, loss_sum, &count);
    *targets = (double)count;
    return OK;
}

/* run_micro_batches, twice in every replay_every-th step. */
static Status compute_step(Trainer *t, double *loss_sum, double *targets, bool *given_up) {
    Fsdp *fsdp = t->session.fsdp;
    const int64_t every = t->config->training.replay_every, step = t->progress.step + 1;
    Status status = run_micro_batches(t, loss_sum, targets, given_up);
    if (status != OK || *given_up || every == 0 || step % every != 0) return status;
    Computed first = computed_read(fsdp, *loss_sum), second = {0};
    fsdp_end_step(fsdp);
    status = run_micro_batches(t, loss_sum, targets, given_up);
    if (status == OK && !*given_up) {
        second = computed_read(fsdp, *loss_sum);
        status = computed_compare(fsdp, step, &first, &second);
    }
    computed_free(&first);
    computed_free(&second);
    return status;
}

/* Computes loss, norm and whether they are spikes; updates the weights if they are finite and none. */
static void update(Trainer *t, double loss_sum, double targets, StepResult *result) {
    Progress *p = &t->progress;
    const double deviations = t->config->training.skip_spikes, scale = targets > 0 ? 1 / targets : 0;
    result->lr = t->config->optimizer.lr * schedule_factor(&t->schedule, p->step);
    result->loss = loss_sum * scale;
    result->gradient_norm = optimizer_norm(t->session.fsdp, scale);
    result->loss_limit = spikes_limit(&p->spikes, &p->spikes.loss, deviations);
    result->norm_limit = spikes_limit(&p->spikes, &p->spikes.norm, deviations);
    const bool skipped = !isfinite(result->gradient_norm) || result->gradient_norm > result->norm_limit ||
                         result->loss > result->loss_limit;
    if (!skipped)
        optimizer_update(t->session.fsdp, &t->optimizer, p->updates + 1, result->lr, scale, result->gradient_norm);
    fsdp_end_step(t->session.fsdp);
    p->step++;
    p->samples += t->shape.samples;
    p->tokens += t->shape.samples * t->config->training.seq_len;
    p->skipped_in_row = skipped ? p->skipped_in_row + 1 : 0;
    if (skipped) return;
    p->updates++;
    p->updated_step = p->step;
    spikes_add(&p->spikes, result->loss, result->gradient_norm);
}

static Status run_step(Trainer *t, StepResult *result) {
    double sums[5] = {0}; /* loss, targets, ranks that want to stop, ranks that want to save, divergence */
    *result = (StepResult){0};
    const Status status = compute_step(t, &sums[0], &sums[1], &result->given_up);
    if (status != OK || result->given_up) return status;
    const int asked = signals_requested();
    sums[2] = (asked & SIGNAL_STOP) != 0 || time_left(t->config->job.time_limit) <= 0;
    sums[3] = (asked & SIGNAL_SAVE) != 0;
    sums[4] = runner_divergence(t->session.runner);
    t->session.comm->f->all_reduce_sum(t->session.comm, sums, 5);
    result->stop = sums[2] > 0;
    result->save = sums[3] > 0;
    result->divergence = sums[1] > 0 ? sums[4] / sums[1] : 0;
    update(t, sums[0], sums[1], result);
    return OK;
}

/* Model FLOPs utilisation on rank 0, which logs it; 0 on the others. */
static double utilisation(Trainer *t, double flops_per_second) {
    if (!t->metrics) return 0;
    bool again;
    const double fraction = peak_utilisation(t->session.device, t->runner_options.type, t->session.comm->size,
                                             flops_per_second, &t->peak_rate, &again);
    if (again)
        metrics_note(t->metrics, "steps are faster than the products that MFU is measured against: now %.0f GFLOP/s",
                     t->peak_rate / 1e9);
    return fraction;
}

static void log_step(Trainer *t, const StepResult *result) {
    const double now = seconds_now(), seconds = (now - t->interval_start) / (double)t->interval_steps;
    const double rate = (double)(t->shape.samples * t->config->training.seq_len) / seconds;
    const Progress *p = &t->progress;
    const StepMetrics metrics = {.step = p->step,
                                 .tokens = p->tokens,
                                 .loss = result->loss,
                                 .teacher_kl = result->divergence,
                                 .has_teacher = t->session.teacher != NULL,
                                 .grad_norm = result->gradient_norm,
                                 .lr = result->lr,
                                 .tokens_per_second = rate,
                                 .mfu = utilisation(t, rate * t->flops_per_token),
                                 .step_seconds = seconds,
                                 .data_seconds = t->data_seconds / (double)t->interval_steps,
                                 .memory_bytes = memory_peak(),
                                 .skipped_steps = p->step - p->updates,
                                 .eta_seconds = seconds * (double)(t->config->training.steps - p->step)};
    const int64_t frequency = t->config->metrics.log_freq;
    if (p->step % frequency != 0 && p->step != 1 && p->step != t->config->training.steps) {
        metrics_live(t->metrics, &metrics);
        return;
    }
    metrics_step(t->metrics, &metrics);
    t->interval_start = seconds_now();
    t->interval_steps = 0;
    t->data_seconds = 0;
}

/* Validates if it is due. Scores all windows, or as many as validation_steps steps have: with a fixed global_batch_size
 * the same windows on any number of ranks. */
static Status validate(Trainer *t) {
    const DataConfig *data = &t->config->data;
    if (!t->validation) return OK;
    const bool last = t->progress.step == t->config->training.steps;
    if (!last && (data->validation_interval <= 0 || t->progress.step % data->validation_interval != 0)) return OK;
    const int64_t all = stream_samples(t->validation), wanted = data->validation_steps * t->shape.samples;
    Evaluation result;
    const double start = seconds_now();
    const Status status = evaluate(&t->session, &t->runner_options, t->validation, 0,
                                   wanted > 0 && wanted < all ? wanted : all, NULL, &result);
    if (status == OK && !result.given_up)
        metrics_validation(t->metrics, t->progress.step, t->progress.tokens, result.loss_sum / (double)result.targets);
    t->interval_start += seconds_now() - start; /* not part of the steps' time */
    return status;
}

/* Why the update was skipped: "loss 9.1 is a spike (above 6.2)". */
static void say_why(const StepResult *result, char text[160]) {
    const bool loss = result->loss > result->loss_limit, norm = result->gradient_norm > result->norm_limit;
    if (!isfinite(result->loss) || !isfinite(result->gradient_norm) || !(loss || norm))
        snprintf(text, 160, "loss %g, gradient norm %g", result->loss, result->gradient_norm);
    else
        snprintf(text, 160, "%s %g is a spike: above %g", loss ? "loss" : "gradient norm",
                 loss ? result->loss : result->gradient_norm, loss ? result->loss_limit : result->norm_limit);
}

/* Warns of a skipped update. NUMERIC_STOP, with the samples to look at, after too many in a row. */
static Status check_skipped(const Trainer *t, const StepResult *result) {
    const TrainingConfig *c = &t->config->training;
    const Progress *p = &t->progress;
    if (p->skipped_in_row == 0) return OK;
    char why[160];
    say_why(result, why);
    const long long first = p->samples - t->shape.samples, last = p->samples - 1;
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

static Status save(Trainer *t, bool last) {
    const double start = seconds_now();
    metrics_flush(t->metrics);
    signals_saved();
    t->saving = t->progress.step;
    const Status status = saver_save(t->saver, &t->progress, last);
    t->interval_start += seconds_now() - start;
    return status;
}

/* Saves the step if it is `due`, waiting for it if it is the `last`. */
static Status save_if(Trainer *t, bool due, bool last) { return due ? save(t, last) : saver_poll(t->saver); }

/* Logs once how to stop the run, after the first step, when its duration is known. */
static void tell_how_to_stop(Trainer *t, double step_seconds) {
    char advice[512];
    if (!t->told && t->config->checkpoint.enable_checkpoint && stop_advice(step_seconds, advice))
        metrics_note(t->metrics, "%s", advice);
    t->told = true;
}

/* Saves, if that is due, before the validation, which can fail. */
static Status take_step(Trainer *t, StepResult *result) {
    Status status = run_step(t, result);
    if (status != OK || result->given_up) return status;
    tell_how_to_stop(t, (seconds_now() - t->interval_start) / (double)t->interval_steps);
    log_step(t, result);
    status = check_skipped(t, result);
    const int64_t interval = t->config->checkpoint.interval;
    const bool last = result->stop || t->progress.step == t->config->training.steps;
    const bool due = last || result->save || (interval > 0 && t->progress.step % interval == 0);
    if (status == OK) status = save_if(t, due, last);
    if (status == OK) status = validate(t);
    return status;
}

/* Saves the last whole step of a run that ends early, because reading failed or a rank has received SIGNAL_NOW. Weights
 * without a finite gradient are not saved. */
static Status save_rest(Trainer *t, Status status) {
    if (status == NUMERIC_STOP || t->progress.step == t->saving) return status;
    const Status saved = save_if(t, true, true);
    return status == OK ? saved : status;
}

static Status run_steps(Trainer *t) {
    const int64_t steps = t->config->training.steps;
    Status status = OK;
    StepResult result = {0};
    t->interval_start = seconds_now();
    if (t->progress.step >= steps) {
        metrics_note(t->metrics, "step %lld of %lld is done already: nothing to train", (long long)t->progress.step,
                     (long long)steps);
        return t->progress.step == 0 ? save_if(t, true, true) : OK;
    }
    while (status == OK && t->progress.step < steps && !result.stop && !result.given_up) {
        t->interval_steps++;
        status = take_step(t, &result);
    }
    status = save_rest(t, status);
    if (status == OK && (result.stop || result.given_up))
        metrics_note(t->metrics, "stopped on request after step %lld", (long long)t->progress.step);
    return status;
}

static void print_accounting(const Trainer *t) {
    const StringList *files = &t->config->data.files;
    int64_t *tokens = calloc((size_t)files->count, sizeof *tokens);
    if (!tokens) return;
    stream_accounting(t->stream, t->progress.samples, tokens);
    for (int64_t i = 0; i < files->count; i++)
        metrics_note(t->metrics, "tokens from %s: %lld", files->item[i], (long long)tokens[i]);
    free(tokens);
}

/* Logs the bytes that each rank has sent per step. */
static void print_traffic(const Trainer *t, int64_t steps) {
    const Mesh *mesh = &t->session.mesh;
    if (mesh->world->size == 1 || steps == 0) return;
    const int64_t between = mesh->replicas->bytes_sent, all = mesh->shards->bytes_sent + between;
    char text[64] = "";
    if (mesh->replicas->size > 1)
        snprintf(text, sizeof text, ", of it %.3f MB to other replicas", (double)between / (double)steps / 1e6);
    metrics_note(t->metrics, "each rank sent %.3f MB per step in all-gathers and reduce-scatters%s",
                 (double)all / (double)steps / 1e6, text);
}

static void finish(Trainer *t) {
    saver_close(t->saver);
    metrics_close(t->metrics);
    stream_close(t->stream);
    stream_close(t->validation);
    session_close(&t->session);
}

Status train(const TrainConfig *config, Comm *comm, const Device *device) {
    const double start = seconds_now();
    Trainer t = {.config = config, .session = {.comm = comm, .device = device}};
    signals_install();
    time_left(config->job.time_limit);
    Status status = prepare(&t);
    if (status == OK) {
        int64_t product = PEAK_PRODUCT;
        t.peak_rate = peak_product_rate(device, t.runner_options.type, &product) * comm->size;
        metrics_note(t.metrics, "ready for step %lld after %.2f s; products run at %.0f GFLOP/s",
                     (long long)t.progress.step + 1, seconds_now() - start, t.peak_rate / 1e9);
        const int64_t first_step = t.saving = t.progress.step;
        t.session.mesh.shards->bytes_sent = t.session.mesh.replicas->bytes_sent = 0;
        status = run_steps(&t);
        print_traffic(&t, t.progress.step - first_step);
        print_accounting(&t);
    }
    finish(&t);
    return status;
}
