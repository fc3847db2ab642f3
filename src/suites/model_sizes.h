/* Distinguishes models of several sizes in one file of results. */
#ifndef FLAME_SUITES_MODEL_SIZES_H
#define FLAME_SUITES_MODEL_SIZES_H

#include "suites/results.h"

/* If a suite has a model in several sizes (d_model, layers, heads), what differs becomes part of the model's name: "gla
 * d_model=64". The keys of that size are then removed from the names of the suite's settings. Call it before
 * results_select, which would otherwise choose the best point among different sizes. */
void model_sizes_name(Results *results);

#endif
