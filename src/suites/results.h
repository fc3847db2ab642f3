/* The results of a suite's runs: one row for each run and split, read from results.csv. */
#ifndef FLAME_SUITES_RESULTS_H
#define FLAME_SUITES_RESULTS_H

#include <stdint.h>

#include "base/check.h"
#include "suites/suites.h"

/* What a row is about. */
typedef enum ResultName { NAME_SUITE, NAME_TASK, NAME_SETTING, NAME_SPLIT, NAME_MODEL, RESULT_NAMES } ResultName;

/* A number that does not apply is NaN. */
typedef struct Result {
    const char *name[RESULT_NAMES]; /* equal names of rows are the same pointer, the lower the earlier in the file */
    double seed, lr, wd;
    double d_model, layers, heads, params, state_bytes, train_tokens, steps;
    double score[METRIC_MSE + 1]; /* by Metric */
    double exact, perplexity;
    double trivial; /* a guess without learning: an accuracy or F1; the mean squared error of a regression */
    double tokens_per_s, decode_tokens_per_s, peak_bytes, seconds;
    const char *device, *precision, *examples_crc, *version;
    double scored;   /* positions that the scores are of */
    const char *run; /* the name of its files */
    uint8_t *right;  /* [examples], 1 where the answers of an example are right; NULL before answers_read, or unknown */
    int64_t examples;
    int64_t line;
} Result;

typedef struct Results {
    Result *row;
    int64_t count;
    double *seed; /* the different seeds, ascending */
    int seeds;
    int points;  /* the most points (lr, wd) that the best one was selected from; 0 before results_select */
    char *text;  /* of the file; the rows' names are in it */
    char *names; /* those that are not in it, as model_sizes_name made them; or NULL */
} Results;

/* Reads the file. BAD_INPUT or IO_ERROR (logged, with the line) if it cannot be read, has other columns, or a damaged
 * row. The caller frees `results`. */
Status results_read(const char *path, Results *results);
void results_free(Results *results);
/* Reads a file of rows without a line of columns, all of them of that run. BAD_INPUT or IO_ERROR (logged) if it holds
 * anything else, or cannot be read. */
Status results_check_run(const char *path, const char *run);

/* Keeps, for each task, setting, model and seed, the rows of the one point (lr, wd) with
 * the best score on the split "test". A run that is there several times counts as its last one. Afterwards the rows are
 * in the order of their names. */
void results_select(Results *results);

/* What a task is scored by: the suite's metric or, where no row of the task has it, the accuracy or the squared error.
 * `suite` and `task` are names of rows. */
Metric results_metric(const Results *results, const char *suite, const char *task);

#endif
