/* Checks that depend on several keys, or on the number of ranks. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "config/config.h"
#include "base/log.h"
#include "base/number.h"

static const double DEFAULT_TEACHER_WEIGHT = 0.5; /* as in config_keys.c */

__attribute__((format(printf, 1, 2))) static Status refuse(const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (log_rank() == 0) log_error("%s", message);
    return BAD_INPUT;
}

static Status check_data(const DataConfig *data) {
    const int64_t files = data->files.count, weights = data->probabilities.count;
    if (files == 0)
        return refuse(
            "data.files is missing: list HDF5 files of tokens, made by flame-c data build or tools/prepare.py");
    if (weights == 0) return OK;
    if (files == 1) return refuse("data.probabilities has no meaning with one file in data.files; leave it out");
    if (weights != files)
        return refuse("data.probabilities has %lld values for %lld files in data.files", (long long)weights,
                      (long long)files);
    double sum = 0;
    for (int64_t i = 0; i < weights; i++) sum += data->probabilities.item[i];
    if (!(sum > 0)) return refuse("data.probabilities sum to 0; at least one must be positive");
    return OK;
}

Status config_check_mesh(const TrainingConfig *training, int world_size) {
    const int64_t shard = training->data_parallel_shard_degree, replicate = training->data_parallel_replicate_degree;
    if (shard == 0) return refuse("training.data_parallel_shard_degree is 0; -1 means all ranks");
    if (world_size % replicate != 0)
        return refuse(
            "training.data_parallel_replicate_degree %lld does not divide the %d ranks; set it to a divisor of their "
            "number, or to 1",
            (long long)replicate, world_size);
    if (shard != -1 && shard * replicate != world_size)
        return refuse("training.data_parallel_replicate_degree %lld x data_parallel_shard_degree %lld is not the %d "
                      "ranks; set data_parallel_shard_degree to %lld, or to -1",
                      (long long)replicate, (long long)shard, world_size, (long long)(world_size / replicate));
    return OK;
}

static Status check_teacher(const TrainingConfig *training) {
    if (training->teacher && !(training->teacher_weight > 0))
        return refuse("training.teacher_weight is 0: nothing is learned from training.teacher %s; leave both out, or "
                      "set a weight up to 1",
                      training->teacher);
    if (!training->teacher && training->teacher_weight != DEFAULT_TEACHER_WEIGHT)
        return refuse("training.teacher_weight %g has no meaning without training.teacher; leave it out, or name the "
                      "teacher's folder",
                      training->teacher_weight);
    return OK;
}

static Status check_batch(const TrainingConfig *training, int world_size) {
    const int64_t global = training->global_batch_size, accumulation = training->gradient_accumulation_steps;
    if (global == -1) return OK;
    if (global < world_size)
        return refuse("training.global_batch_size %lld leaves some of the %d ranks without a sequence; raise it, or "
                      "start fewer ranks",
                      (long long)global, world_size);
    if (accumulation != 1)
        return refuse("training.global_batch_size and training.gradient_accumulation_steps (%lld) exclude each other: "
                      "accumulation follows from the global batch",
                      (long long)accumulation);
    return OK;
}

/* No machine holds the activations of more tokens than these limits. Below them, 64 bits can count everything. */
static Status check_tokens(const TrainingConfig *training, int world_size) {
    static const double most_at_once = 1e9, most_of_step = 1e15;
    const double seq_len = (double)training->seq_len, global = (double)training->global_batch_size;
    const double sequences = (double)training->batch_size * world_size * (double)training->gradient_accumulation_steps;
    if ((double)training->batch_size * seq_len > most_at_once)
        return refuse("training.batch_size %lld x training.seq_len %lld is more than %g tokens at once on each rank; "
                      "lower one of them (training.gradient_accumulation_steps makes a step as large)",
                      (long long)training->batch_size, (long long)training->seq_len, most_at_once);
    if ((global > 0 ? global : sequences) * seq_len > most_of_step)
        return refuse("a step of %g sequences of training.seq_len %lld has more than %g tokens; lower "
                      "training.global_batch_size or training.gradient_accumulation_steps",
                      global > 0 ? global : sequences, (long long)training->seq_len, most_of_step);
    return OK;
}

