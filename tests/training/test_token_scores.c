/* The scores of each token in an evaluation follow from the logits, and the totals are their sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>

#include "training/session.h"

enum { B = 2, T = 80, VOCABULARY = 72 };

static const char *const configs[] = {"tests/golden/gla-swa-packed/config.json",
                                      "tests/golden/transformer-qknorm/config.json"};

/* In most sequences, the label of some tokens is the most likely token, taken from the logits of a first run. */
static void fill_batch(HostBatch batch, const float *logits) {
    for (int64_t i = 0; i < B * T; i++) {
        batch.tokens[i] = (int32_t)((i * 37 + 11) % VOCABULARY);
        batch.labels[i] = i % 8 == 3 ? -100 : (int32_t)((i * 53 + 5) % VOCABULARY);
        batch.segment[i] = (int32_t)(i % T / 50);
        batch.position[i] = (int32_t)(i % T % 50);
        if (!logits || i % 5 != 0 || batch.labels[i] < 0) continue;
        for (int32_t v = 0; v < VOCABULARY; v++)
            if (logits[i * VOCABULARY + v] > logits[i * VOCABULARY + batch.labels[i]]) batch.labels[i] = v;
    }
}

static void open_model(Session *session, const char *config, bool margins) {
    Model *model = NULL;
    *session = (Session){0};
    assert_int_equal(model_from_file(config, &model), OK);
    assert_int_equal(model->config.vocab_size, VOCABULARY);
    const RunnerOptions options = {.type = F32, .B = B, .T = T, .margins = margins, .logits = true};
    assert_int_equal(
        session_open(session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(session->fsdp, 3);
}

static float *logits_of(Session *session, const float *before) {
    float *logits = malloc(sizeof(float) * B * T * VOCABULARY);
    assert_non_null(logits);
    fill_batch(runner_batch(session->runner), before);
    runner_logits(session->runner, logits);
    return logits;
}

/* The scores of one token, from its logits. */
static void expect_token(const float *x, int32_t label, double loss, double margin) {
    double largest = -INFINITY, sum = 0;
    for (int v = 0; v < VOCABULARY; v++) largest = fmax(largest, (double)x[v]);
    for (int v = 0; v < VOCABULARY; v++) sum += exp((double)x[v] - largest);
    const double right = label < 0 ? 0 : (double)x[label] - largest, wanted = label < 0 ? 0 : log(sum) - right;
    assert_true(fabs(loss - wanted) < 1e-5);
    assert_true(fabs(margin - right) < 1e-5);
    assert_int_equal(margin == 0, right == 0);
}

static void test_scores_are_those_of_the_logits(void **state) {
    (void)state;
    for (int c = 0; c < LENGTH(configs); c++) {
        Session session;
        open_model(&session, configs[c], true);
        float *before = logits_of(&session, NULL), *logits = logits_of(&session, before);
        const HostBatch batch = runner_batch(session.runner);
        fill_batch(batch, before);
        runner_evaluate(session.runner);
        const TokenScores scores = runner_scores(session.runner);
        double sum = 0, total = 0;
        int64_t right = 0, targets = 0;
        for (int64_t i = 0; i < B * T; i++) {
            expect_token(logits + i * VOCABULARY, batch.labels[i], (double)scores.losses[i], (double)scores.margins[i]);
            sum += (double)scores.losses[i];
            right += batch.labels[i] >= 0 && scores.margins[i] == 0;
        }
        assert_true(right >= B * T / 5 / 2 && right < B * T / 2);
        runner_losses(session.runner, &total, &targets);
        assert_true(sum == total);
        free(before);
        free(logits);
        session_close(&session);
    }
}

static void test_margins_change_no_loss(void **state) {
    (void)state;
    double loss[2];
    for (int margins = 0; margins < 2; margins++) {
        Session session;
        open_model(&session, configs[0], margins);
        int64_t targets = 0;
        fill_batch(runner_batch(session.runner), NULL);
        runner_evaluate(session.runner);
        assert_int_equal(runner_scores(session.runner).margins != NULL, margins);
        runner_losses(session.runner, &loss[margins], &targets);
        assert_int_equal(targets, B * T - B * T / 8);
        session_close(&session);
    }
    assert_true(loss[0] == loss[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores_are_those_of_the_logits),
                                       cmocka_unit_test(test_margins_change_no_loss)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
