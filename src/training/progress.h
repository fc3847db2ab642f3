/* The progress of a run and its checkpoints: where a run begins or resumes, and what it saves. */
#ifndef FLAME_TRAINING_PROGRESS_H
#define FLAME_TRAINING_PROGRESS_H

#include "config/config.h"
#include "data/stream.h"
#include "reporting/metrics.h"
#include "training/run_state.h"

typedef struct Saver Saver;

/* Loads or initialises the weights: from the newest complete checkpoint of the dump folder (or checkpoint.load_step),
 * else from checkpoint.initial_load_path, else at random. Checkpoints that are newer than the loaded one are renamed to
 * step-S.rewound. If the folder has had checkpoints, a run begins at step 0 only with checkpoint.start_over.
 * Collective. */
Status progress_begin(const TrainConfig *config, Session *session, const Stream *stream, Progress *progress,
                      Saver **saver);

/* Loads the newest good checkpoint of a step before `step`, or else the weights that a new run begins with. Writes and
 * renames nothing. Collective. */
Status progress_before(const TrainConfig *config, Session *session, const Stream *stream, int64_t step,
                       Progress *progress);

/* The name of the run, in its metrics.jsonl and checkpoints. saver_begins_run: whether this start gave it the name,
 * because it begins at step 0 and not with a checkpoint of its own. */
const char *saver_run(const Saver *saver);
bool saver_begins_run(const Saver *saver);
/* Opens the tokenizer of the data, or else of the folder with the weights that the run began with; *tokenizer is NULL
 * if there is none. BAD_INPUT or IO_ERROR (logged). */
Status saver_tokenizer(const Saver *saver, Tokenizer **tokenizer);
/* Logs where the run begins and what has changed since the checkpoint that it resumes from. From now on each completed
 * save is logged too. `metrics` (NULL except on rank 0) must live as long as the saver. */
void saver_report(Saver *saver, Metrics *metrics);

/* Writes a checkpoint of this step, in the background unless `wait` is set or checkpoint.async_mode is disabled. If a
 * save fails, that is logged and training continues; with `wait`, which is set for the last save of a run, it is
 * IO_ERROR. Collective. */
Status saver_save(Saver *saver, const Progress *progress, bool wait);
/* Waits until a save in the background no longer reads the weights and moments. Call it before each update. NULL is
 * fine. */
void saver_finish_reading(Saver *saver);
/* Undoes the last steps, which were skipped. Goes back to the newest checkpoint from before them, continues from there
 * with the sample that is next now, and saves that step again, so that a resumed run does the same. Only multiples of
 * checkpoint.interval are considered, because they do not depend on when the run was interrupted. If there is no such
 * checkpoint, nothing changes, *progress included. On an error the weights are undefined. NUMERIC_STOP (logged) if the
 * run has already gone back to the same step three times. Collective. */
Status saver_rewind(Saver *saver, Progress *progress);
/* Finishes a background save if it is ready. Cheap. Collective. */
Status saver_poll(Saver *saver);
void saver_close(Saver *saver);

#endif
