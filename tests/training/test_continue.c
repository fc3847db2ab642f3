/* A model that continues from its state gives the logits of a model that reads the whole text. Tests every mixer, token
 * by token and in pieces, with two texts of which one begins later. */
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

enum { B = 2, T = 80, LATER = 23, PIECES = 8 }; /* the second text begins at token LATER */

static const int64_t ways[][PIECES] = {{LATER, 1, 1, 33, 22}, {64, 2, 14}, {1, 1, 1, 60, 1, 16}, {15, 65}};

/* Tokens [first, first + count) of both sequences. */
static void fill_batch(HostBatch batch, int64_t first, int64_t count, int64_t vocabulary) {
    for (int64_t i = 0; i < B * count; i++) {
        const int64_t b = i / count, t = first + i % count;
        const bool later = b == 1 && t >= LATER;
        batch.tokens[i] = (int32_t)(((b * T + t) * 29 + 11) % vocabulary);
        batch.labels[i] = -100;
        batch.segment[i] = later;
        batch.position[i] = (int32_t)(later ? t - LATER : t);
    }
}

static void open_session(const char *folder, int64_t tokens, Session *session) {
    Model *model = NULL;
    char path[300];
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(model_from_file(path, &model), OK);
    const RunnerOptions options = {.type = F32, .B = B, .T = T, .logits = true, .tokens = tokens};
    assert_int_equal(
        session_open(session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    assert_int_equal(weights_load(folder, session->comm, model->unit, model->units), OK);
}

/* Of the logits of some tokens: squares of the differences from those of the whole text, and of these. */
typedef struct Squares {
    double error, expected;
} Squares;

/* Adds those of each sequence's t-th token. */
static void compare(Squares *squares, const float *given, const float *whole, int64_t t, int64_t vocabulary) {
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < vocabulary; i++) {
            const double expected = (double)whole[(b * T + t) * vocabulary + i];
            squares->error += pow((double)given[b * vocabulary + i] - expected, 2);
            squares->expected += expected * expected;
        }
}

/* RMS of the difference over that of the logits, of the last tokens of all pieces; NULL: of T pieces of one token. */
static double relative_error(Session *session, const int64_t *pieces, const float *whole) {
    const int64_t vocabulary = session->model->config.vocab_size;
    float *logits = malloc((size_t)(B * vocabulary) * sizeof *logits);
    Squares squares = {0, 0};
    runner_restart(session->runner);
    for (int64_t done = 0, piece = 0; done < T; piece++) {
        const int64_t count = pieces ? pieces[piece] : 1;
        runner_set_tokens(session->runner, count);
        fill_batch(runner_batch(session->runner), done, count, vocabulary);
        runner_continue(session->runner, logits);
        done += count;
        compare(&squares, logits, whole, done - 1, vocabulary);
    }
    free(logits);
    return sqrt(squares.error / squares.expected);
}

/* fp32, sums in another order. ReBased divides by the sum of (q k)^2, which is the small difference of large features
 * where q and k are nearly orthogonal; at a document's first tokens such a sum may have no other part. */
static double tolerance(const char *folder) { return strstr(folder, "/rebased") ? 1e-3 : 1e-5; }

static int check_model(const char *folder) {
    Session whole = {0}, pieces = {0};
    open_session(folder, 0, &whole);
    open_session(folder, T, &pieces);
    const int64_t vocabulary = whole.model->config.vocab_size;
    float *logits = malloc((size_t)(B * T * vocabulary) * sizeof *logits);
    fill_batch(runner_batch(whole.runner), 0, T, vocabulary);
    runner_logits(whole.runner, logits);
    int failed = 0;
    for (size_t way = 0; way <= sizeof ways / sizeof *ways; way++) {
        const bool single = way == sizeof ways / sizeof *ways;
        const double error = relative_error(&pieces, single ? NULL : ways[way], logits);
        if (single) print_message("%-45s %.1e\n", folder, error);
        if (error < tolerance(folder)) continue;
        print_error("%s, %s: differs by %.2g\n", folder, single ? "token by token" : "in pieces", error);
        failed++;
    }
    free(logits);
    session_close(&whole);
    session_close(&pieces);
    return failed;
}

static void test_every_model_goes_on(void **state) {
    (void)state;
    glob_t folders;
    int failed = 0;
    assert_int_equal(glob("tests/golden/*/config.json", 0, NULL, &folders), 0);
    for (size_t i = 0; i < folders.gl_pathc; i++) {
        char *path = folders.gl_pathv[i];
        *strrchr(path, '/') = 0;
        failed += check_model(path);
    }
    globfree(&folders);
    assert_int_equal(failed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_model_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
