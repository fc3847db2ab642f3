/* The score of a request does not depend on the other requests in its row or on how it is cut into windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>

#include "data/pack_windows.h"
#include "training/scoring.h"

enum { VOCABULARY = 72, LONGEST = 100, REQUESTS = 24 };

static const char *const configs[] = {"tests/golden/gla-conv-gqa/config.json",
                                      "tests/golden/transformer-qknorm/config.json", "tests/golden/rwkv7/config.json"};

static void open_model(Session *session, const char *config, RunnerOptions options) {
    Model *model = NULL;
    *session = (Session){0};
    assert_int_equal(model_from_file(config, &model), OK);
    assert_int_equal(model->config.vocab_size, VOCABULARY);
    assert_int_equal(
        session_open(session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(session->fsdp, 3);
}

/* The logits after each of `count` tokens. */
static void logits_after(Session *session, const int32_t *token, int64_t count, float *logits) {
    const HostBatch batch = runner_batch(session->runner);
    for (int32_t t = 0; t < LONGEST; t++) {
        batch.tokens[t] = t < count ? token[t] : 0;
        batch.labels[t] = -100;
        batch.segment[t] = 0;
        batch.position[t] = t;
    }
    runner_logits(session->runner, logits);
}

static int32_t most_likely(const float *x) {
    int32_t best = 0;
    for (int32_t v = 1; v < VOCABULARY; v++)
        if (x[v] > x[best]) best = v;
    return best;
}

static double loss_of(const float *x, int32_t label) {
    double sum = 0;
    for (int v = 0; v < VOCABULARY; v++) sum += exp((double)x[v] - (double)x[label]);
    return log(sum);
}

/* Requests of all lengths. For some of them, the continuation is the most likely one. */
static Requests make_requests(Session *session, float *logits) {
    Requests r = {.request = calloc(REQUESTS, sizeof *r.request), .token = calloc(REQUESTS, LONGEST * sizeof *r.token)};
    assert_true(r.request && r.token);
    for (int i = 0; i < REQUESTS; i++) {
        Request *request = &r.request[r.count++];
        const int64_t given = 1 + i * 7 % 60, asked = 1 + i * 5 % 30;
        *request = (Request){.first = r.tokens, .count = given + asked, .given = given};
        int32_t *token = r.token + r.tokens;
        for (int64_t t = 0; t < request->count; t++) {
            token[t] = (int32_t)((t * t * 31 + i * 17 + 5) % VOCABULARY);
            if (i % 4 != 0 || t < given) continue;
            logits_after(session, token, t, logits);
            token[t] = most_likely(logits + (t - 1) * VOCABULARY);
        }
        r.tokens += request->count;
        r.targets += asked;
    }
    return r;
}

/* One by one: each target after at most seq_len tokens, cut as scoring.h says. */
static void expect_scores(Session *session, const Requests *r, int64_t seq_len, const Scores *scores, float *logits) {
    int64_t target = 0;
    int greedy = 0;
    for (int64_t i = 0; i < r->count; i++) {
        const Request *request = &r->request[i];
        const int32_t *token = r->token + request->first;
        int misses = 0;
        for (int64_t t = request->given; t < request->count; t++) {
            const int64_t window = (t - request->given) / seq_len, most = request->given - 1 + (window + 1) * seq_len;
            const int64_t end = most < request->count - 1 ? most : request->count - 1;
            const int64_t first = end > seq_len ? end - seq_len : 0;
            logits_after(session, token + first, t - first, logits);
            const float *x = logits + (t - first - 1) * VOCABULARY;
            misses += most_likely(x) != token[t];
            assert_true(fabs(scores->loss[target++] - loss_of(x, token[t])) < 1e-4);
        }
        assert_int_equal((int)scores->misses[i], misses);
        greedy += misses == 0;
    }
    assert_int_equal(target, r->targets);
    assert_true(greedy > 0 && greedy < r->count);
}

static void test_scores_are_those_of_each_request_alone(void **state) {
    (void)state;
    static const struct { int64_t seq_len, batch_tokens; } plans[] = {{LONGEST, 1}, {LONGEST, 1000}, {20, 200}};
    float *logits = malloc(sizeof(float) * LONGEST * VOCABULARY);
    assert_non_null(logits);
    for (int c = 0; c < LENGTH(configs); c++) {
        Session alone;
        open_model(&alone, configs[c], (RunnerOptions){.type = F32, .B = 1, .T = LONGEST, .logits = true});
        Requests requests = make_requests(&alone, logits);
        for (int p = 0; p < LENGTH(plans); p++) {
            Session session;
            Scoring *scoring = scoring_plan(&requests, plans[p].seq_len, plans[p].batch_tokens, 1);
            assert_int_equal(scoring_cut(scoring) > 0, plans[p].seq_len < LONGEST);
            open_model(&session, configs[c], scoring_runner(scoring));
            Scores scores = scoring_run(scoring, &session);
            expect_scores(&alone, &requests, plans[p].seq_len, &scores, logits);
            scores_free(&scores);
            scoring_free(scoring);
            session_close(&session);
        }
        requests_free(&requests);
        session_close(&alone);
    }
    free(logits);
}

/* Each window is in one row, and no row could take the first window of a later one. */
static void test_rows_are_full(void **state) {
    (void)state;
    enum { WINDOWS = 500, ROW = 64 };
    int64_t length[WINDOWS], left[WINDOWS] = {0};
    bool placed[WINDOWS] = {false};
    for (int w = 0; w < WINDOWS; w++) length[w] = 1 + w * w % ROW;
    PackedRows packed = pack_windows(length, WINDOWS, ROW);
    assert_int_equal(packed.start[packed.rows], WINDOWS);
    for (int64_t row = 0; row < packed.rows; row++) {
        left[row] = ROW;
        for (int64_t i = packed.start[row]; i < packed.start[row + 1]; i++) {
            assert_false(placed[packed.order[i]]);
            placed[packed.order[i]] = true;
            left[row] -= length[packed.order[i]];
            for (int64_t earlier = 0; earlier < row; earlier++) assert_true(left[earlier] < length[packed.order[i]]);
        }
        assert_true(left[row] >= 0);
    }
    packed_rows_free(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores_are_those_of_each_request_alone),
                                       cmocka_unit_test(test_rows_are_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
