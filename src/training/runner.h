/* Runs a model on micro-batches. This is the one loop over blocks, and the only code that combines activation memory,
 * recomputation and sharding:
 *
 *   teacher, if there is one:   the same forward of another model, of which only the input of its head is kept
 *   forward, block by block:    gather(l), prefetch(l+1), run the block, release(l)
 *   loss:                       fused head + cross-entropy
 *   backward, in reverse:       gather(l), recompute dropped nodes, run the tape backwards, reduce-scatter the gradient
 *
 * What a block hands on to all later ones (hand_on) is kept beside the residual stream, and its gradient added up.
 *
 * The same loop on the counting device, without shards, yields the memory plan and the FLOPs (runner_plan). */
#ifndef FLAME_TRAINING_RUNNER_H
#define FLAME_TRAINING_RUNNER_H

#include "models/model.h"
#include "parallel/fsdp.h"
#include "training/micro_batches.h"

typedef struct RunnerOptions {
    DType type; /* of activations and gathered parameters */
    Recompute recompute;
    int64_t recompute_every; /* n > 0: recompute every n-th layer in full and no other; 0: `recompute` for all layers */
    int64_t B, T;            /* sequences and tokens of a micro-batch */
    int64_t mean_of;         /* see Batch; 0 in training */
    float label_smoothing, z_loss; /* of the training loss: see LossShape */
    Model *teacher;                /* runs forward before the model in training (LossTeacher); NULL: none */
    Fsdp *teacher_fsdp;            /* the teacher's units; runner_plan does not need them */
    float teacher_share;           /* see LossTeacher */
    bool training;                 /* false: only runner_evaluate, runner_logits and runner_continue */
    bool margins;                  /* runner_evaluate also finds TokenScores' margins; not in training */
    bool logits;                   /* runner_logits will be called, so memory for [N, vocab_size] is planned */
    int64_t tokens; /* > 0: calls of runner_evaluate and runner_continue continue the sequences of the call before, up
                       to this many tokens of each; B and T are then the most of a call */
    bool replay;    /* record micro-batches and replay them (CUDA graphs), if the device can */
} RunnerOptions;

typedef struct Runner Runner;

/* Memory and work of a micro-batch, measured on the counting device. */
typedef struct RunnerPlan {
    int64_t keep_bytes, scratch_bytes; /* activations kept for backward, and working memory */
    double forward_flops;              /* of one micro-batch; backward takes twice as many */
    double teacher_flops;              /* of one micro-batch; a teacher has no backward */
    int64_t carried_bytes; /* with options.tokens: what the model remembers of B sequences of that many tokens */
    double state_bytes; /* what all layers need of one sequence of T tokens to continue it token by token: states, keys
                           and values */
} RunnerPlan;

/* Measures one micro-batch. `gpu`: for a run on a GPU. */
RunnerPlan runner_plan(Model *model, RunnerOptions options, bool gpu);

/* `fsdp` holds the model's units. The runner owns its arenas. Ends the job if they do not fit into memory. */
Runner *runner_create(Model *model, Fsdp *fsdp, const Device *device, RunnerOptions options);
void runner_destroy(Runner *runner);

/* The buffers of the next micro-batch, for the caller to fill. */
HostBatch runner_batch(Runner *runner);
/* Adds the time of each op to `profile` from now on; NULL stops. */
void runner_profile(Runner *runner, Profile *profile);

/* Runs forward and backward of the micro-batch, asynchronously on a GPU. Adds the gradients of the SUM of the token
 * losses to the units' gradient shards, which are complete after the `last` micro-batch of a step. Collective. */
void runner_train(Runner *runner, bool last);
/* Forward only. Collective. */
void runner_evaluate(Runner *runner);
/* What the last runner_evaluate or runner_train has found for each token, [B*T]. Both are 0 where there is no label. */
typedef struct TokenScores {
    const float *losses;
    const float *margins; /* the label's logit minus the largest logit; 0: no token is more likely. NULL without
                             RunnerOptions.margins */
} TokenScores;
/* Waits for the micro-batch. The arrays are valid until the next runner_batch, as is the micro-batch itself. */
TokenScores runner_scores(Runner *runner);
/* Waits for all micro-batches since the last call. *loss_sum is the sum of this rank's token losses (fp64, in order),
 * *targets the number of labels other than -100. */
void runner_losses(Runner *runner, double *loss_sum, int64_t *targets);
/* The sum of this rank's divergences from the teacher, over the micro-batches that the last runner_losses summed. */
double runner_divergence(const Runner *runner);
/* For the last micro-batch of training, valid until the next one. runner_boundary: the input of layer `layer`, or of
 * the head if `layer` is the number of layers. runner_tape: the tape of the layer or the head, or of the embeddings if
 * `layer` is -1; outputs of nodes in scratch are gone. */
const Tensor *runner_boundary(const Runner *runner, int64_t layer);
const Tape *runner_tape(const Runner *runner, int64_t layer);
/* Forward up to the logits, fp32 [B*T, vocab_size] into `logits`. Collective. */
void runner_logits(Runner *runner, float *logits);

/* Only with options.tokens: the next call has T tokens of each sequence, and so have the arrays of runner_batch. */
void runner_set_tokens(Runner *runner, int64_t T);
/* Forgets all sequences and begins new ones. */
void runner_restart(Runner *runner);
/* Forward of the batch's tokens up to the logits of each sequence's last token, fp32 [B, vocab_size]. Collective. */
void runner_continue(Runner *runner, float *logits);
/* Bytes of what the model remembers of the sequences so far. */
int64_t runner_carried_bytes(const Runner *runner);
typedef struct RunnerShape {
    int64_t B, T, tokens; /* as in the options */
    int64_t vocabulary;
} RunnerShape;
RunnerShape runner_shape(const Runner *runner);

#endif
