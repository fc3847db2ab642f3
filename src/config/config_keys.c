#include "config/config_keys.h"

#include <math.h>

/* Upper bound of numbers of steps, sequences and tokens; a double represents all integers below it. */
#define MANY      1e15
#define AT(field) offsetof(TrainConfig, field)

static const Key device_keys[] = {
    {"device", KEY_CHOICE, "auto", 0, 0, "auto|cpu|cuda", "where to compute; auto: a GPU if there is one", AT(device)},
};

static const Key job_keys[] = {
    {"dump_folder", KEY_STRING, "outputs", 0, 0, NULL, "metrics, logs and checkpoints are written here",
     AT(job.dump_folder)},
    {"description", KEY_STRING, "default job", 0, 0, NULL, "printed at the start and kept in config.yaml",
     AT(job.description)},
    {"time_limit", KEY_REAL, "0", 0, 1e9, NULL,
     "the run saves and stops before this many seconds have passed; 0: no limit (the end of a Slurm job always counts)",
     AT(job.time_limit)},
};

static const Key optimizer_keys[] = {
    {"name", KEY_CHOICE, "AdamW", 0, 0, "AdamW", "the optimizer", AT(optimizer.name)},
    {"lr", KEY_REAL, "8e-4", 0, 1e3, NULL, "learning rate at the top of the schedule", AT(optimizer.lr)},
    {"eps", KEY_REAL, "1e-8", 0, 1, NULL, "added to the root of the second moment", AT(optimizer.eps)},
    {"beta1", KEY_REAL, "0.9", 0, 0.9999999, NULL, "decay of the first moment", AT(optimizer.beta1)},
    {"beta2", KEY_REAL, "0.95", 0, 0.9999999, NULL, "decay of the second moment", AT(optimizer.beta2)},
    {"weight_decay", KEY_REAL, "0.1", 0, 100, NULL, "decoupled decay, times lr", AT(optimizer.weight_decay)},
    {"decay_all", KEY_BOOLEAN, "false", 0, 0, NULL,
     "true: decay every tensor, as flame does; false: not norms, biases, A_log, dt_bias and other vectors",
     AT(optimizer.decay_all)},
};

static const Key lr_scheduler_keys[] = {
    {"warmup_steps", KEY_INTEGER, "200", 0, MANY, NULL, "steps of linear warm-up", AT(lr_scheduler.warmup_steps)},
    {"decay_ratio", KEY_REAL | KEY_NULLABLE, "null", 0, 1, NULL,
     "fraction of the steps, at the end, that decay; null: all steps after the warm-up", AT(lr_scheduler.decay_ratio)},
    {"decay_type", KEY_CHOICE, "linear", 0, 0, "linear|sqrt|cosine|constant", "form of the decay",
     AT(lr_scheduler.decay_type)},
    {"lr_min", KEY_REAL, "0.0", 0, 1, NULL, "learning rate at the end of the decay, as a fraction of lr",
     AT(lr_scheduler.lr_min)},
};

