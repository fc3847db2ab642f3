#include "suites/trial_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "data/shuffle.h"
#include "parallel/optimizer.h"
#include "suites/examples.h"
#include "suites/statistics.h"
#include "suites/tester.h"
#include "suites/trial_setup.h"
#include "training/schedule.h"
#include "training/session.h"

enum { WARM_UP_STEPS = 10, WINDOWS = 5, FRESH_STRIDE = 1 << 30 };

typedef struct Training {
    const Trial *trial;
    TrialSetup setup;
    Session session;
    Schedule schedule;
    OptimizerOptions optimizer;
    Examples *examples;
    int64_t *number; /* [batch_size]: the examples of a step */
    Tester *tester[TRIAL_TESTS];
    double *step_seconds; /* [steps] */
    double best_loss;
    bool *spare; /* [test_examples]: `right` of a test whose scores may not count */
    TrialResult *result;
} Training;

static void *zeroed(int64_t count, size_t size) {
    void *memory = calloc((size_t)count, size);
    CHECK(memory, "out of memory");
    return memory;
}

/* Whether the model has words and answers enough for the examples of a split. */
static bool fits(const TrialSetup *setup, const TaskSizes *sizes) {
    return sizes->classes <= setup->outputs && sizes->tokens <= setup->outputs;
}

/* split NULL: "test". */
static Status open_test(Training *t, const Split *split) {
    const Task *task = t->trial->task;
    const char *name = split ? split->name : "test";
    TrialResult *result = t->result;
    void *config = NULL;
    const Status status = trial_task(t->trial, split, &config);
    if (status != OK) return status;
    const TaskSizes sizes = task->sizes(config);
    if (!fits(&t->setup, &sizes)) {
        log_warning("%s: the split %s has more answers than the model, and is left out", task->name, name);
        task_config_free(task, config);
        return OK;
    }
    const int i = result->tests++;
    CHECK(i < TRIAL_TESTS, "%s has too many splits", task->name);
    return tester_open(t->trial, &t->setup, &t->session, name, config, &result->test[i], &t->tester[i]);
}

