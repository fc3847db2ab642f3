/* Scores how well a model answers the examples of a test. */
#ifndef FLAME_SUITES_SCORES_H
#define FLAME_SUITES_SCORES_H

#include <stdbool.h>
#include <stdint.h>

/* The results of a test. Scores that a task does not have are NaN. */
typedef struct Scores {
    double accuracy;   /* right answers / scored positions */
    double macro;      /* MAD's: recall averaged over the classes among labels or answers of SCORE_BATCH examples, then
                          over these batches */
    double exact;      /* share of the examples without a wrong answer */
    double error;      /* 1 - accuracy, without its rounding */
    double f1;         /* of class 1 over all positions, if there are two classes; 0 if nothing is right */
    double mse;        /* of a regression */
    double perplexity; /* exp of the mean loss */
    int64_t scored;    /* positions */
} Scores;

enum { SCORE_BATCH = 128 };

typedef struct Scoring Scoring;

/* Begins a test of `examples` examples of T positions, with labels of `classes` classes; 0: a regression. */
Scoring *scoring_begin(int64_t examples, int64_t T, int64_t classes);
/* Scores the next example. logits: [T, width], width >= classes, or [T] numbers of a regression with `values`. */
void scoring_add(Scoring *scoring, const int32_t *labels, const float *values, const float *logits, int64_t width);
/* right: [examples], whether every answer of the example was right; NULL is fine. Frees `scoring`. */
Scores scoring_end(Scoring *scoring, bool *right);

#endif
