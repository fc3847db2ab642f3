#include "checkpoint/retention.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/checkpoint_steps.h"

/* The steps are visited from the newest to the oldest. This describes those kept so far. */
typedef struct Kept {
    int64_t weights;      /* number of different weights */
    int64_t updated_step; /* updated_step of the step visited before */
    bool finite;          /* a step with a finite loss has been kept */
} Kept;

/* Decides about the next older step and updates `kept`. */
static bool keep_step(const char *folder, RetentionRule rule, int64_t step, Kept *kept) {
    char *path = checkpoint_path(folder, step);
    json_t *state = checkpoint_state_peek(path);
    free(path);
    if (!state) return true;
    const int64_t updated_step = checkpoint_state_updated_step(state);
    json_decref(state);
    const bool other_weights = updated_step != kept->updated_step, finite = updated_step == step;
    kept->updated_step = updated_step;
    bool keep = rule.keep_every > 0 && step % rule.keep_every == 0;
    if (other_weights && kept->weights++ < rule.keep_latest_k) keep = true;
    if (finite && !kept->finite) keep = true;
    if (keep && finite) kept->finite = true;
    return keep;
}

Status retention_excess(const char *folder, RetentionRule rule, int64_t last, int64_t **steps, int64_t *count) {
    int64_t all;
    const Status status = checkpoint_list_all(folder, steps, &all);
    *count = 0;
    if (status || rule.keep_latest_k <= 0) return status;
    int64_t *excess = calloc((size_t)all + 1, sizeof *excess);
    CHECK_MEMORY(excess, "no memory for the list of checkpoints");
    Kept kept = {.updated_step = -1};
    for (int64_t i = all - 1; i >= 0; i--)
        if ((*steps)[i] <= last && !keep_step(folder, rule, (*steps)[i], &kept)) excess[(*count)++] = (*steps)[i];
    free(*steps);
    *steps = excess;
    return OK;
}

bool retention_remove(const char *folder, int64_t step, const char *run_name) {
    char *path = checkpoint_path(folder, step), *old = checkpoint_temporary_path(folder, step, run_name, ".removed");
    int error = file_rename(path, old);
    if (!error) error = folder_remove(old);
    if (error) log_warning("cannot remove the old checkpoint %s: %s", path, strerror(error));
    free(path);
    free(old);
    return !error;
}
