/* How far a run has come, and the part of a checkpoint's state.json that says so. */
#ifndef FLAME_TRAINING_RUN_STATE_H
#define FLAME_TRAINING_RUN_STATE_H

#include <jansson.h>

#include "config/config.h"
#include "config/key_differences.h"
#include "data/stream.h"
#include "training/session.h"
#include "training/spikes.h"

enum { REWINDS = 64 }; /* most rewinds of a whole run */

/* Samples that the run had read when it went back to `step`, and then passed over. */
typedef struct PassedOver {
    int64_t step, first, last;
} PassedOver;

typedef struct Progress {
    int64_t step;         /* completed steps */
    int64_t updates;      /* how many of these changed the weights */
    int64_t samples;      /* number of the next sample; all before it have been trained on or passed over */
    int64_t tokens;       /* trained on, over all ranks */
    int64_t updated_step; /* the last step that changed the weights */
    Spikes spikes;
    int64_t rewinds; /* number of rewinds that led to these weights */
    PassedOver passed_over[REWINDS];
    int64_t skipped_in_row; /* steps since the last update, in this process */
} Progress;

/* The run that a state belongs to. */
typedef struct RunPlace {
    const TrainConfig *config;
    const Session *session;
    const Stream *stream;
    const char *folder; /* of its checkpoints */
    const char *name;   /* of the run, from its first step on; "" if a version that gave none began it */
} RunPlace;

/* The state to be saved. The caller frees it with json_decref. */
json_t *run_state_pack(const RunPlace *run, const Progress *progress);
/* Reads the state of the checkpoint of `step`. BAD_INPUT (logged on rank 0) if the run cannot continue from its counts,
 * or if it was trained on other data. */
Status run_state_unpack(const RunPlace *run, const json_t *state, int64_t step, Progress *progress);
/* How many samples were passed over, so that the weights have not seen them although later ones were read. */
int64_t progress_passed_over(const Progress *progress);
/* Adds what differs from the state although no key need differ: the sequences per step, which the number of ranks may
 * decide, and the weights of training.teacher. */
void run_state_compare(const RunPlace *run, const json_t *state, KeyDifferences *differences);

#endif