static void warn_about_schedule(const TrainConfig *config) {
    const int64_t steps = config->training.steps, warmup = config->lr_scheduler.warmup_steps;
    const double ratio = config->lr_scheduler.decay_ratio;
    if (log_rank() != 0 || steps == 0) return;
    if (warmup > steps)
        log_warning("lr_scheduler.warmup_steps %lld is cut to training.steps %lld: the whole run warms up",
                    (long long)warmup, (long long)steps);
    else if (!isnan(ratio) && (double)warmup + rint((double)steps * ratio) > (double)steps)
        log_warning("lr_scheduler.decay_ratio %g is cut to the %lld steps after the warm-up", ratio,
                    (long long)(steps - warmup));
}

/* Checks that a path stays inside job.dump_folder. */
static Status check_inside(const char *key, const char *path) {
    if (path[0] && path[0] != '/' && strcmp(path, ".") != 0 && !strstr(path, "..")) return OK;
    return refuse("%s is \"%s\"; it must be the name of a folder inside of job.dump_folder", key, path);
}

int64_t config_recompute_every(const ActivationCheckpointConfig *config) {
    if (strcmp(config->mode, "selective") != 0) return 0;
    int64_t every = 0;
    if (number_is_integer(config->selective_ac_option)) number_to_integer(config->selective_ac_option, &every);
    return every;
}

static Status check_recompute(const ActivationCheckpointConfig *config) {
    const char *option = config->selective_ac_option;
    if (strcmp(option, "op") != 0 && strcmp(config->mode, "auto") == 0)
        return refuse("activation_checkpoint.selective_ac_option: %s needs activation_checkpoint.mode: selective",
                      option);
    if (strcmp(option, "op") == 0 || strcmp(config->mode, "selective") != 0 || config_recompute_every(config) > 0)
        return OK;
    return refuse(
        "activation_checkpoint.selective_ac_option is \"%s\"; it must be op, or a number n for every n-th block",
        option);
}

static void warn_about_replicas(const TrainingConfig *training) {
    if (training->check_replicas_every > 0 && training->data_parallel_replicate_degree == 1 && log_rank() == 0)
        log_warning(
            "training.check_replicas_every has nothing to compare: training.data_parallel_replicate_degree is 1");
}

Status config_validate_sizes(const TrainConfig *config, int world_size) {
    Status status = config_check_mesh(&config->training, world_size);
    if (status == OK) status = check_batch(&config->training, world_size);
    if (status == OK) status = check_tokens(&config->training, world_size);
    if (status == OK) status = check_teacher(&config->training);
    if (status == OK) status = check_recompute(&config->activation_checkpoint);
    if (status == OK) warn_about_schedule(config);
    if (status == OK) warn_about_replicas(&config->training);
    return status;
}

static Status check_rewind(const TrainConfig *config) {
    const int64_t after = config->training.rewind_spikes, most = config->training.max_skipped_steps;
    if (after == 0) return OK;
    if (!config->checkpoint.enable_checkpoint)
        return refuse("training.rewind_spikes goes back to a checkpoint: set checkpoint.enable_checkpoint: true");
    if (after < most) return OK;
    return refuse("training.rewind_spikes %lld must be less than training.max_skipped_steps %lld, which ends the run",
                  (long long)after, (long long)most);
}

Status config_validate(const TrainConfig *config, int world_size) {
    if (!config->job.dump_folder[0]) return refuse("job.dump_folder is empty");
    Status status = check_data(&config->data);
    if (status == OK) status = check_rewind(config);
    if (status == OK) status = check_inside("checkpoint.folder", config->checkpoint.folder);
    if (status == OK) status = check_inside("metrics.save_tb_folder", config->metrics.save_tb_folder);
    return status == OK ? config_validate_sizes(config, world_size) : status;
}
