#include "suites/trial_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/activity.h"
#include "base/clock.h"
#include "base/log.h"
#include "data/shuffle.h"
#include "parallel/optimizer.h"
#include "suites/examples.h"
#include "suites/statistics.h"
#include "suites/test_runs.h"
#include "suites/trial_setup.h"
#include "training/generation_rates.h"
#include "training/schedule.h"
#include "training/session.h"

enum { WARM_UP_STEPS = 10, WINDOWS = 5, DECODED_MOST = 32, FRESH_STRIDE = 1 << 30, BATCH_ORDER = 1 };

typedef struct Training {
    const Trial *trial;
    TrialSetup setup;
    Session session;
    Schedule schedule;
    OptimizerOptions optimizer;
    Runner *runner[SEGMENTS_MOST]; /* by segment; segments of equal length share one; the first is the session's */
    Examples *examples[SEGMENTS_MOST];
    int64_t *number; /* [batch_size]: numbers of the examples of a step */
    TestRuns *tests;
    double *step_seconds; /* [steps] */
    TrialResult *result;
} Training;

static void *zeroed(int64_t count, size_t size) {
    void *memory = calloc((size_t)count, size);
    CHECK_MEMORY(memory, "out of memory");
    return memory;
}

static void prepare_updates(Training *t) {
    const Protocol *p = &t->setup.protocol;
    const LrSchedulerConfig schedule = {
        .warmup_steps = p->warmup_steps, .decay_ratio = NAN, .decay_type = p->decay, .lr_min = 0};
    t->schedule = schedule_create(&schedule, t->result->steps);
    t->optimizer = (OptimizerOptions){.beta1 = p->beta1,
                                      .beta2 = p->beta2,
                                      .eps = p->eps,
                                      .weight_decay = t->trial->weight_decay,
                                      .max_norm = p->max_norm,
                                      .decay_all = true,
                                      .copies = 1};
}

/* Makes an epoch of all examples of the files, which have no new ones for every step. */
static void take_all(TrialSetup *setup, TrialSegment *segment, int64_t examples) {
    const int64_t B = segment->options.B;
    segment->examples = examples;
    segment->batches = (examples + B - 1) / B;
    setup->epoch_steps += segment->batches;
}

static Status open_segment(Training *t, int i) {
    TrialSegment *segment = &t->setup.segment[i];
    const Protocol *p = &t->setup.protocol;
    const int shared = trial_runner(&t->setup, i);
    t->runner[i] = i == 0       ? t->session.runner
                   : shared < i ? t->runner[shared]
                                : runner_create(t->session.model, t->session.fsdp, t->session.device, segment->options);
    const Status status = examples_open(t->trial->task, segment->config, segment->options.T, (uint64_t)p->data_seed,
                                        segment->split, p->data, segment->examples, &t->examples[i]);
    if (status == OK && segment->examples == 0) take_all(&t->setup, segment, examples_count(t->examples[i]));
    return status;
}

static Status open_training(Training *t, const Device *device) {
    const Protocol *p = &t->setup.protocol;
    Model *model = NULL;
    Status status = trial_setup(t->trial, device->gpu, &t->setup, &model, t->result);
    if (status != OK) return status;
    const RunnerOptions *options = &t->setup.segment[0].options;
    status = session_open(&t->session, comm_self_create(), device, model, *options, session_sharding(options));
    if (status != OK) return status;
    fsdp_initialise(t->session.fsdp, (uint64_t)t->trial->seed);
    prepare_updates(t);
    t->number = zeroed(p->batch_size, sizeof *t->number);
    t->step_seconds = zeroed(t->result->steps, sizeof *t->step_seconds);
    for (int i = 0; i < t->setup.segments && status == OK; i++) status = open_segment(t, i);
    return status == OK ? test_runs_open(t->trial, &t->setup, &t->session, t->result, &t->tests) : status;
}

static void close_training(Training *t) {
    test_runs_close(t->tests);
    for (int i = 0; i < t->setup.segments; i++) examples_close(t->examples[i]);
    for (int i = 1; i < t->setup.segments; i++)
        if (trial_runner(&t->setup, i) == i) runner_destroy(t->runner[i]);
    session_close(&t->session);
    trial_setup_free(t->trial, &t->setup);
    free(t->number);
    free(t->step_seconds);
}

/* Which batch belongs to a step. */
typedef struct Place {
    int64_t epoch, batch; /* of the segment */
    int segment;
} Place;

static Place place_of(const Training *t, int64_t step) {
    const TrialSetup *s = &t->setup;
    Place place = {.epoch = s->epoch_steps ? step / s->epoch_steps : 0,
                   .batch = s->epoch_steps ? step % s->epoch_steps : step};
    if (s->segments > 1 && s->protocol.mixed) {
        const uint64_t key = hash_mix(hash_mix((uint64_t)t->trial->seed, (uint64_t)place.epoch), BATCH_ORDER);
        const Permutation order = permutation_make((uint64_t)s->epoch_steps, key);
        place.batch = (int64_t)permutation_apply(&order, (uint64_t)place.batch);
    }
    for (; s->segments > 1 && place.batch >= s->segment[place.segment].batches; place.segment++)
        place.batch -= s->segment[place.segment].batches;
    return place;
}

