/* flame-c bench: times every op and the whole training step of a configuration on random tokens, beside the rates of
 * plain matrix products and copies on the same machine in the same run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "training/generation_rates.h"
#include "commands/commands.h"
#include "commands/configure.h"
#include "commands/start.h"
#include "commands/output_file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/clock.h"
#include "core/profile.h"
#include "data/stream_benchmark.h"
#include "training/peak.h"
#include "training/samples.h"
#include "training/session.h"
#include "training/setup.h"
#include "training/teacher.h"

enum { WARM_UP = 2, PROFILED = 3, PRODUCT_SIZE = 2048 };

typedef struct Bench {
    int64_t steps, generate;
    const char *json_path, *data_path;
    Texts keys;
    TrainConfig config;
    Session session;
    Stream *stream; /* of --data */
    json_t *json;
    double start;
    double peak_rate, memory_rate; /* FLOP/s of all ranks, bytes/s of one */
} Bench;

#define AT(field) offsetof(Bench, field)

static const Option options[] = {
    CONFIG_OPTIONS,
    {"steps", OPTION_INTEGER, "N", "10", 0, 1e6, "timed steps, after two warm-up steps; 0: no training", AT(steps)},
    {"generate", OPTION_INTEGER, "N", NULL, 1, 1e6, "also time reading prompts and generating N tokens after each",
     AT(generate)},
    {"json", OPTION_TEXT, "FILE", NULL, 0, 0, "write all numbers to this file, which must not exist", AT(json_path)},
    {"data", OPTION_TEXT, "FILE.h5", NULL, 0, 0, "also time reading random windows of this data set", AT(data_path)},
};

static void record(json_t *object, const char *key, double value) {
    json_object_set_new(object, key, json_real(value));
}

static void random_tokens(Bench *b) {
    const HostBatch batch = runner_batch(b->session.runner);
    const int64_t T = b->config.training.seq_len, n = b->config.training.batch_size * T;
    float *uniform = malloc((size_t)n * sizeof *uniform);
    CHECK_MEMORY(uniform, "out of memory");
    rng_uniform((uint64_t)b->config.training.seed, rng_key("bench tokens"), b->session.comm->rank * n, n, 0, 1,
                uniform);
    for (int64_t i = 0; i < n; i++) {
        const double token = (double)uniform[i] * (double)b->session.model->config.vocab_size;
        batch.tokens[i] = (int32_t)(token < (double)b->session.model->config.vocab_size ? token : 0);
        batch.labels[i] = batch.tokens[i];
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)(i % T);
    }
    free(uniform);
}

