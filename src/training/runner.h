/* Runs a model over micro-batches: the one loop over blocks that knows about memory, recomputation and sharding.
 *
 *   forward over blocks:   gather(l), prefetch(l+1); run the block; release
 *   loss:                  fused head + cross-entropy
 *   backward over blocks:  gather again, run dropped nodes again, walk the tape, reduce-scatter the unit's gradient
 *
 * The same loop on the counting device, without shards, gives the memory plan and the FLOPs (runner_plan). */
#ifndef FLAME_TRAINING_RUNNER_H
#define FLAME_TRAINING_RUNNER_H

#include "models/model.h"
#include "parallel/fsdp.h"

typedef struct RunnerOptions {
    DType type; /* of activations and gathered parameters */
    Recompute recompute;
    int64_t recompute_every; /* n > 0: of every n-th layer all, of the others nothing; 0: of all `recompute` */
    int64_t B, T;            /* sequences and tokens of a micro-batch */
    bool training;           /* false: only runner_evaluate and runner_logits */
    bool logits;             /* runner_logits will be called: room for [N, vocab_size] */
    bool replay; /* where the device can, runner_train asks for a micro-batch as a whole from the second time on */
} RunnerOptions;

typedef struct Runner Runner;

/* What a runner needs and does, found by running it on the counting device. */
typedef struct RunnerPlan {
    int64_t keep_bytes, scratch_bytes; /* activations kept for backward; everything short-lived */
    double forward_flops;              /* of one micro-batch; backward counts twice that */
} RunnerPlan;

RunnerPlan runner_plan(Model *model, RunnerOptions options);

/* `fsdp` holds the model's units. The runner owns its arenas; ends the job if they do not fit. */
Runner *runner_create(Model *model, Fsdp *fsdp, const Device *device, RunnerOptions options);
void runner_destroy(Runner *runner);

/* Host memory of the next micro-batch, B*T entries each, to be filled before it is run. */
typedef struct HostBatch {
    int32_t *tokens, *labels, *segment, *position;
} HostBatch;
HostBatch runner_batch(Runner *runner);
/* From now on the time of each op is added to `profile` (NULL: no more). */
void runner_profile(Runner *runner, Profile *profile);

/* Asks for forward and backward of the micro-batch; a GPU goes on with it when this has returned. Gradients of the SUM
 * of the token losses are added to the units' gradient shards, which are complete after the `last` one of a step.
 * Collective. */
void runner_train(Runner *runner, bool last);
/* Forward only. Collective. */
void runner_evaluate(Runner *runner);
/* Waits for the micro-batches since the last call. *loss_sum is this rank's sum over their tokens (fp64, in order),
 * *targets the number of labels that are not -100. */
void runner_losses(Runner *runner, double *loss_sum, int64_t *targets);
/* Forward up to the logits, fp32 [B*T, vocab_size] into `logits`. Collective. */
void runner_logits(Runner *runner, float *logits);

#endif