static const Key training_keys[] = {
    {"batch_size", KEY_INTEGER, "8", 1, 1e6, NULL, "sequences per rank and micro-batch", AT(training.batch_size)},
    {"global_batch_size", KEY_INTEGER | KEY_NULLABLE, "null", 1, 1e9, NULL,
     "sequences per step over all ranks, which sets the accumulation; null: batch_size * ranks * accumulation",
     AT(training.global_batch_size)},
    {"seq_len", KEY_INTEGER, "2048", 1, 1e8, NULL, "tokens per sequence", AT(training.seq_len)},
    {"context_len", KEY_INTEGER, "2048", 1, 1e8, NULL,
     "with varlen: longer documents are cut into pieces of this length", AT(training.context_len)},
    {"varlen", KEY_BOOLEAN, "false", 0, 0, NULL, "true: documents in a sequence do not see each other",
     AT(training.varlen)},
    {"gradient_accumulation_steps", KEY_INTEGER, "1", 1, 1e6, NULL, "micro-batches per step",
     AT(training.gradient_accumulation_steps)},
    {"steps", KEY_INTEGER, "10000", 0, MANY, NULL, "steps of the whole run", AT(training.steps)},
    {"max_norm", KEY_REAL, "1.0", 0, 1e30, NULL, "gradients are clipped to this global L2 norm; 0: no clipping",
     AT(training.max_norm)},
    {"label_smoothing", KEY_REAL, "0.0", 0, 0.999, NULL,
     "share of each target that is divided among all words (validation scores the cross-entropy alone)",
     AT(training.label_smoothing)},
    {"z_loss", KEY_REAL, "0.0", 0, 1e3, NULL,
     "factor of the squared logarithm of the softmax's denominator, which is added to the loss", AT(training.z_loss)},
    {"teacher", KEY_STRING | KEY_NULLABLE, "null", 0, 0, NULL,
     "folder of a model with the same vocabulary, whose distribution over each next word is learned as well",
     AT(training.teacher)},
    {"teacher_weight", KEY_REAL, "0.5", 0, 1, NULL,
     "w > 0 in what is minimised with a teacher: (1 - w) cross-entropy + w KL(teacher || model)",
     AT(training.teacher_weight)},
    {"skip_nan_inf", KEY_BOOLEAN, "true", 0, 0, NULL,
     "true: a step whose loss or gradient is not finite changes no weight; false: it ends the run",
     AT(training.skip_nan_inf)},
    {"skip_spikes", KEY_REAL, "0.0", 0, 1e6, NULL,
     "a step whose loss or gradient norm is this many deviations above the last ones changes no weight; 0: off",
     AT(training.skip_spikes)},
    {"replay_every", KEY_INTEGER, "0", 0, MANY, NULL,
     "computes every N-th step twice and ends the run if bits differ, as on faulty hardware; 0: never",
     AT(training.replay_every)},
    {"check_replicas_every", KEY_INTEGER, "0", 0, MANY, NULL,
     "every N-th step compares the parameters of the replicas and ends the run if bits differ; 0: never",
     AT(training.check_replicas_every)},
    {"max_skipped_steps", KEY_INTEGER, "10", 1, MANY, NULL, "this many skipped steps in a row end the run",
     AT(training.max_skipped_steps)},
    {"rewind_spikes", KEY_INTEGER, "0", 0, MANY, NULL,
     "after this many skipped steps in a row the run goes back to a checkpoint and skips the samples since; 0: off",
     AT(training.rewind_spikes)},
    {"seed", KEY_INTEGER, "42", 0, 9007199254740992.0, NULL, "seed of the initial weights and of the order of the data",
     AT(training.seed)},
    {"mixed_precision_param", KEY_CHOICE | KEY_NULLABLE, "null", 0, 0, "float32|bfloat16",
     "type of products and activations; null: bfloat16 on a GPU, float32 on a CPU", AT(training.mixed_precision_param)},
    {"mixed_precision_reduce", KEY_CHOICE, "float32", 0, 0, "float32", "type of the gradient's sum over ranks",
     AT(training.mixed_precision_reduce)},
    {"data_parallel_shard_degree", KEY_INTEGER, "-1", -1, 1e6, NULL,
     "number of ranks that one copy of the parameters is sharded over; -1: ranks / data_parallel_replicate_degree",
     AT(training.data_parallel_shard_degree)},
    {"data_parallel_replicate_degree", KEY_INTEGER, "1", 1, 1e6, NULL,
     "number of copies of the parameters: 1, or the number of hosts, so that blocks are gathered within a host",
     AT(training.data_parallel_replicate_degree)},
    {"fsdp_reshard_after_forward", KEY_CHOICE, "default", 0, 0, "default|always|never",
     "whether a block's parameters are dropped between forward and backward; default: all but the last block's",
     AT(training.fsdp_reshard_after_forward)},
    {"cuda_graph", KEY_BOOLEAN, "true", 0, 0, NULL,
     "true: a GPU repeats a micro-batch as one graph; false: every kernel is launched by itself",
     AT(training.cuda_graph)},
    {"enable_cpu_offload", KEY_BOOLEAN, "false", 0, 0, NULL,
     "true: the host keeps fp32 weights and moments and does the update: 12 bytes less GPU memory per parameter",
     AT(training.enable_cpu_offload)},
    {"mask_document_boundaries", KEY_BOOLEAN, "true", 0, 0, NULL,
     "true: the last token of a document does not predict the first of the next; false: as in flame",
     AT(training.mask_document_boundaries)},
};