static void one_step(Bench *b, int64_t update) {
    const OptimizerOptions optimizer = setup_optimizer(&b->config);
    double loss = 0;
    int64_t targets = 0;
    runner_train(b->session.runner, true);
    runner_losses(b->session.runner, &loss, &targets);
    optimizer_step(b->session.fsdp, &optimizer, update, b->config.optimizer.lr,
                   1 / (double)(targets * b->session.comm->size));
    fsdp_end_step(b->session.fsdp);
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints the time from the start of the command to the end of the first step, which includes the first use of libraries
 * and GPU. */
static void report_start(Bench *b) {
    const double seconds = seconds_now() - b->start;
    log_info("start        %10.2f s until the first step was done", seconds);
    record(b->json, "first_step_seconds", seconds);
}

static void time_steps(Bench *b, double flops_per_token) {
    double *seconds = calloc((size_t)b->steps, sizeof *seconds);
    CHECK_MEMORY(seconds, "out of memory");
    for (int64_t s = 0; s < WARM_UP; s++) {
        one_step(b, s + 1);
        b->session.device->synchronize();
        if (s == 0) report_start(b);
    }
    for (int64_t s = 0; s < b->steps; s++) {
        b->session.comm->f->barrier(b->session.comm);
        b->session.device->synchronize();
        const double start = seconds_now();
        one_step(b, WARM_UP + s + 1);
        b->session.device->synchronize();
        seconds[s] = seconds_now() - start;
    }
    qsort(seconds, (size_t)b->steps, sizeof *seconds, compare_doubles);
    const double median = seconds[b->steps / 2], fastest = seconds[0], slowest = seconds[b->steps - 1];
    const double tokens = (double)(b->config.training.batch_size * b->config.training.seq_len * b->session.comm->size);
    const double rate = flops_per_token * tokens / median;
    log_info("step         %10.1f ms  (%.1f to %.1f)   %10.1f tokens/s   %8.1f GFLOP/s   %5.1f %% of the product rate",
             median * 1e3, fastest * 1e3, slowest * 1e3, tokens / median, rate / 1e9, 100 * rate / b->peak_rate);
    record(b->json, "step_seconds", median);
    record(b->json, "step_seconds_min", fastest);
    record(b->json, "step_seconds_max", slowest);
    record(b->json, "tokens_per_second", tokens / median);
    record(b->json, "step_gflops", rate / 1e9);
    record(b->json, "step_of_peak", rate / b->peak_rate);
    free(seconds);
}

static int compare_profiles(const void *a, const void *b) {
    const OpProfile *x = a, *y = b;
    const double p = x->forward_seconds + x->backward_seconds, q = y->forward_seconds + y->backward_seconds;
    return (p < q) - (p > q);
}

/* Forward or backward of an op: its measured time and its work. */
typedef struct Direction {
    double seconds, flops, bytes;
} Direction;

static double roofline_of(const Bench *b, Direction d) {
    const double one_rank = b->peak_rate / b->session.comm->size;
    const double floor = fmax(d.flops / one_rank, d.bytes / b->memory_rate);
    return d.seconds > 0 ? floor / d.seconds : 0;
}

static double rate_of(double amount, Direction d) { return d.seconds > 0 ? amount / d.seconds : 0; }

/* Divides the work of an op between forward and backward. A backward run counts as two forward runs, and a recomputed
 * forward as one. If an op computes its gradients in forward, all its work counts as forward. Twice the bytes would be
 * a guess: backward of an op that is bound by memory may read nothing of what forward read (add). */
static void directions_of(const Bench *b, const OpProfile *op, Direction *forward, Direction *backward) {
    const double runs = 2 * (double)op->backward_runs / (double)op->forward_runs,
                 one_rank = b->peak_rate / b->session.comm->size;
    *forward = (Direction){op->forward_seconds, op->flops, op->bytes};
    *backward = (Direction){op->backward_seconds, 0, 0};
    if (op->gradients_in_forward) {
        forward->flops += op->flops * runs;
        forward->bytes += op->bytes * runs;
    } else if (op->flops / one_rank > op->bytes / b->memory_rate) {
        backward->flops = op->flops * runs;
    }
}

/* A figure of backward, or "-" if its work is not known. */
static const char *figure(const Direction *backward, double value, char text[32]) {
    snprintf(text, 32, "%.3g", value);
    return backward->flops > 0 ? text : "-";
}

static void print_op(const Bench *b, const OpProfile *op, double step_seconds, json_t *list) {
    Direction f, r;
    char rate[32], share[32];
    directions_of(b, op, &f, &r);
    log_info("%-22s %5lld %9.2f %9.2f %7.1f %8.3g %8s %8.1f %7.1f %7s", op->name, (long long)op->forward_runs,
             f.seconds * 1e3, r.seconds * 1e3, 100 * (f.seconds + r.seconds) / step_seconds, rate_of(f.flops, f) / 1e12,
             figure(&r, rate_of(r.flops, r) / 1e12, rate), rate_of(f.bytes, f) / 1e9, 100 * roofline_of(b, f),
             figure(&r, 100 * roofline_of(b, r), share));
    json_t *entry = json_pack("{s:s,s:I,s:I,s:f,s:f}", "op", op->name, "forward_runs", (json_int_t)op->forward_runs,
                              "backward_runs", (json_int_t)op->backward_runs, "forward_seconds", f.seconds,
                              "backward_seconds", r.seconds);
    record(entry, "forward_gflops", rate_of(f.flops, f) / 1e9);
    record(entry, "forward_gbytes_per_second", rate_of(f.bytes, f) / 1e9);
    record(entry, "forward_of_roofline", roofline_of(b, f));
    if (r.flops > 0) {
        record(entry, "backward_gflops", rate_of(r.flops, r) / 1e9);
        record(entry, "backward_of_roofline", roofline_of(b, r));
    }
    json_array_append_new(list, entry);
}

static void print_ops(Bench *b, Profile *profile, double step_seconds) {
    qsort(profile->op, (size_t)profile->ops, sizeof profile->op[0], compare_profiles);
    json_t *list = json_array();
    double sum = 0;
    log_info("%-22s %5s %9s %9s %7s %17s %8s %15s", "", "", "ms", "ms", "", "TFLOP/s", "GB/s", "% of roofline");
    log_info("%-22s %5s %9s %9s %7s %8s %8s %8s %7s %7s", "op", "runs", "forward", "backward", "share %", "forward",
             "backw.", "forward", "forward", "backw.");
    for (int i = 0; i < profile->ops; i++) {
        sum += profile->op[i].forward_seconds + profile->op[i].backward_seconds;
        print_op(b, &profile->op[i], step_seconds, list);
    }
    log_info("%-22s %15.2f ms: optimizer, gathers and reductions, copies", "everything else",
             (step_seconds - sum) * 1e3);
    json_object_set_new(b->json, "ops", list);
}

/* Turns sums over several steps into averages per step. */
static void one_of_several(OpProfile *op, int steps) {
    op->forward_runs /= steps;
    op->backward_runs /= steps;
    op->forward_seconds /= steps;
    op->backward_seconds /= steps;
    op->flops /= steps;
    op->bytes /= steps;
}

static void profile_step(Bench *b) {
    Profile profile = {0};
    runner_profile(b->session.runner, &profile);
    const double start = seconds_now();
    for (int64_t s = 0; s < PROFILED; s++) one_step(b, WARM_UP + b->steps + s + 1);
    b->session.device->synchronize();
    const double seconds = (seconds_now() - start) / PROFILED;
    runner_profile(b->session.runner, NULL);
    for (int i = 0; i < profile.ops; i++) one_of_several(&profile.op[i], PROFILED);
    print_ops(b, &profile, seconds);
}

static Status check_options(const Bench *b) {
    if (b->steps > 0 || b->generate > 0 || b->data_path) return OK;
    log_error("bench --steps 0 times nothing; add --generate N or --data FILE.h5");
    return USAGE;
}

/* Opens --data, if it is given, as random windows of training.seq_len + 1 tokens. */
static Status open_stream(Bench *b, Comm *comm) {
    StreamOptions wanted = stream_default_options();
    wanted.files = &b->data_path;
    wanted.seq_len = b->config.training.seq_len;
    wanted.threads = (int)b->config.data.threads;
    return b->data_path ? samples_open(comm, &wanted, &b->stream) : OK;
}

static Status time_stream(Bench *b) {
    enum { SECONDS = 3, WINDOWS_PER_READ = 8 };
    double rate = 0;
    const Status status = stream_benchmark(b->stream, WINDOWS_PER_READ, SECONDS, &rate);
    if (status != OK) return status;
    log_info("stream       %10.1f M tokens/s  (%d reader threads, %s)", rate / 1e6, (int)b->config.data.threads,
             b->data_path);
    record(b->json, "stream_tokens_per_second", rate);
    return OK;
}

/* Times generation, with prompts as long as training sequences. */
static void time_generation(Bench *b, DType type) {
    const TrainingConfig *t = &b->config.training;
    const GenerationRates rates = generation_rates(&b->session, type, t->batch_size, t->seq_len, b->generate);
    log_info("reading      %10.1f tokens/s      (%lld prompts of %lld tokens)", rates.read, (long long)t->batch_size,
             (long long)t->seq_len);
    log_info("generating   %10.1f tokens/s      (%lld more of each; the model remembers %.3f MB)", rates.generated,
             (long long)b->generate, (double)rates.carried_bytes * 1e-6);
    record(b->json, "read_tokens_per_second", rates.read);
    record(b->json, "generated_tokens_per_second", rates.generated);
    record(b->json, "remembered_bytes", (double)rates.carried_bytes);
}

static Status write_json(const Bench *b) {
    if (!b->json_path || b->session.comm->rank != 0) return OK;
    char *text = json_dumps(b->json, JSON_INDENT(2));
    CHECK_MEMORY(text, "no memory for JSON");
    const Status status = output_write(b->json_path, text, (int64_t)strlen(text));
    free(text);
    return status;
}

static void measure_rates(Bench *b, DType type) {
    int64_t n = PRODUCT_SIZE;
    b->peak_rate = peak_product_rate(b->session.device, type, &n) * b->session.comm->size;
    b->memory_rate = peak_memory_rate(b->session.device);
    log_info("products     %10.1f GFLOP/s  (%lld x %lld x %lld, %s, all ranks)", b->peak_rate / 1e9, (long long)n,
             (long long)n, (long long)n, b->config.training.mixed_precision_param);
    log_info("memory       %10.1f GB/s     (a copy, bytes read and written, one rank)", b->memory_rate / 1e9);
    record(b->json, "product_gflops", b->peak_rate / 1e9);
    record(b->json, "memory_gbytes_per_second", b->memory_rate / 1e9);
}

/* Prints the device memory that this rank has allocated, and the plan for it. */
static void report_memory(Bench *b, const MemoryPlan *plan, int64_t bytes) {
    log_info("on device    %10.2f GB of memory, %.2f planned", (double)bytes / 1e9, (double)plan->device_bytes / 1e9);
    record(b->json, "device_memory_bytes", (double)bytes);
    record(b->json, "planned_device_memory_bytes", (double)plan->device_bytes);
}

static Status measure(Bench *b, Comm *comm) {
    Model *model = NULL;
    const Device *device = NULL;
    Status status = agree(comm, config_check_mesh(&b->config.training, comm->size));
    if (status == OK) status = open_stream(b, comm);
    setup_comm(&b->config);
    if (status == OK) status = session_device(comm, b->config.device, &device);
    if (status != OK) return status;
    config_set_device(&b->config, device->nccl ? "cuda" : "cpu");
    const int64_t available = device->available(1);
    status = agree(comm, model_create(b->config.model, &model));
    if (status != OK) return status;
    b->session.comm = comm;
    b->session.model = model;
    status = teacher_read(&b->config, model, comm, &b->session.teacher);
    if (status != OK) return status;
    RunnerOptions options = setup_runner(&b->config, b->session.teacher);
    FsdpOptions sharding = setup_sharding(&b->config);
    options.training = sharding.training = b->steps > 0;
    status = session_connect(&b->session, comm, device, sharding.replicas);
    if (status != OK) return status;
    setup_recompute(&b->config, model, comm, device, &options);
    status = teacher_load(&b->config, &b->session);
    if (status != OK) return status;
    options.teacher_fsdp = b->session.teacher_fsdp;
    status = session_fill(&b->session, model, options, sharding);
    if (status != OK) return status;
    fsdp_initialise(b->session.fsdp, (uint64_t)b->config.training.seed);
    random_tokens(b);
    const MemoryPlan plan = setup_memory(&b->config, &options, model, comm->size, comm->local_size);
    if (options.training) {
        measure_rates(b, options.type);
        time_steps(b, setup_flops_per_token(&plan, &b->config));
        if (!device->host_memory) report_memory(b, &plan, available - device->available(1));
        profile_step(b);
    }
    if (b->generate > 0) time_generation(b, options.type);
    if (b->stream) status = agree(comm, time_stream(b));
    return status == OK ? agree(comm, write_json(b)) : status;
}

static Status run(void *values) {
    Bench *b = values;
    b->start = seconds_now();
    Comm *comm = NULL;
    Status status = command_start(&bench_command, b, &comm);
    if (status != OK) return status;
    status = agree(comm, check_options(b));
    if (status == OK) status = agree(comm, config_load(b->keys.count, b->keys.item, &b->config));
    if (status != OK) {
        comm_destroy(comm);
        return status;
    }
    status = configs_agree(&b->config, comm);
    b->json = json_object();
    if (status == OK) status = output_prepare(comm, "json", b->json_path);
    if (status == OK) status = measure(b, comm);
    json_decref(b->json);
    stream_close(b->stream);
    config_free(&b->config);
    if (b->session.comm)
        session_close(&b->session);
    else
        comm_destroy(comm);
    return status;
}

const Command bench_command = {
    .name = "bench",
    .summary = "time every op and the step, against the machine's rate of matrix products",
    .text = "Trains on random tokens, without data or checkpoints. Prints tokens/s and FLOP/s of the step and, for "
            "each op,\n"
            "time, FLOP/s, bytes/s and the share of its roofline: the time that its FLOPs or bytes would need at the "
            "rates\n"
            "of matrix products and copies, measured at the start, divided by the time it took. Backward counts as "
            "twice\n"
            "the FLOPs of forward; it has no such figures for an op that is bound by memory.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(Bench),
    .takes_keys = true,
    .keys = AT(keys),
    .run = run,
};
