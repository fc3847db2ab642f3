/* The suites: their tasks, and how models are made and trained for them. Each is a table in suites.c. */
#ifndef FLAME_SUITES_SUITES_H
#define FLAME_SUITES_SUITES_H

#include "suites/task.h"

/* What a suite changes in the keys of a mixer. {heads} and {head_dim} stand for those of the run. */
typedef struct MixerKeys {
    const char *mixer, *keys; /* "gla", "model.num_heads={heads}" */
} MixerKeys;

/* What a table of results shows of a run. */
typedef enum Metric { METRIC_ACCURACY, METRIC_MACRO, METRIC_ERROR, METRIC_F1, METRIC_MSE } Metric;

typedef struct Suite {
    const char *name, *meaning;
    const Task *const *tasks; /* ended by NULL */
    Metric metric;
    const char *keys;         /* the protocol: sections training, mixer and model, over their defaults */
    const char *quick;        /* --quick: a shorter one, over `keys` */
    const MixerKeys *mixers;  /* over mixer_defaults; ended by a NULL mixer */
    const char *const *notes; /* where it deviates from the publication; ended by NULL */
} Suite;

/* The name beside theirs of what trains nothing: see speed.h. */
#define SPEED "speed"

/* All suites, ended by NULL. */
extern const Suite *const all_suites[];

/* The keys that make mixers models of any width with so many heads; ended by a NULL mixer. */
extern const MixerKeys mixer_defaults[];

/* NULL if there is none of this name. */
const Suite *suite_find(const char *name);
const Task *suite_task(const Suite *suite, const char *name);
const char *metric_name(Metric metric);
/* Whether less is better; the best is 0 then, and else 1. */
bool metric_is_loss(Metric metric);

#endif
