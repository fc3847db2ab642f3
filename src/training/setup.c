#include "training/setup.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "training/generation.h"

StepShape step_shape(const TrainConfig *config, int world_size) {
    const TrainingConfig *t = &config->training;
    const int64_t round = t->batch_size * world_size;
    StepShape shape = {.batch = t->batch_size};
    if (t->global_batch_size > 0) {
        shape.samples = t->global_batch_size;
        shape.micro_batches = (t->global_batch_size + round - 1) / round;
    } else {
        shape.micro_batches = t->gradient_accumulation_steps;
        shape.samples = round * shape.micro_batches;
    }
    return shape;
}

static bool on_gpu(const TrainConfig *config) { return strcmp(config->device, "cuda") == 0; }

static DType compute_type(const TrainConfig *config) { return dtype_named(config->training.mixed_precision_param); }

void setup_comm(const TrainConfig *config) {
    comm_configure(config->comm.share_gpu, config->comm.train_timeout_seconds);
}

RunnerOptions setup_runner(const TrainConfig *config, Model *teacher) {
    const char *mode = config->activation_checkpoint.mode;
    const Recompute recompute = strcmp(mode, "full") == 0        ? RECOMPUTE_FULL
                                : strcmp(mode, "selective") == 0 ? RECOMPUTE_SELECTIVE
                                                                 : RECOMPUTE_NONE;
    return (RunnerOptions){.type = compute_type(config),
                           .recompute = recompute,
                           .recompute_every = config_recompute_every(&config->activation_checkpoint),
                           .B = config->training.batch_size,
                           .T = config->training.seq_len,
                           .label_smoothing = (float)config->training.label_smoothing,
                           .z_loss = (float)config->training.z_loss,
                           .teacher = teacher,
                           .teacher_share = (float)config->training.teacher_weight,
                           .training = true,
                           .replay = config->training.cuda_graph};
}

enum { SPECIAL_TOKENS = 8 };

RunnerOptions setup_previews(const TrainConfig *config) {
    const StringList *prompts = &config->metrics.sample_prompts;
    int64_t longest = 0;
    for (int64_t i = 0; i < prompts->count; i++) {
        const int64_t bytes = (int64_t)strlen(prompts->item[i]);
        if (bytes > longest) longest = bytes;
    }
    longest += SPECIAL_TOKENS;
    return generation_runner(compute_type(config), prompts->count, longest, config->metrics.sample_tokens);
}

static int64_t preview_bytes(const TrainConfig *config, Model *model) {
    const RunnerOptions options = setup_previews(config);
    if (options.B == 0) return 0;
    const RunnerPlan plan = runner_plan(model, options, on_gpu(config));
    return plan.keep_bytes + plan.scratch_bytes + plan.carried_bytes;
}

static bool recompute_is_auto(const TrainConfig *config) {
    return strcmp(config->activation_checkpoint.mode, "auto") == 0;
}

FsdpOptions setup_sharding(const TrainConfig *config) {
    return (FsdpOptions){.type = compute_type(config),
                         .training = true,
                         .replicas = (int)config->training.data_parallel_replicate_degree,
                         .overlap = on_gpu(config),
                         .offload = on_gpu(config) && config->training.enable_cpu_offload,
                         .reshard_after_forward = strcmp(config->training.fsdp_reshard_after_forward, "never") != 0};
}

FsdpOptions setup_teacher_sharding(const TrainConfig *config) {
    FsdpOptions options = setup_sharding(config);
    options.training = options.offload = false;
    options.frozen = true;
    return options;
}

OptimizerOptions setup_optimizer(const TrainConfig *config) {
    const OptimizerConfig *o = &config->optimizer;
    return (OptimizerOptions){.beta1 = o->beta1,
                              .beta2 = o->beta2,
                              .eps = o->eps,
                              .weight_decay = o->weight_decay,
                              .max_norm = config->training.max_norm,
                              .decay_all = o->decay_all,
                              .copies = 1};
}

/* Measured: the program with Open MPI, HDF5 and oneDNN loaded, its thread stacks and packed operands of products. */
enum { PROGRAM_BYTES = 45 << 20 };

