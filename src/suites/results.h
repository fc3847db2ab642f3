/* The results of a suite's runs: one row for each run and split, read from results.csv. */
#ifndef FLAME_SUITES_RESULTS_H
#define FLAME_SUITES_RESULTS_H

#include <stdint.h>

#include "base/check.h"
#include "suites/suites.h"

/* The names of a row. */
typedef enum ResultName { NAME_SUITE, NAME_TASK, NAME_SETTING, NAME_SPLIT, NAME_MODEL, RESULT_NAMES } ResultName;

/* A number that does not apply is NaN. */
typedef struct Result {
    const char *name[RESULT_NAMES]; /* equal names are the same pointer; a name that comes earlier in the file has a
                                       lower address */
    double seed, lr, wd;
    double d_model, layers, heads, params, state_bytes, train_tokens, steps;
    double score[METRIC_MSE + 1]; /* indexed by Metric */
    double exact, perplexity;
    double trivial; /* the score without learning: an accuracy or F1; for a regression, a mean squared error */
    double tokens_per_s, decode_tokens_per_s, peak_bytes, seconds;
    const char *device, *precision, *examples_crc, *version;
    double scored;   /* number of scored positions */
    const char *run; /* the name of the run's files */
    uint8_t *right;  /* [examples], 1 if all answers of an example are right; NULL before answers_read or if unknown */
    int64_t examples;
    int64_t line;
} Result;

typedef struct Results {
    Result *row;
    int64_t count;
    double *seed; /* the different seeds, ascending */
    int seeds;
    int points;  /* the most points (lr, wd) among which the best was selected; 0 before results_select */
    char *text;  /* text of the file, which contains the rows' names */
    char *names; /* names made by model_sizes_name, or NULL */
} Results;

/* Reads the file. BAD_INPUT or IO_ERROR (logged, with the line) if it cannot be read, has other columns, or a damaged
 * row. The caller frees `results`. */
Status results_read(const char *path, Results *results);
void results_free(Results *results);
/* Checks a file of rows without a header: BAD_INPUT or IO_ERROR (logged) if it holds anything but rows of the run
 * `run`, or cannot be read. */
Status results_check_run(const char *path, const char *run);

/* Keeps, for each task, setting, model and seed, the rows of the one point (lr, wd) with the best score on the split
 * "test". If a run occurs several times, the last one counts. Afterwards the rows are sorted by their names. */
void results_select(Results *results);

/* The metric of a task: the suite's, or, if no row of the task has that, the accuracy or the squared error. `suite` and
 * `task` are names of rows. */
Metric results_metric(const Results *results, const char *suite, const char *task);

#endif
