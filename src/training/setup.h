/* What a configuration means on a number of ranks: the shape of a step, the options of the parts, the memory plan. */
#ifndef FLAME_TRAINING_SETUP_H
#define FLAME_TRAINING_SETUP_H

#include "config/config.h"
#include "parallel/optimizer.h"
#include "training/runner.h"

/* A step consumes `samples` sequences, whatever the number of ranks: micro-batch m of rank r holds the `batch` samples
 * from (m * ranks + r) * batch on; those beyond `samples` are empty (no targets). */
typedef struct StepShape {
    int64_t batch;         /* sequences per rank and micro-batch */
    int64_t micro_batches; /* per rank */
    int64_t samples;       /* per step, over all ranks */
} StepShape;

StepShape step_shape(const TrainConfig *config, int world_size);

/* With activation_checkpoint.mode: auto the result recomputes nothing; setup_recompute then chooses by the memory.
 * `teacher`: the model of training.teacher, or NULL. */
RunnerOptions setup_runner(const TrainConfig *config, Model *teacher);
/* Options of the runner that continues metrics.sample_prompts, all at once; B is 0 if there are none. There is room for
 * a token per byte of a prompt and a few special tokens. */
RunnerOptions setup_previews(const TrainConfig *config);
FsdpOptions setup_sharding(const TrainConfig *config);
/* The teacher's units are sharded like the model's, and only the compute type stays in memory. */
FsdpOptions setup_teacher_sharding(const TrainConfig *config);
OptimizerOptions setup_optimizer(const TrainConfig *config);

/* Passes the keys of `comm` to the communicators for GPUs. Call it before session_device. */
void setup_comm(const TrainConfig *config);

/* The memory of one rank, known before anything is allocated. */
typedef struct MemoryPlan {
    FsdpMemory shards;
    FsdpMemory teacher; /* all 0: none */
    RunnerPlan runner;
    int64_t preview_bytes;    /* memory of the runner of setup_previews */
    int64_t checkpoint_bytes; /* the host's copy of a GPU's memory from which an asynchronous save writes */
    int64_t other_bytes;      /* the program, its libraries and the data readers: an estimate */
    int64_t total_bytes;      /* resident in the rank, memory shared with other ranks included */
    int64_t device_bytes;     /* the part in device memory, without the shards of other ranks */
} MemoryPlan;

/* For `world_size` ranks, `local_size` of them on this host. */
MemoryPlan setup_memory(const TrainConfig *config, const RunnerOptions *options, Model *model, int world_size,
                        int local_size);

/* With activation_checkpoint.mode: auto, sets options->recompute to the least recomputation whose plan fits into each
 * rank's part of its device's free memory, or to RECOMPUTE_FULL if none fits, and logs the choice. All ranks get the
 * same. Collective. */
void setup_recompute(const TrainConfig *config, Model *model, Comm *comm, const Device *device, RunnerOptions *options);

/* BAD_INPUT, after a message with the largest parts and the keys that reduce them, if the plan exceeds this rank's part
 * of the device's free memory, which `sharers` ranks divide. */
Status setup_check_memory(const MemoryPlan *plan, const Device *device, int sharers);

/* Prints parameters by part, work per token and the memory plan, on rank 0. */
void setup_print(const TrainConfig *config, const RunnerOptions *options, const Model *model, const MemoryPlan *plan,
                 int world_size);

/* With activation_checkpoint.mode: auto, prints what each choice needs, for commands that do not know the memory of the
 * host that will train. All ranks count as being on one host. */
void setup_print_choices(const TrainConfig *config, const RunnerOptions *options, Model *model, int world_size);

/* FLOPs of a training step's products and kernels per token: forward once, backward twice, a teacher's forward once. */
double setup_flops_per_token(const MemoryPlan *plan, const TrainConfig *config);

#endif
