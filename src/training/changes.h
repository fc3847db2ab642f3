/* Finds how the configuration of a resumed run differs from that of its checkpoint. */
#ifndef FLAME_TRAINING_CHANGES_H
#define FLAME_TRAINING_CHANGES_H

#include "config/config.h"
#include "config/key_differences.h"
#include "reporting/metrics.h"

/* Adds the keys outside of model: whose values differ from FOLDER/config.yaml, and the learning rate of the step after
 * `step` if it differs. Adds nothing if that file is missing or has been edited. */
void changes_find(const char *folder, const TrainConfig *config, int64_t step, KeyDifferences *differences);

/* Logs the differences as a table: key, old, new. Logs nothing if there are none. */
void changes_print(const KeyDifferences *differences, int64_t step, Metrics *metrics);

#endif