static const Key data_keys[] = {
    {"files", KEY_STRING_LIST, "[]", 0, 0, NULL, "HDF5 files of tokens (flame-c data build, tools/prepare.py)",
     AT(data.files)},
    {"probabilities", KEY_REAL_LIST, "[]", 0, 1e30, NULL, "weight of each file in the mixture; empty: by its tokens",
     AT(data.probabilities)},
    {"validation_files", KEY_STRING_LIST, "[]", 0, 0, NULL, "HDF5 files for the validation loss",
     AT(data.validation_files)},
    {"validation_interval", KEY_INTEGER, "500", 0, MANY, NULL, "steps between validations; 0: only at the end",
     AT(data.validation_interval)},
    {"validation_steps", KEY_INTEGER, "10", 0, MANY, NULL,
     "sequences of a validation, in training steps (global batches): the first of each file, in proportion to size; "
     "0: all sequences",
     AT(data.validation_steps)},
    {"threads", KEY_INTEGER, "1", 1, 256, NULL, "threads of each rank that read and inflate", AT(data.threads)},
};

static const Key activation_checkpoint_keys[] = {
    {"mode", KEY_CHOICE, "auto", 0, 0, "auto|none|selective|full",
     "what backward computes again: nothing, norms, gates and rotary, or whole blocks; auto: the least that fits",
     AT(activation_checkpoint.mode)},
    {"selective_ac_option", KEY_STRING, "op", 0, 0, NULL,
     "selective: op, the cheap operations of all blocks; or n, every n-th block whole and nothing of the others",
     AT(activation_checkpoint.selective_ac_option)},
};

static const Key checkpoint_keys[] = {
    {"enable_checkpoint", KEY_BOOLEAN, "false", 0, 0, NULL, "true: save and resume", AT(checkpoint.enable_checkpoint)},
    {"folder", KEY_STRING, "checkpoint", 0, 0, NULL, "inside of job.dump_folder", AT(checkpoint.folder)},
    {"interval", KEY_INTEGER, "500", 1, MANY, NULL, "steps between checkpoints; the last step is always saved",
     AT(checkpoint.interval)},
    {"load_step", KEY_INTEGER, "-1", -1, MANY, NULL, "step to resume from; -1: the newest complete one",
     AT(checkpoint.load_step)},
    {"keep_latest_k", KEY_INTEGER, "0", 0, 1e6, NULL, "number of newest checkpoints to keep; 0: all",
     AT(checkpoint.keep_latest_k)},
    {"keep_every", KEY_INTEGER, "0", 0, MANY, NULL,
     "also keep checkpoints whose step is a multiple of this; 0: no such rule", AT(checkpoint.keep_every)},
    {"async_mode", KEY_CHOICE, "disabled", 0, 0, "disabled|async|async_with_pinned_mem",
     "async, or flame's async_with_pinned_mem: write in the background while training continues",
     AT(checkpoint.async_mode)},
    {"initial_load_path", KEY_STRING | KEY_NULLABLE, "null", 0, 0, NULL, "folder with the initial weights of a new run",
     AT(checkpoint.initial_load_path)},
    {"start_over", KEY_BOOLEAN, "false", 0, 0, NULL,
     "true: begin at step 0 in a folder that had checkpoints, if none can be used or enable_checkpoint is false",
     AT(checkpoint.start_over)},
    {"allow_model_changes", KEY_STRING_LIST, "[]", 0, 0, NULL,
     "keys of model: that may differ from the model that was trained, such as [rope_theta, attn.window_size]",
     AT(checkpoint.allow_model_changes)},
};

