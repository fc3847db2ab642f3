/* What several runs say together: the scores of a model on a task over its seeds. */
#ifndef FLAME_SUITES_SUMMARY_H
#define FLAME_SUITES_SUMMARY_H

#include "suites/results.h"
#include "suites/statistics.h"

/* Rows that have these names of results; NULL: any. */
typedef struct Group {
    const char *name[RESULT_NAMES];
} Group;

/* The different names of one kind in a group, in the order of the file and ended by NULL. The caller frees the list. */
const char **group_names(const Results *results, const Group *group, ResultName kind);

/* A model's results on a task and split, of one setting or of all. */
typedef struct Summary {
    Metric metric;
    double *score;               /* [results->seeds]; of all settings their plain mean. NaN if one is missing */
    int settings, settings_done; /* of the task; and those with a score of any seed */
    int n;                       /* seeds with a score */
    double mean, deviation;
    Interval interval;
    Interval rate;  /* of an error rate with one seed or without errors, over the scored positions; NaN elsewhere */
    double trivial; /* by the metric: 1 - accuracy where that is the error */
    double skill;   /* 0 for the trivial score, 1 for the best one */
    double tokens_per_s, decode_tokens_per_s, peak_bytes, state_bytes, params;
} Summary;

/* group: all names but the setting are given. `results` have gone through results_select. The caller frees
 * summary.score. */
Summary summarize(const Results *results, const Group *group);
/* Fills n, mean, deviation and interval from the scores of the seeds. */
void summary_describe(Summary *summary, int seeds);

/* Writes aggregate.csv: for each task, split and model a row for each setting, and one with the setting "all" for the
 * task's score. IO_ERROR (logged) if it cannot be written. */
Status aggregate_write(const Results *results, const char *path);

#endif
