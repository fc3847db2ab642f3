/* Windows that a model reads in pieces have the losses of those that it reads at once: every mixer, packed documents,
 * and pieces that divide the window or do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

#include "checkpoint/weights.h"
#include "training/session.h"
#include "training/windows.h"

enum { B = 2, T = 80, LATER = 23 }; /* in the second window a document begins at token LATER */

static void fill_windows(HostBatch batch, int64_t vocabulary) {
    for (int64_t i = 0; i < B * T; i++) {
        const int64_t t = i % T;
        const bool later = i >= T && t >= LATER;
        batch.tokens[i] = (int32_t)((i * 29 + 11) % vocabulary);
        batch.labels[i] = t % 7 == 3 ? -100 : (int32_t)((i * 31 + 5) % vocabulary);
        batch.segment[i] = later;
        batch.position[i] = (int32_t)(later ? t - LATER : t);
    }
}

static RunnerOptions pieces_of(int64_t tokens) {
    return (RunnerOptions){.type = F32, .B = B, .T = tokens, .margins = true, .tokens = tokens < T ? T : 0};
}

static void open_session(const char *folder, RunnerOptions options, Session *session) {
    Model *model = NULL;
    char path[300];
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(model_from_file(path, &model), OK);
    assert_int_equal(
        session_open(session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    assert_int_equal(weights_load(folder, session->comm, model->unit, model->units), OK);
}

typedef struct Scores {
    float losses[B * T], margins[B * T];
    double sum;
    int64_t targets;
} Scores;

static void keep(Scores *scores, TokenScores found, Runner *runner) {
    memcpy(scores->losses, found.losses, sizeof scores->losses);
    memcpy(scores->margins, found.margins, sizeof scores->margins);
    runner_losses(runner, &scores->sum, &scores->targets);
}

static void score_at_once(const char *folder, Scores *scores) {
    Session session = {0};
    open_session(folder, pieces_of(T), &session);
    fill_windows(runner_batch(session.runner), session.model->config.vocab_size);
    runner_evaluate(session.runner);
    keep(scores, runner_scores(session.runner), session.runner);
    session_close(&session);
}

/* Twice, because the second windows must not depend on the first. */
static void score_in_pieces(const char *folder, int64_t tokens, Scores *scores) {
    Session session = {0};
    const RunnerOptions options = pieces_of(tokens);
    open_session(folder, options, &session);
    Windows *windows = windows_create(&options);
    for (int turn = 0; turn < 2; turn++) {
        fill_windows(windows_batch(windows), session.model->config.vocab_size);
        keep(scores, windows_evaluate(windows, session.runner), session.runner);
    }
    windows_free(windows);
    session_close(&session);
}

/* fp32, sums in another order; of ReBased see test_continue.c. */
static double tolerance(const char *folder) { return strstr(folder, "/rebased") ? 1e-3 : 1e-5; }

static bool agree_within(const Scores *a, const Scores *b, double bound) {
    double error = 0, margin_error = 0, all = 0, all_margins = 0;
    for (int i = 0; i < B * T; i++) {
        error += pow((double)a->losses[i] - (double)b->losses[i], 2);
        margin_error += pow((double)a->margins[i] - (double)b->margins[i], 2);
        all += pow((double)a->losses[i], 2);
        all_margins += pow((double)a->margins[i], 2);
    }
    return error <= bound * bound * all && margin_error <= bound * bound * all_margins &&
           fabs(a->sum - b->sum) <= bound * a->sum && a->targets == b->targets && a->targets > 0;
}

static void test_every_model_goes_on_in_windows(void **state) {
    (void)state;
    static const int64_t pieces[] = {16, 33};
    glob_t folders;
    int failed = 0;
    assert_int_equal(glob("tests/golden/*/config.json", 0, NULL, &folders), 0);
    for (size_t i = 0; i < folders.gl_pathc; i++) {
        char *path = folders.gl_pathv[i];
        static Scores whole, parts;
        *strrchr(path, '/') = 0;
        score_at_once(path, &whole);
        for (int p = 0; p < LENGTH(pieces); p++) {
            score_in_pieces(path, pieces[p], &parts);
            if (agree_within(&whole, &parts, tolerance(path))) continue;
            print_error("%s, pieces of %d: loss %.9g, at once %.9g\n", path, (int)pieces[p], parts.sum, whole.sum);
            failed++;
        }
    }
    globfree(&folders);
    assert_int_equal(failed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_model_goes_on_in_windows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