static const Key metrics_keys[] = {
    {"log_freq", KEY_INTEGER, "10", 1, MANY, NULL, "steps between logged lines", AT(metrics.log_freq)},
    {"enable_tensorboard", KEY_BOOLEAN, "true", 0, 0, NULL, "write TensorBoard event files",
     AT(metrics.enable_tensorboard)},
    {"save_tb_folder", KEY_STRING, "tb", 0, 0, NULL, "inside of job.dump_folder", AT(metrics.save_tb_folder)},
    {"sample_prompts", KEY_STRING_LIST, "[]", 0, 0, NULL,
     "texts that the model continues every data.validation_interval steps and at the end, for the logs",
     AT(metrics.sample_prompts)},
    {"sample_tokens", KEY_INTEGER, "64", 1, 1e6, NULL, "tokens to generate for each prompt", AT(metrics.sample_tokens)},
    {"sample_temperature", KEY_REAL, "0.0", 0, 1e6, NULL,
     "temperature of the softmax that tokens are drawn from, with the same seed each time; 0: the most probable ones",
     AT(metrics.sample_temperature)},
};

static const Key comm_keys[] = {
    {"train_timeout_seconds", KEY_REAL, "300", 1, 1e9, NULL,
     "the job ends if no collective makes progress for this many seconds; a warning comes after 20",
     AT(comm.train_timeout_seconds)},
    {"share_gpu", KEY_CHOICE, "never", 0, 0, "never|mpi|nccl",
     "whether ranks may share a GPU, and how they then exchange data; slow, for tests", AT(comm.share_gpu)},
};

void config_tables(TrainConfig *config, KeyTable tables[CONFIG_SECTIONS]) {
    const KeyTable all[CONFIG_SECTIONS] = {
        {device_keys, LENGTH(device_keys), config, ""},
        {job_keys, LENGTH(job_keys), config, "job"},
        {optimizer_keys, LENGTH(optimizer_keys), config, "optimizer"},
        {lr_scheduler_keys, LENGTH(lr_scheduler_keys), config, "lr_scheduler"},
        {training_keys, LENGTH(training_keys), config, "training"},
        {data_keys, LENGTH(data_keys), config, "data"},
        {activation_checkpoint_keys, LENGTH(activation_checkpoint_keys), config, "activation_checkpoint"},
        {checkpoint_keys, LENGTH(checkpoint_keys), config, "checkpoint"},
        {metrics_keys, LENGTH(metrics_keys), config, "metrics"},
        {comm_keys, LENGTH(comm_keys), config, "comm"},
    };
    for (int i = 0; i < CONFIG_SECTIONS; i++) tables[i] = all[i];
}