static Status open_testers(Training *t) {
    Status status = open_test(t, NULL);
    for (const Split *split = t->trial->task->splits; split && split->name && status == OK; split++)
        status = open_test(t, split);
    return status;
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

static Status open_training(Training *t, const Device *device) {
    const Protocol *p = &t->setup.protocol;
    Model *model = NULL;
    Status status = trial_setup(t->trial, device->gpu, &t->setup, &model, t->result);
    if (status != OK) return status;
    status = session_open(&t->session, comm_self_create(), device, model, t->setup.options,
                          session_sharding(&t->setup.options));
    if (status != OK) return status;
    fsdp_initialise(t->session.fsdp, (uint64_t)t->trial->seed);
    prepare_updates(t);
    t->number = zeroed(p->batch_size, sizeof *t->number);
    t->step_seconds = zeroed(t->result->steps, sizeof *t->step_seconds);
    t->spare = zeroed(p->test_examples, sizeof *t->spare);
    t->best_loss = INFINITY;
    status = examples_open(t->trial->task, t->setup.config, t->setup.options.T, (uint64_t)p->data_seed, "train",
                           p->data, p->examples, &t->examples);
    return status == OK ? open_testers(t) : status;
}

static void close_training(Training *t) {
    for (int i = 0; i < TRIAL_TESTS; i++) tester_close(t->tester[i]);
    examples_close(t->examples);
    session_close(&t->session);
    trial_setup_free(t->trial, &t->setup);
    free(t->number);
    free(t->step_seconds);
    free(t->spare);
}

/* Which example is place b of a step's batch; -1: none, behind the end of an epoch. */
static int64_t number_of(const Training *t, int64_t step, int64_t b) {
    const Protocol *p = &t->setup.protocol;
    if (p->examples == 0) return t->trial->seed * FRESH_STRIDE + step * p->batch_size + b;
    const int64_t steps = (p->examples + p->batch_size - 1) / p->batch_size;
    const int64_t epoch = step / steps, place = step % steps * p->batch_size + b;
    if (place >= p->examples) return -1;
    const uint64_t key = hash_mix((uint64_t)t->trial->seed, (uint64_t)epoch);
    const Permutation order = permutation_make((uint64_t)p->examples, key);
    return (int64_t)permutation_apply(&order, (uint64_t)place);
}

static Status fill_step(Training *t, int64_t step) {
    const int64_t B = t->setup.options.B;
    for (int64_t b = 0; b < B; b++) t->number[b] = number_of(t, step, b);
    return examples_fill(t->examples, t->number, B, runner_batch(t->session.runner));
}

static Status take_step(Training *t, int64_t step) {
    const double start = seconds_now();
    double loss = 0;
    int64_t targets = 0;
    const Status status = fill_step(t, step);
    if (status != OK) return status;
    runner_train(t->session.runner, true);
    runner_losses(t->session.runner, &loss, &targets);
    const double lr = t->trial->lr * schedule_factor(&t->schedule, step);
    const OptimizerResult update =
        optimizer_step(t->session.fsdp, &t->optimizer, step + 1, lr, targets > 0 ? 1 / (double)targets : 0);
    fsdp_end_step(t->session.fsdp);
    t->step_seconds[step] = seconds_now() - start;
    if (isfinite(loss) && !update.skipped) return OK;
    log_warning("%s, %s: the loss of step %lld is %g, the norm of its gradient %g", t->trial->task->name,
                t->trial->mixer, (long long)step + 1, loss / (double)targets, update.gradient_norm);
    return NUMERIC_STOP;
}

static double score_of(const Training *t, const Scores *scores) {
    return t->trial->suite->metric == METRIC_MACRO ? scores->macro : scores->accuracy;
}

/* What the best test has least of. */
static double loss_of(const Scores *scores) { return isnan(scores->mse) ? log(scores->perplexity) : scores->mse; }

static bool reaches_goal(const Training *t, double score) {
    return t->setup.protocol.stop_at > 0 && score >= t->setup.protocol.stop_at;
}

/* Runs the first test, and the others if its scores are those that count so far. *score: that of the first. */
static Status evaluate_training(Training *t, bool last, double *score) {
    TrialTest *first = &t->result->test[0];
    const TrialTest before = *first;
    const bool best = strcmp(t->setup.protocol.select, "best") == 0;
    first->right = t->spare;
    Status status = tester_run(t->tester[0], first);
    t->spare = before.right;
    if (status != OK) return status;
    *score = score_of(t, &first->scores);
    t->result->examples_crc = tester_examples_crc(t->tester[0]);
    const bool counts = best ? loss_of(&first->scores) < t->best_loss : last || reaches_goal(t, *score);
    if (counts) t->best_loss = loss_of(&first->scores);
    for (int i = 1; i < t->result->tests && counts && status == OK; i++)
        status = tester_run(t->tester[i], &t->result->test[i]);
    if (best && !counts) {
        t->spare = first->right;
        *first = before;
    }
    return status;
}

/* The median over windows of the steps after the first ones; NaN if there are too few. */
static double tokens_per_second(const Training *t, int64_t steps) {
    double rate[WINDOWS];
    const int64_t measured = (steps - WARM_UP_STEPS) / WINDOWS;
    if (measured < 1) return NAN;
    for (int w = 0; w < WINDOWS; w++) {
        double seconds = 0;
        for (int64_t i = 0; i < measured; i++) seconds += t->step_seconds[WARM_UP_STEPS + w * measured + i];
        rate[w] = (double)(measured * t->setup.options.B * t->setup.options.T) / seconds;
    }
    return sample_median(rate, WINDOWS);
}

static Status run_steps(Training *t, TrialProgress *progress, void *context) {
    const int64_t steps = t->result->steps, between = protocol_steps_between(&t->setup.protocol);
    Status status = OK;
    int64_t step = 0;
    for (bool done = false; step < steps && !done && status == OK;) {
        status = take_step(t, step++);
        if (status != OK || (step % between != 0 && step != steps)) continue;
        double score = 0;
        status = evaluate_training(t, step == steps, &score);
        done = reaches_goal(t, score);
        if (progress) progress(context, step, steps, score);
    }
    t->result->steps = step;
    t->result->tokens = step * t->setup.options.B * t->setup.options.T;
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
    close_training(&t);
    return status;
}
