#include "training/step.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/signals.h"
#include "parallel/comm_watch.h"
#include "parallel/replicas_check.h"
#include "training/repeat.h"
#include "training/samples.h"
#include "training/teacher.h"

Status training_open_stream(const Training *t, const StringList *files, const RealList *probabilities, bool shuffle,
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
    const Status status = samples_open(t->session.comm, &options, stream);
    return status == OK ? samples_compare(t->session.comm, *stream, options.file_count) : status;
}

static Status plan_memory(Training *t, Model *model) {
    Comm *comm = t->session.comm;
    const Device *device = t->session.device;
    setup_recompute(t->config, model, comm, device, &t->runner_options);
    const MemoryPlan plan = setup_memory(t->config, &t->runner_options, model, comm->size, comm->local_size);
    setup_print(t->config, &t->runner_options, model, &plan, comm->size);
    t->flops_per_token = setup_flops_per_token(&plan, t->config);
    return agree(comm, setup_check_memory(&plan, device, comm_sharers(comm, device)));
}

Status training_open(Training *t) {
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
    const DataConfig *data = &t->config->data;
    if (status == OK) status = training_open_stream(t, &data->files, &data->probabilities, true, &t->stream);
    return status;
}

void training_close(Training *t) {
    stream_close(t->stream);
    session_close(&t->session);
}

Status training_micro_batch(Training *t, int64_t m, bool *given_up) {
    const int64_t first = t->progress.samples, ranks = t->session.comm->size;
    const Status status = samples_read(&t->session, &t->runner_options, t->stream, first + m * ranks * t->shape.batch,
                                       first + t->shape.samples, given_up);
    if (status != OK || *given_up) return status;
    runner_train(t->session.runner, m == t->shape.micro_batches - 1);
    return OK;
}

/* Runs the micro-batches of one step and sums this rank's losses and targets. */
static Status run_micro_batches(Training *t, double *loss_sum, double *targets, bool *given_up) {
    for (int64_t m = 0; m < t->shape.micro_batches; m++) {
        const Status status = training_micro_batch(t, m, given_up);
        if (status != OK || *given_up) return status;
    }
    int64_t count = 0;
    runner_losses(t->session.runner, loss_sum, &count);
    *targets = (double)count;
    return OK;
}

/* Calls run_micro_batches, and in every replay_every-th step calls it twice and compares the results. */
static Status compute_checked(Training *t, double *loss_sum, double *targets, bool *given_up) {
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

static Status compute_step(Training *t, double *loss_sum, double *targets, bool *given_up) {
    const int64_t every = t->config->training.check_replicas_every, step = t->progress.step + 1;
    const Status status = compute_checked(t, loss_sum, targets, given_up);
    if (status != OK || *given_up || every == 0 || step % every != 0) return status;
    return t->session.mesh.replicas->size > 1 ? replicas_check(t->session.fsdp, step) : OK;
}

void training_judge(Training *t, double loss_sum, double targets, StepResult *result) {
    const Spikes *spikes = &t->progress.spikes;
    const double deviations = t->config->training.skip_spikes;
    result->scale = targets > 0 ? 1 / targets : 0;
    result->loss = loss_sum * result->scale;
    result->gradient_norm = optimizer_norm(t->session.fsdp, result->scale);
    result->loss_limit = spikes_limit(spikes, &spikes->loss, deviations);
    result->norm_limit = spikes_limit(spikes, &spikes->norm, deviations);
}

bool step_is_skipped(const StepResult *result) {
    return !isfinite(result->gradient_norm) || result->gradient_norm > result->norm_limit ||
           result->loss > result->loss_limit;
}

void step_say_why(const StepResult *result, char why[160]) {
    const bool loss = result->loss > result->loss_limit, norm = result->gradient_norm > result->norm_limit;
    if (!isfinite(result->loss) || !isfinite(result->gradient_norm) || !(loss || norm))
        snprintf(why, 160, "loss %g, gradient norm %g", result->loss, result->gradient_norm);
    else
        snprintf(why, 160, "%s %g is a spike: above %g", loss ? "loss" : "gradient norm",
                 loss ? result->loss : result->gradient_norm, loss ? result->loss_limit : result->norm_limit);
}

/* Updates the weights unless the step is skipped, and counts it. */
static void update(Training *t, StepResult *result) {
    Progress *p = &t->progress;
    const bool skipped = step_is_skipped(result);
    result->lr = t->config->optimizer.lr * schedule_factor(&t->schedule, p->step);
    if (!skipped) {
        saver_finish_reading(t->saver);
        optimizer_update(t->session.fsdp, &t->optimizer, p->updates + 1, result->lr, result->scale,
                         result->gradient_norm);
    }
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

static Status take_step(Training *t, StepResult *result) {
    Comm *comm = t->session.comm;
    double sums[5] = {0}; /* loss, targets, ranks that want to stop, ranks that want to save, divergence */
    *result = (StepResult){0};
    const Status status = compute_step(t, &sums[0], &sums[1], &result->given_up);
    if (status != OK || result->given_up) return status;
    const int asked = signals_requested();
    sums[2] = (asked & SIGNAL_STOP) != 0 || time_left(t->config->job.time_limit) <= 0;
    sums[3] = (asked & SIGNAL_SAVE) != 0;
    sums[4] = runner_divergence(t->session.runner);
    comm->f->all_reduce_sum(comm, sums, 5);
    result->stop = sums[2] > 0;
    result->save = sums[3] > 0;
    result->divergence = sums[1] > 0 ? sums[4] / sums[1] : 0;
    training_judge(t, sums[0], sums[1], result);
    update(t, result);
    return OK;
}

Status training_step(Training *t, StepResult *result) {
    const Mesh *mesh = &t->session.mesh;
    const int64_t within = mesh->shards->bytes_sent, between = mesh->replicas->bytes_sent;
    const double start = seconds_now(), waited = comm_watch_seconds(), read = t->session.reading_seconds,
                 data = t->session.data_seconds;
    const Status status = take_step(t, result);
    const double reading = t->session.reading_seconds - read, collective = comm_watch_seconds() - waited;
    t->data_seconds += t->session.data_seconds - data;
    t->times.reading += reading;
    t->times.collective += collective;
    t->times.computing += seconds_now() - start - reading - collective;
    if (status != OK || result->given_up) return status;
    t->traffic.steps++;
    t->traffic.within += mesh->shards->bytes_sent - within;
    t->traffic.between += mesh->replicas->bytes_sent - between;
    return status;
}
