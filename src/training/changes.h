/* What a run that goes on does otherwise than the run that saved its checkpoint. */
#ifndef FLAME_TRAINING_CHANGES_H
#define FLAME_TRAINING_CHANGES_H

#include "config/config.h"
#include "config/key_differences.h"
#include "reporting/metrics.h"

/* Adds the keys outside of model: that have another value than in FOLDER/config.yaml, and the learning rate of the next
 * step if that is another. `step`: steps done. Adds nothing if that file is missing or was edited. */
void changes_find(const char *folder, const TrainConfig *config, int64_t step, KeyDifferences *differences);

/* The table "key, old, new" as lines of the log. Nothing if nothing differs. */
void changes_print(const KeyDifferences *differences, int64_t step, Metrics *metrics);

#endif
