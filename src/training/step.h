/* A run that is ready to take steps, and one step: read samples, forward and backward, update. Writes nothing. */
#ifndef FLAME_TRAINING_STEP_H
#define FLAME_TRAINING_STEP_H

#include "training/progress.h"
#include "training/schedule.h"
#include "training/setup.h"
#include "training/stragglers.h"

/* What the all-gathers and reduce-scatters of this process's steps have sent, those of undone steps too. */
typedef struct Traffic {
    int64_t steps, within, between; /* bytes sent within a replica, and between replicas */
} Traffic;

typedef struct Training {
    const TrainConfig *config;
    Session session;
    RunnerOptions runner_options;
    OptimizerOptions optimizer;
    StepShape shape;
    Schedule schedule;
    Stream *stream; /* of data.files */
    Progress progress;
    Saver *saver; /* NULL: checkpoints are not saved */
    double flops_per_token;
    double data_seconds; /* spent waiting for samples */
    StepTimes times;
    Traffic traffic;
} Training;

/* Builds the model, plans its memory, shards it and opens the data. The caller has set `config`, session.comm and
 * session.device. Afterwards the weights are not set yet. Collective. */
Status training_open(Training *training);
/* Opens files as a stream of samples for the model. Collective. */
Status training_open_stream(const Training *training, const StringList *files, const RealList *probabilities,
                            bool shuffle, Stream **stream);
/* `training` may be only partly open. Collective. */
void training_close(Training *training);

/* The result of one step over all ranks. */
typedef struct StepResult {
    double loss, divergence, gradient_norm, lr; /* divergence: from the teacher */
    double loss_limit, norm_limit;              /* larger ones are spikes */
    double scale;                               /* factor of the gradient's sum over the targets: 1 / their number */
    bool stop, save;                            /* requested by a signal on at least one rank */
    bool given_up;                              /* a rank has received SIGNAL_NOW: the step was abandoned */
} StepResult;

/* Reads and runs micro-batch `m` of the next step and adds its gradient to the gradient shards. Collective. */
Status training_micro_batch(Training *training, int64_t m, bool *given_up);
/* Fills in what a step is judged by (losses, gradient norm, limits) from its sums over all ranks. Collective. */
void training_judge(Training *training, double loss_sum, double targets, StepResult *result);
/* One step, whose times are added to `times` and `data_seconds`, and its bytes to `traffic`. With training.replay_every
 * it may be computed twice. Collective. */
Status training_step(Training *training, StepResult *result);
/* step_is_skipped: whether the step changes no weight. step_say_why says why: "loss 9.1 is a spike: above 6.2". */
bool step_is_skipped(const StepResult *result);
void step_say_why(const StepResult *result, char why[160]);

#endif
