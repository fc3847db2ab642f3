/* Runs of several sizes in one file. */
#ifndef FLAME_SUITES_MODEL_SIZES_H
#define FLAME_SUITES_MODEL_SIZES_H

#include "suites/results.h"

/* Where a suite has a model in several sizes (d_model, layers, heads), makes what differs a part of its name: "gla
 * d_model=64". The keys of a size are no settings of a task in this suite then, and leave their names. Comes before
 * results_select, which would else choose the best point between sizes. */
void model_sizes_name(Results *results);

#endif
