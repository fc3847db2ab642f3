#include "suites/test_runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/tester.h"

struct TestRuns {
    const Trial *trial;
    const TrialSetup *setup;
    const Session *session;
    TrialResult *result;
    bool pooled; /* "test" is the mean of the others, and tester[0] is NULL */
    Segment split[TRIAL_TESTS];
    Tester *tester[TRIAL_TESTS];
    TrialTest tried[TRIAL_TESTS]; /* the newest scores; they are exchanged with those in `result` if they count */
    double best_loss;
};

static bool *zeroed(int64_t count) {
    bool *memory = calloc((size_t)count, sizeof *memory);
    CHECK_MEMORY(memory, "out of memory");
    return memory;
}

static Status open_test(TestRuns *r, const Segment *split) {
    void *config = NULL;
    const Status status = trial_task(r->trial, split->keys, &config);
    if (status != OK) return status;
    const int i = r->result->tests++;
    const Status opened =
        tester_open(r->trial, r->setup, r->session, split->name, config, &r->result->test[i], &r->tester[i]);
    r->tried[i] = r->result->test[i];
    r->tried[i].right = zeroed(r->tried[i].examples);
    return opened;
}

/* Opens "test" as a summary of all other tests: the mean of their scores, since all have the same number of examples,
 * and their answers one after another. */
static void open_mean(TestRuns *r, int others) {
    TrialTest *mean = &r->result->test[r->result->tests++];
    *mean = (TrialTest){.split = "test", .examples = others * r->setup->protocol.test_examples};
    mean->right = zeroed(mean->examples);
    r->tried[0] = *mean;
    r->tried[0].right = zeroed(mean->examples);
}

static void fill_mean(TrialTest *mean, const TrialTest *test, int tests) {
    Scores sum = {.f1 = NAN, .mse = NAN};
    double loss = 0;
    bool *right = mean->right;
    mean->trivial = 0;
    for (int i = 0; i < tests; i++) {
        const Scores *s = &test[i].scores;
        sum.accuracy += s->accuracy / tests;
        sum.macro += s->macro / tests;
        sum.exact += s->exact / tests;
        sum.error += s->error / tests;
        sum.scored += s->scored;
        loss += log(s->perplexity) / tests;
        mean->trivial += test[i].trivial / tests;
        memcpy(right, test[i].right, (size_t)test[i].examples * sizeof *right);
        right += test[i].examples;
    }
    sum.perplexity = exp(loss);
    mean->scores = sum;
}

Status test_runs_open(const Trial *trial, const TrialSetup *setup, const Session *session, TrialResult *result,
                      TestRuns **runs) {
    TestRuns *r = calloc(1, sizeof *r);
    CHECK_MEMORY(r, "out of memory");
    *r = (TestRuns){.trial = trial, .setup = setup, .session = session, .result = result, .best_loss = INFINITY};
    *runs = r;
    const int count = trial_tests(trial->task, setup->segment[0].config, r->split, &r->pooled);
    Status status = OK;
    if (r->pooled) open_mean(r, count - 1);
    for (int i = r->pooled; i < count && status == OK; i++)
        if (!(trial->left_out >> i & 1)) status = open_test(r, &r->split[i]);
    return status;
}

void test_runs_close(TestRuns *r) {
    if (!r) return;
    for (int i = 0; i < TRIAL_TESTS; i++) {
        tester_close(r->tester[i]);
        free(r->tried[i].right);
    }
    free(r);
}

static double score_of(const TestRuns *r, const Scores *scores) {
    return r->trial->suite->metric == METRIC_MACRO ? scores->macro : scores->accuracy;
}

/* The loss by which the best test is selected. */
static double loss_of(const Scores *scores) { return isnan(scores->mse) ? log(scores->perplexity) : scores->mse; }

static Status run_from(TestRuns *r, int first) {
    Status status = OK;
    for (int i = first; i < r->result->tests && status == OK; i++) status = tester_run(r->tester[i], &r->tried[i]);
    return status;
}

static Status run_first(TestRuns *r) {
    if (!r->pooled) return tester_run(r->tester[0], &r->tried[0]);
    const Status status = run_from(r, 1);
    if (status == OK) fill_mean(&r->tried[0], &r->tried[1], r->result->tests - 1);
    return status;
}

static void keep(TestRuns *r) {
    for (int i = 0; i < r->result->tests; i++) {
        const TrialTest before = r->result->test[i];
        r->result->test[i] = r->tried[i];
        r->tried[i] = before;
    }
}

Status test_runs_run(TestRuns *r, bool last, double *score, bool *done) {
    const Protocol *p = &r->setup->protocol;
    const Scores *first = &r->tried[0].scores;
    Status status = run_first(r);
    if (status != OK) return status;
    const double loss = loss_of(first);
    *score = score_of(r, first);
    *done = p->stop_at > 0 && *score >= p->stop_at;
    r->result->examples_crc = tester_examples_crc(r->tester[r->pooled]);
    if (strcmp(p->select, "best") == 0 ? !(loss < r->best_loss) : !last && !*done) return OK;
    r->best_loss = loss;
    if (!r->pooled) status = run_from(r, 1);
    keep(r);
    return status;
}
