/* Summarizes several runs: the scores of a model on a task over its seeds. */
#ifndef FLAME_SUITES_SUMMARY_H
#define FLAME_SUITES_SUMMARY_H

#include "suites/results.h"
#include "suites/statistics.h"

/* Selects the rows with these names; NULL: any name. */
typedef struct Group {
    const char *name[RESULT_NAMES];
} Group;

/* The different names of one kind in a group, in the order of the file and ended by NULL. The caller frees the list. */
const char **group_names(const Results *results, const Group *group, ResultName kind);

/* A model's results on a task and split, of one setting or of all. */
typedef struct Summary {
    Metric metric;
    double *score; /* [results->seeds]; for all settings together, their plain mean, or NaN if one is missing */
    int settings, settings_done; /* number of the task's settings, and of those with a score of any seed */
    int n;                       /* seeds with a score */
    double mean, deviation;
    Interval interval;
    Interval rate;  /* for an error rate with one seed or without errors: over the scored positions; otherwise NaN */
    double trivial; /* in terms of the metric: 1 - accuracy if that is the error */
    double skill;   /* 0 for the trivial score, 1 for the best one */
    double tokens_per_s, decode_tokens_per_s, peak_bytes, state_bytes, params;
} Summary;

/* In `group` all names but the setting are given. Call results_select on `results` first. The caller frees
 * summary.score. */
Summary summarize(const Results *results, const Group *group);
/* Fills n, mean, deviation and interval from the scores of the seeds. */
void summary_describe(Summary *summary, int seeds);

/* Writes aggregate.csv: for each task, split and model, a row for each setting and one with the setting "all" for the
 * task's score. IO_ERROR (logged) if it cannot be written. */
Status aggregate_write(const Results *results, const char *path);

#endif
