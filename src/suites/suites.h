/* The suites: their tasks, and how models are built and trained for them. Each is a table in suites.c. */
#ifndef FLAME_SUITES_SUITES_H
#define FLAME_SUITES_SUITES_H

#include "suites/task.h"

/* What a suite changes in the keys of a mixer. {heads} and {head_dim} stand for those of the run. */
typedef struct MixerKeys {
    const char *mixer, *keys; /* "gla", "model.num_heads={heads}" */
} MixerKeys;

/* The score that a table of results shows. */
typedef enum Metric { METRIC_ACCURACY, METRIC_MACRO, METRIC_ERROR, METRIC_F1, METRIC_MSE } Metric;

typedef struct Suite {
    const char *name, *meaning;
    const Task *const *tasks; /* ended by NULL */
    Metric metric;
    const char *keys;         /* the protocol: settings of the sections training, mixer and model */
    const char *quick;        /* for --quick: settings of a shorter protocol, on top of `keys` */
    const MixerKeys *mixers;  /* on top of mixer_defaults; ended by a NULL mixer */
    const char *const *notes; /* where the suite deviates from the publication; ended by NULL */
} Suite;

/* A name like that of a suite, for measurements without training: see speed.h. */
#define SPEED "speed"

/* All suites, ended by NULL. */
extern const Suite *const all_suites[];

/* The keys with which each mixer becomes a model of any width and number of heads; ended by a NULL mixer. */
extern const MixerKeys mixer_defaults[];

/* The suite, or the suite's task, with this name; NULL if there is none. */
const Suite *suite_find(const char *name);
const Task *suite_task(const Suite *suite, const char *name);
const char *metric_name(Metric metric);
/* Whether less is better. The best score is then 0, and otherwise 1. */
bool metric_is_loss(Metric metric);

#endif
