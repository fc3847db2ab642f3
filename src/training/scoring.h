/* Finds how likely a model considers the continuations of requests. */
#ifndef FLAME_TRAINING_SCORING_H
#define FLAME_TRAINING_SCORING_H

#include "data/requests.h"
#include "training/session.h"

typedef struct Scores {
    double *loss;   /* nats of each target, [targets], in the order of the requests */
    double *misses; /* for each request, how many of its targets are not the most likely token */
} Scores;

typedef struct Scoring Scoring;

/* Cuts the requests into windows of at most seq_len tokens and plans micro-batches of about batch_tokens tokens for
 * each of `ranks` ranks. A window holds as many tokens before its targets as fit, so that only the end of a long
 * context is kept. A continuation longer than seq_len is scored in several windows. `requests` must outlive the
 * scoring, which the caller frees with scoring_free. */
Scoring *scoring_plan(const Requests *requests, int64_t seq_len, int64_t batch_tokens, int ranks);
void scoring_free(Scoring *scoring);

/* Sizes of the runner that scoring_run needs; the caller sets the type. */
RunnerOptions scoring_runner(const Scoring *scoring);
/* How many requests have lost a part of their context. */
int64_t scoring_cut(const Scoring *scoring);

/* Scores all requests, divided among the ranks. Up to rounding the result does not depend on their number, on
 * batch_tokens or on other requests; it is the same on all ranks. The caller frees it with scores_free. Collective. */
Scores scoring_run(const Scoring *scoring, Session *session);
void scores_free(Scores *scores);

#endif