MemoryPlan setup_memory(const TrainConfig *config, const RunnerOptions *options, Model *model, int world_size,
                        int local_size) {
    MemoryPlan plan = {.other_bytes = PROGRAM_BYTES};
    const FsdpOptions sharding = setup_sharding(config);
    const int replica = world_size / sharding.replicas;
    const bool shares = on_gpu(config) ? replica == 1 : local_size % replica == 0;
    plan.shards = fsdp_memory(world_size, shares, model->unit, model->units, sharding);
    if (options->teacher)
        plan.teacher = fsdp_memory(world_size, shares, options->teacher->unit, options->teacher->units,
                                   setup_teacher_sharding(config));
    plan.runner = runner_plan(model, *options, on_gpu(config));
    plan.preview_bytes = preview_bytes(config, model);
    const bool asynchronous =
        config->checkpoint.enable_checkpoint && strcmp(config->checkpoint.async_mode, "disabled") != 0;
    if (asynchronous && on_gpu(config) && !sharding.offload)
        plan.checkpoint_bytes = plan.shards.parameters + plan.shards.moments;
    const FsdpMemory *shards = &plan.shards;
    const int64_t updated = shards->parameters + shards->moments + shards->copies;
    const int64_t host = plan.checkpoint_bytes + plan.other_bytes + (sharding.offload ? updated : 0);
    const int64_t device = shards->gradients + shards->gathered + shards->gathered_gradients + plan.runner.keep_bytes +
                           plan.runner.scratch_bytes + plan.preview_bytes + (sharding.offload ? 0 : updated) +
                           plan.teacher.parameters + plan.teacher.gathered;
    plan.total_bytes = device + shards->others + plan.teacher.others + host;
    plan.device_bytes = device + (on_gpu(config) ? 0 : host);
    return plan;
}

static bool fits_everywhere(const TrainConfig *config, const RunnerOptions *options, Model *model, Comm *comm,
                            int64_t available) {
    const MemoryPlan plan = setup_memory(config, options, model, comm->size, comm->local_size);
    double over = plan.device_bytes > available;
    comm->f->all_reduce_max(comm, &over, 1);
    return over == 0;
}

void setup_recompute(const TrainConfig *config, Model *model, Comm *comm, const Device *device,
                     RunnerOptions *options) {
    static const char *const again[] = {"nothing", "cheap operations", "whole blocks"};
    if (!recompute_is_auto(config) || !options->training) return;
    const int64_t available = device->available(comm_sharers(comm, device));
    while (options->recompute != RECOMPUTE_FULL && !fits_everywhere(config, options, model, comm, available))
        options->recompute++;
    log_info("backward     computes %s again (activation_checkpoint.mode: auto)", again[options->recompute]);
}

Status setup_check_memory(const MemoryPlan *plan, const Device *device, int sharers) {
    const int64_t needed = plan->device_bytes, available = device->available(sharers);
    if (needed <= available) return OK;
    char teacher[64] = "";
    if (plan->teacher.gathered + plan->teacher.parameters > 0)
        snprintf(teacher, sizeof teacher, ", the teacher's parameters %.0f MB",
                 (double)(plan->teacher.gathered + plan->teacher.parameters) / 1e6);
    if (log_rank() == 0)
        log_error("each rank needs %.0f MB and may have %.0f MB: parameters, gradients and moments %.0f MB (use more "
                  "ranks, or on a GPU training.enable_cpu_offload: true), activations %.0f MB (lower "
                  "training.batch_size or training.seq_len, or set activation_checkpoint.mode: full), working memory "
                  "%.0f MB%s",
                  (double)needed / 1e6, (double)available / 1e6,
                  (double)(plan->shards.parameters + plan->shards.gradients + plan->shards.moments) / 1e6,
                  (double)plan->runner.keep_bytes / 1e6, (double)plan->runner.scratch_bytes / 1e6, teacher);
    return BAD_INPUT;
}

double setup_flops_per_token(const MemoryPlan *plan, const TrainConfig *config) {
    const double flops = 3 * plan->runner.forward_flops + plan->runner.teacher_flops;
    return flops / (double)(config->training.batch_size * config->training.seq_len);
}

static int64_t elements_of(const Tensor *weight) { return weight ? weight->rows * weight->cols : 0; }

static int64_t elements_of_norm(Norm norm) { return elements_of(norm.weight) + elements_of(norm.bias); }

