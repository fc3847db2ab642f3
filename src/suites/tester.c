#include "suites/tester.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/activity.h"
#include "base/crc.h"
#include "suites/examples.h"

enum { LOGITS_MOST = 1 << 24, TEST_BATCH = 128 };

struct Tester {
    const Task *task;
    void *config;
    TaskSizes sizes;
    RunnerOptions options;
    Runner *runner;
    Examples *examples;
    int64_t outputs, number[TEST_BATCH];
    float *logits; /* [B, T, outputs] */
    uint32_t examples_crc;
};

static RunnerOptions options_of(const TrialSetup *setup, int64_t T) {
    const int64_t most = LOGITS_MOST / (T * setup->outputs);
    RunnerOptions options = setup->segment[0].options;
    options.training = false;
    options.logits = true;
    options.T = T;
    options.B = most < 1 ? 1 : most < TEST_BATCH ? most : TEST_BATCH;
    return options;
}

Status tester_open(const Trial *trial, const TrialSetup *setup, const Session *session, const char *split, void *config,
                   TrialTest *test, Tester **opened) {
    const Protocol *p = &setup->protocol;
    Tester *t = calloc(1, sizeof *t);
    CHECK_MEMORY(t, "out of memory");
    *opened = t;
    *t = (Tester){.task = trial->task, .config = config, .outputs = setup->outputs};
    *test = (TrialTest){.examples = p->test_examples,
                        .trivial = trial->task->trivial(config),
                        .right = calloc((size_t)p->test_examples, sizeof *test->right)};
    snprintf(test->split, sizeof test->split, "%s", split);
    t->sizes = trial->task->sizes(config);
    t->options = options_of(setup, trial_length(trial->task, &t->sizes, p));
    t->logits = malloc((size_t)(t->options.B * t->options.T * t->outputs) * sizeof(float));
    CHECK_MEMORY(t->logits && test->right, "out of memory");
    t->runner = runner_create(session->model, session->fsdp, session->device, t->options);
    return examples_open(trial->task, t->config, t->options.T, (uint64_t)p->data_seed, split, p->data, p->test_examples,
                         &t->examples);
}

void tester_close(Tester *t) {
    if (!t) return;
    examples_close(t->examples);
    runner_destroy(t->runner);
    task_config_free(t->task, t->config);
    free(t->logits);
    free(t);
}

/* Fills the batch with examples first, first + 1, ... *count is how many there are. */
static Status fill(Tester *t, int64_t first, int64_t examples, int64_t *count) {
    const int64_t B = t->options.B;
    const HostBatch batch = runner_batch(t->runner);
    *count = examples - first < B ? examples - first : B;
    for (int64_t b = 0; b < B; b++) t->number[b] = b < *count ? first + b : -1;
    const Status status = examples_fill(t->examples, t->number, B, batch);
    if (first > 0) return status;
    t->examples_crc = batch.features ? crc_update(0, batch.features,
                                                  *count * t->options.T * t->sizes.features * (int64_t)sizeof(float))
                                     : crc_update(0, batch.tokens, *count * t->options.T * (int64_t)sizeof(int32_t));
    return status;
}

Status tester_run(Tester *t, TrialTest *test) {
    const int64_t T = t->options.T;
    Scoring *scoring = scoring_begin(test->examples, T, t->sizes.classes);
    Status status = OK;
    for (int64_t first = 0; first < test->examples && status == OK; first += t->options.B) {
        int64_t count = 0;
        status = fill(t, first, test->examples, &count);
        if (status != OK) break;
        activity_advance();
        const HostBatch batch = runner_batch(t->runner);
        runner_logits(t->runner, t->logits);
        for (int64_t b = 0; b < count; b++)
            scoring_add(scoring, batch.labels + b * T, batch.values ? batch.values + b * T : NULL,
                        t->logits + b * T * t->outputs, t->outputs);
    }
    test->scores = scoring_end(scoring, test->right);
    return status;
}

uint32_t tester_examples_crc(const Tester *t) { return t->examples_crc; }