/* The number of the example that is number b of a batch; -1: none, because the epoch has ended. */
static int64_t number_of(const Training *t, Place place, int64_t b) {
    const TrialSegment *segment = &t->setup.segment[place.segment];
    const int64_t number = place.batch * segment->options.B + b;
    if (segment->examples == 0) return t->trial->seed * FRESH_STRIDE + number;
    if (number >= segment->examples) return -1;
    const uint64_t key = hash_mix((uint64_t)t->trial->seed, (uint64_t)place.epoch);
    const Permutation order = permutation_make((uint64_t)segment->examples, key);
    return (int64_t)permutation_apply(&order, (uint64_t)number);
}

static Status fill_step(Training *t, Place place) {
    const int64_t B = t->setup.segment[place.segment].options.B;
    for (int64_t b = 0; b < B; b++) t->number[b] = number_of(t, place, b);
    return examples_fill(t->examples[place.segment], t->number, B, runner_batch(t->runner[place.segment]));
}

static Status take_step(Training *t, int64_t step) {
    const double start = seconds_now();
    const Place place = place_of(t, step);
    Runner *runner = t->runner[place.segment];
    double loss = 0;
    int64_t targets = 0;
    const Status status = fill_step(t, place);
    if (status != OK) return status;
    runner_train(runner, true);
    runner_losses(runner, &loss, &targets);
    const double lr = t->trial->lr * schedule_factor(&t->schedule, step);
    const OptimizerResult update =
        optimizer_step(t->session.fsdp, &t->optimizer, step + 1, lr, targets > 0 ? 1 / (double)targets : 0);
    fsdp_end_step(t->session.fsdp);
    t->step_seconds[step] = seconds_now() - start;
    activity_advance();
    if (isfinite(loss) && !update.skipped) return OK;
    log_warning("%s, %s: the loss of step %lld is %g, the norm of its gradient %g", t->trial->task->name,
                t->trial->mixer, (long long)step + 1, loss / (double)targets, update.gradient_norm);
    return NUMERIC_STOP;
}

/* The number of tokens of steps first .. end - 1. */
static int64_t tokens_of(const Training *t, int64_t first, int64_t end) {
    int64_t tokens = 0;
    for (int64_t step = first; step < end; step++) {
        const RunnerOptions *options = &t->setup.segment[place_of(t, step).segment].options;
        tokens += options->B * options->T;
    }
    return tokens;
}

/* The median rate over windows of steps, without the first steps; NaN if there are too few. */
static double tokens_per_second(const Training *t, int64_t steps) {
    double rate[WINDOWS];
    const int64_t measured = (steps - WARM_UP_STEPS) / WINDOWS;
    if (measured < 1) return NAN;
    for (int w = 0; w < WINDOWS; w++) {
        double seconds = 0;
        const int64_t first = WARM_UP_STEPS + w * measured;
        for (int64_t i = first; i < first + measured; i++) seconds += t->step_seconds[i];
        rate[w] = (double)tokens_of(t, first, first + measured) / seconds;
    }
    return sample_median(rate, WINDOWS);
}

/* The rate at which a batch of sequences as long as the examples is generated: at most the last half of their tokens,
 * one by one. */
static double decode_tokens_per_second(const Training *t) {
    const RunnerOptions *options = &t->setup.segment[0].options;
    const int64_t half = options->T / 2, count = half < DECODED_MOST ? half : DECODED_MOST;
    const int64_t prompt = options->T - count - GENERATION_WARM_UP;
    const bool token_by_token = t->trial->task->form == TASK_CAUSAL && !t->setup.protocol.bidirectional;
    if (!token_by_token || prompt < 1) return NAN;
    return generation_rates(&t->session, options->type, options->B, prompt, count).generated;
}

static Status run_steps(Training *t, TrialProgress *progress, void *context) {
    const int64_t steps = t->result->steps, between = protocol_steps_between(&t->setup.protocol, t->setup.epoch_steps);
    Status status = OK;
    int64_t step = 0;
    for (bool done = false; step < steps && !done && status == OK;) {
        status = take_step(t, step++);
        if (status != OK || (step % between != 0 && step != steps)) continue;
        double score = 0;
        status = test_runs_run(t->tests, step == steps, &score, &done);
        if (progress) progress(context, step, steps, score);
    }
    t->result->steps = step;
    t->result->tokens = tokens_of(t, 0, step);
    t->result->tokens_per_second = tokens_per_second(t, step);
    return status;
}

Status trial_run(const Trial *trial, const Device *device, TrialProgress *progress, void *context,
                 TrialResult *result) {
    *result = (TrialResult){0};
    Training t = {.trial = trial, .result = result};
    const double start = seconds_now();
    Status status = open_training(&t, device);
    if (status == OK) status = run_steps(&t, progress, context);
    result->seconds = seconds_now() - start;
    result->decode_tokens_per_second = status == OK ? decode_tokens_per_second(&t) : NAN;
    close_training(&t);
    return status;
}
