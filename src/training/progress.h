/* How far a run is, and keeping it: what a checkpoint holds beside the tensors, when it is written, where a run goes
 * on. */
#ifndef FLAME_TRAINING_PROGRESS_H
#define FLAME_TRAINING_PROGRESS_H

#include "config/config.h"
#include "checkpoint/checkpoint.h"
#include "data/stream.h"
#include "reporting/metrics.h"
#include "training/session.h"

typedef struct Progress {
    int64_t step;            /* steps done */
    int64_t updates;         /* of them, those that changed the weights */
    int64_t samples, tokens; /* consumed, over all ranks */
    int64_t updated_step;    /* the last that changed the weights */
    int64_t skipped_in_row;  /* since the start of this process */
} Progress;

typedef struct Saver Saver;

/* Where the run begins: from the newest complete checkpoint of the dump folder (or checkpoint.load_step), else from
 * checkpoint.initial_load_path, else from initial weights. Checkpoints of later steps than the one it goes on from are
 * set aside as step-S.rewound. A folder that had checkpoints begins at step 0 only with checkpoint.start_over.
 * Collective. */
Status progress_begin(const TrainConfig *config, Session *session, const Stream *stream, Progress *progress,
                      Saver **saver);

/* Says in the log where the run begins and what has changed since the checkpoint that it goes on from; from here on
 * also each save that is complete. `metrics` (NULL on other ranks than 0) must live as long as the saver. */
void saver_report(Saver *saver, Metrics *metrics);

/* Writes a checkpoint of this step; in the background unless `wait` or checkpoint.async_mode is disabled. A checkpoint
 * that fails is a warning, training goes on; IO_ERROR only where `wait` says that this was the last one. Collective. */
Status saver_save(Saver *saver, const Progress *progress, bool wait);
/* Finishes a background save that is ready. Collective, cheap. */
Status saver_poll(Saver *saver);
void saver_close(Saver *saver);

#endif