static const RetiredKey retired[] = {
    {"job.config_file", "--config", "it may be YAML or TOML"},
    {"job.print_args", NULL, "the effective configuration is kept in config.yaml, in the dump folder"},
    {"job.use_for_integration_test", NULL, "leave it out"},
    {"model.name", NULL, "model.model_type, or the config.json of model.config, names the mixer"},
    {"model.tokenizer_path", NULL,
     "text is tokenized beforehand, by tools/prepare.py --tokenizer or flame-c data build"},
    {"model.converters", NULL, "there is no float8; training.mixed_precision_param chooses the type"},
    {"model.print_after_conversion", NULL, "there is no float8; leave it out"},
    {"model.norm_type", NULL, "the model's keys choose the norm; leave it out"},
    {"optimizer.implementation", NULL, "there is one implementation; leave it out"},
    {"optimizer.fused", NULL, "there is one implementation, and it is fused; leave it out"},
    {"optimizer.early_step_in_backward", NULL, "gradients are sharded already; leave it out"},
    {"optimizer.scheduler", NULL,
     "lr_scheduler.decay_type chooses the form, lr_scheduler.decay_ratio makes it warm-up, stable, decay"},
    {"optimizer.min_lr_ratio", "lr_scheduler.lr_min", NULL},
    {"training.warmup_steps", "lr_scheduler.warmup_steps", NULL},
    {"training.dataset", NULL, "tools/prepare.py makes HDF5 files of it, which data.files lists"},
    {"training.dataset_name", NULL, "tools/prepare.py makes HDF5 files of a data set, which data.files lists"},
    {"training.dataset_split", NULL, "tools/prepare.py makes HDF5 files of a data set, which data.files lists"},
    {"training.data_dir", NULL, "tools/prepare.py makes HDF5 files of a folder, which data.files lists"},
    {"training.data_files", NULL, "tools/prepare.py makes HDF5 files of them, which data.files lists"},
    {"training.data_probs", "data.probabilities", "one for each file of data.files"},
    {"training.streaming", NULL,
     "data are always streamed, and a resumed run goes on at the same sample; leave it out"},
    {"training.num_workers", NULL, "data.threads is the number of reader threads of a rank; 1 is enough"},
    {"training.prefetch_factor", NULL, "readers run ahead by themselves; leave it out"},
    {"training.pin_memory", NULL, "leave it out"},
    {"training.persistent_workers", NULL, "leave it out"},
    {"training.deterministic", NULL, "runs are always deterministic; leave it out"},
    {"training.gc_freq", NULL, "there is no garbage to collect; leave it out"},
    {"training.compile", NULL, "everything is compiled beforehand; leave it out"},
    {"training.tensor_parallel_degree", NULL, "there is no tensor parallelism; sharding over all ranks does without"},
    {"training.disable_loss_parallel", NULL, "there is no tensor parallelism; leave it out"},
    {"activation_offload.*", NULL, "activations are not offloaded; activation_checkpoint.mode: full saves most memory"},
    {"checkpoint.interval_type", NULL, "the interval is in steps; leave it out"},
    {"checkpoint.model_weights_only", NULL, "a checkpoint holds everything; flame-c export writes weights only"},
    {"checkpoint.last_save_model_weights_only", NULL,
     "a checkpoint holds everything; flame-c export writes weights only"},
    {"checkpoint.initial_load_model_weights_only", NULL,
     "checkpoint.initial_load_path takes the weights only; leave it out"},
    {"checkpoint.no_initial_load_model_weights_only", NULL,
     "checkpoint.initial_load_path takes the weights only; resuming takes everything"},
    {"checkpoint.export_dtype", NULL,
     "checkpoints are fp32; flame-c export --dtype chooses the type of what it writes"},
    {"checkpoint.exclude_from_loading", NULL,
     "checkpoint.initial_load_path takes the weights only; resuming takes everything"},
    {"checkpoint.create_seed_checkpoint", NULL, "initial weights do not depend on the number of ranks; leave it out"},
    {"metrics.enable_wandb", NULL, "TensorBoard files are written, which `wandb sync` uploads"},
    {"metrics.save_for_all_ranks", NULL, "metrics are sums over all ranks; leave it out"},
    {"metrics.rank_0_only", NULL, "metrics are sums over all ranks; leave it out"},
    {"metrics.disable_color_printing", NULL, "nothing is coloured; leave it out"},
    {"profiling.*", NULL, "flame-c bench shows where the time goes"},
    {"float8.*", NULL, "there is no float8; training.mixed_precision_param chooses the type"},
    {"experimental.pipeline_parallel_*", NULL,
     "there is no pipeline parallelism; sharding over all ranks does without"},
    {"experimental.context_parallel_*", NULL,
     "there is no context parallelism; activation_checkpoint.mode: full makes room for long sequences"},
    {"experimental.enable_async_tensor_parallel", NULL, "there is no tensor parallelism; leave it out"},
    {"experimental.enable_compiled_autograd", NULL, "everything is compiled beforehand; leave it out"},
    {"experimental.custom_model_path", NULL, "models are compiled in; docs/adding-a-mixer.md adds one"},
    {"comm.init_timeout_seconds", NULL, "comm.train_timeout_seconds counts from the start"},
    {"comm.trace_buf_size", NULL, "a collective that hangs is always named; leave it out"},
    {"memory_estimation.*", NULL, "flame-c plan prints the memory of each rank"},
    {"fault_tolerance.*", NULL, "a run resumes by itself from its newest checkpoint; leave it out"},
};

const KeyHints *config_hints(void) {
    static KeyTable tables[CONFIG_SECTIONS];
    static const KeyHints hints = {
        .tables = tables, .table_count = CONFIG_SECTIONS, .retired = retired, .retired_count = LENGTH(retired)};
    config_tables(NULL, tables);
    return &hints;
}
