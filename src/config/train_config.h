/* The configuration of a training run, in flame's sections and key names. Each key is documented by its row in
 * config_keys.c, which `flame-c train --help` prints. */
#ifndef FLAME_CONFIG_TRAIN_CONFIG_H
#define FLAME_CONFIG_TRAIN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config_value.h"
#include "config/keys.h"

typedef struct JobConfig {
    char *dump_folder, *description;
    double time_limit; /* seconds from the start; 0: none */
} JobConfig;

typedef struct OptimizerConfig {
    char *name; /* "AdamW" */
    double lr, eps, beta1, beta2, weight_decay;
    bool decay_all;
} OptimizerConfig;

typedef struct LrSchedulerConfig {
    int64_t warmup_steps;
    double decay_ratio; /* of steps; NaN: decay right after warm-up */
    char *decay_type;   /* linear | sqrt | cosine | constant */
    double lr_min;      /* a ratio of lr */
} LrSchedulerConfig;

typedef struct TrainingConfig {
    int64_t batch_size;        /* sequences per rank and micro-batch */
    int64_t global_batch_size; /* sequences per step over all ranks; -1: batch_size * ranks * accumulation */
    int64_t seq_len, context_len;
    bool varlen;
    int64_t gradient_accumulation_steps;
    int64_t steps;
    double max_norm; /* 0: no clipping */
    double label_smoothing, z_loss;
    char *teacher; /* a folder; NULL: none */
    double teacher_weight;
    bool skip_nan_inf;
    double skip_spikes;           /* in standard deviations; 0: off */
    int64_t replay_every;         /* steps; 0: never */
    int64_t check_replicas_every; /* steps; 0: never */
    int64_t max_skipped_steps;    /* this many in a row end the run */
    int64_t rewind_spikes;        /* go back after this many skipped steps in a row; 0: never */
    int64_t seed;
    char *mixed_precision_param;  /* float32 | bfloat16; NULL while the device is auto */
    char *mixed_precision_reduce; /* float32 */
    int64_t data_parallel_shard_degree, data_parallel_replicate_degree;
    char *fsdp_reshard_after_forward; /* default | always | never */
    bool cuda_graph, enable_cpu_offload;
    bool mask_document_boundaries;
} TrainingConfig;

typedef struct DataConfig {
    StringList files;
    RealList probabilities; /* empty: by size */
    StringList validation_files;
    int64_t validation_interval, validation_steps;
    int64_t threads;
} DataConfig;

typedef struct ActivationCheckpointConfig {
    char *mode;                /* none | selective | full */
    char *selective_ac_option; /* op | a number */
} ActivationCheckpointConfig;

typedef struct CheckpointConfig {
    bool enable_checkpoint;
    char *folder; /* inside of dump_folder */
    int64_t interval;
    int64_t load_step;                 /* -1: the newest complete one */
    int64_t keep_latest_k, keep_every; /* 0: keep all; 0: none beyond the latest */
    char *async_mode;                  /* disabled | async | async_with_pinned_mem, which is the same */
    char *initial_load_path;           /* NULL: none */
    bool start_over;                   /* begin at step 0 where the folder's checkpoints cannot be used */
    StringList allow_model_changes;    /* keys of the model that may differ from those of the weights */
} CheckpointConfig;

typedef struct MetricsConfig {
    int64_t log_freq;
    bool enable_tensorboard;
    char *save_tb_folder; /* inside of dump_folder */
    StringList sample_prompts;
    int64_t sample_tokens;
    double sample_temperature;
} MetricsConfig;

typedef struct CommConfig {
    double train_timeout_seconds;
    char *share_gpu; /* never | mpi | nccl */
} CommConfig;

typedef struct TrainConfig {
    char *device; /* auto | cpu | cuda */
    JobConfig job;
    OptimizerConfig optimizer;
    LrSchedulerConfig lr_scheduler;
    TrainingConfig training;
    DataConfig data;
    ActivationCheckpointConfig activation_checkpoint;
    CheckpointConfig checkpoint;
    MetricsConfig metrics;
    CommConfig comm;
    /* Hugging Face keys: those of the file model.config, overridden by the inline keys. Always a mapping. The model's
     * builder reads it with keys_apply(..., "model", config_hints()). */
    ConfigValue *model;
} TrainConfig;

#endif
