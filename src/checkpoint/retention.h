/* Decides which steps of a folder are kept, and removes the others. */
#ifndef FLAME_CHECKPOINT_RETENTION_H
#define FLAME_CHECKPOINT_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

typedef struct RetentionRule {
    int64_t keep_latest_k; /* number with different weights, besides the newest with a finite loss; 0: all */
    int64_t keep_every;    /* also steps divisible by this; 0: no such rule */
} RetentionRule;

/* The steps up to `last` that the rule does not keep, from the newest to the oldest; the caller frees *steps. A step
 * whose state.json cannot be read is kept and not counted. Not collective. */
Status retention_excess(const char *folder, RetentionRule rule, int64_t last, int64_t **steps, int64_t *count);
/* Removes a step. Renames it to step-S.tmp-RUN_NAME.removed first, so that no reader sees a part of it. False, after a
 * warning, if that fails. `run_name`: see run_lock_name. */
bool retention_remove(const char *folder, int64_t step, const char *run_name);

#endif