static void print_parameters(const Model *model) {
    int64_t mlps = 0, norms = elements_of_norm(model->norm);
    for (int64_t i = 0; i < model->layers; i++) {
        const Layer *layer = &model->layer[i];
        for (int w = 0; w < MLP_WEIGHTS; w++) mlps += elements_of(layer->mlp[w]);
        norms += elements_of_norm(layer->first_norm) + elements_of_norm(layer->mixer_norm);
        norms += elements_of_norm(layer->mlp_norm);
    }
    const int64_t embeddings = elements_of(model->embeddings), all = model_parameter_count(model);
    const int64_t head = model->lm_head == model->embeddings ? 0 : embeddings;
    log_info("parameters   %14lld  (embeddings %lld, mixers %lld, MLPs %lld, norms %lld, head %lld)", (long long)all,
             (long long)embeddings, (long long)(all - embeddings - mlps - norms - head), (long long)mlps,
             (long long)norms, (long long)head);
}

static void print_bytes(const char *what, int64_t bytes) {
    if (bytes > 0) log_info("  %-28s %10.1f MB", what, (double)bytes / 1e6);
}

void setup_print(const TrainConfig *config, const RunnerOptions *options, const Model *model, const MemoryPlan *plan,
                 int world_size) {
    const StepShape step = step_shape(config, world_size);
    print_parameters(model);
    if (options->teacher)
        log_info("teacher      %14lld parameters  (%s)", (long long)model_parameter_count(options->teacher),
                 options->teacher->config.model_type);
    char mesh[64] = "";
    const int replicas = setup_sharding(config).replicas;
    if (replicas > 1) snprintf(mesh, sizeof mesh, ", %d replicas of %d shards", replicas, world_size / replicas);
    log_info("step         %14lld tokens  (%lld sequences of %lld; %d ranks x %lld micro-batches of %lld%s)",
             (long long)(step.samples * config->training.seq_len), (long long)step.samples,
             (long long)config->training.seq_len, world_size, (long long)step.micro_batches, (long long)step.batch,
             mesh);
    log_info("work         %14.1f MFLOP per token, forward and backward%s", setup_flops_per_token(plan, config) / 1e6,
             options->teacher ? ", and the teacher's forward" : "");
    log_info("state        %14.1f KB per sequence, after %lld tokens", plan->runner.state_bytes / 1e3,
             (long long)config->training.seq_len);
    log_info("memory of each rank:");
    print_bytes("parameters (fp32 shard)", plan->shards.parameters);
    print_bytes("gradients (fp32 sums)", plan->shards.gradients);
    print_bytes("AdamW moments (fp32 shard)", plan->shards.moments);
    print_bytes("gathered parameters", plan->shards.gathered);
    print_bytes("whole gradients", plan->shards.gathered_gradients);
    print_bytes("copies for the host's update", plan->shards.copies);
    print_bytes("the teacher's parameters", plan->teacher.parameters + plan->teacher.gathered);
    print_bytes("memory of the other ranks", plan->shards.others + plan->teacher.others);
    print_bytes("activations for backward", plan->runner.keep_bytes);
    print_bytes("working memory", plan->runner.scratch_bytes);
    print_bytes("going on with prompts", plan->preview_bytes);
    print_bytes("copy for checkpoints", plan->checkpoint_bytes);
    print_bytes("program and libraries", plan->other_bytes);
    print_bytes("total", plan->total_bytes);
    if (on_gpu(config)) print_bytes("of it on the GPU", plan->device_bytes);
}

void setup_print_choices(const TrainConfig *config, const RunnerOptions *options, Model *model, int world_size) {
    static const char *const mode[] = {"none", "selective", "full"};
    if (!recompute_is_auto(config)) return;
    log_info(
        "%s of each rank by activation_checkpoint.mode (the plan above is for none; auto takes the first that fits):",
        on_gpu(config) ? "GPU memory" : "memory");
    RunnerOptions choice = *options;
    for (choice.recompute = RECOMPUTE_NONE; choice.recompute <= RECOMPUTE_FULL; choice.recompute++) {
        const MemoryPlan plan = setup_memory(config, &choice, model, world_size, world_size);
        print_bytes(mode[choice.recompute], on_gpu(config) ? plan.device_bytes : plan.total_bytes);
    }
}
