/* flame-c bench: times every op and the whole training step of a configuration on random tokens, beside the rate of
 * plain matrix products on the same machine in the same run. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "commands/commands.h"
#include "core/log.h"
#include "core/profile.h"
#include "core/rng.h"
#include "data/stream_benchmark.h"
#include "training/peak.h"
#include "training/session.h"
#include "training/setup.h"

enum { WARM_UP = 2, PRODUCT_SIZE = 2048 };

typedef struct Bench {
    TrainConfig config;
    Session session;
    int64_t steps;
    const char *json_path, *data_path;
    json_t *json;
    double peak_rate;
} Bench;

static void print_usage(void) {
    printf("flame-c bench --config FILE [--section.key=value ...] [--steps 10] [--json FILE] [--data FILE.h5]\n\n"
           "Trains on random tokens without data or checkpoints and prints tokens/s, GFLOP/s of the step and of each "
           "op, and\n"
           "their share of the rate of matrix products measured just before. --data times the reading of random "
           "windows of a\n"
           "data set. --json writes every figure.\n");
}

static void record(json_t *object, const char *key, double value) {
    json_object_set_new(object, key, json_real(value));
}

static void random_tokens(Bench *b) {
    const HostBatch batch = runner_batch(b->session.runner);
    const int64_t T = b->config.training.seq_len, n = b->config.training.batch_size * T;
    float *uniform = malloc((size_t)n * sizeof *uniform);
    CHECK(uniform, "out of memory");
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
    runner_train(b->session.runner, &loss, &targets);
    optimizer_step(b->session.fsdp, &optimizer, update, b->config.optimizer.lr,
                   1 / (double)(targets * b->session.comm->size));
    fsdp_end_step(b->session.fsdp);
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_steps(Bench *b, double flops_per_token) {
    double *seconds = calloc((size_t)b->steps, sizeof *seconds);
    CHECK(seconds, "out of memory");
    for (int64_t s = 0; s < WARM_UP; s++) one_step(b, s + 1);
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

/* Cheap ops that are run again before backward count their second forward too: the rates are of what was really run. */
static void print_ops(Bench *b, Profile *profile, double step_seconds) {
    qsort(profile->op, (size_t)profile->ops, sizeof profile->op[0], compare_profiles);
    json_t *list = json_array();
    double sum = 0;
    log_info("%-22s %10s %10s %8s %10s %10s %10s %8s", "op", "forward ms", "backw. ms", "share %", "fwd GF/s",
             "bwd GF/s", "fwd GB/s", "of peak %");
    for (int i = 0; i < profile->ops; i++) {
        const OpProfile *op = &profile->op[i];
        const double runs = (double)op->forward_runs, backward = op->flops / runs * 2 * (double)op->backward_runs;
        const double forward_rate = op->flops / op->forward_seconds, total = op->forward_seconds + op->backward_seconds;
        const double backward_rate = op->backward_seconds > 0 ? backward / op->backward_seconds : 0;
        const double of_peak = (op->flops + backward) / total / b->peak_rate;
        sum += total;
        log_info("%-22s %10.2f %10.2f %8.1f %10.1f %10.1f %10.1f %8.1f", op->name, op->forward_seconds * 1e3,
                 op->backward_seconds * 1e3, 100 * total / step_seconds, forward_rate / 1e9, backward_rate / 1e9,
                 op->bytes / op->forward_seconds / 1e9, 100 * of_peak);
        json_array_append_new(list, json_pack("{s:s,s:f,s:f,s:f,s:f,s:f}", "op", op->name, "forward_seconds",
                                              op->forward_seconds, "backward_seconds", op->backward_seconds,
                                              "forward_gflops", forward_rate / 1e9, "backward_gflops",
                                              backward_rate / 1e9, "of_peak", of_peak));
    }
    log_info("%-22s %10.2f ms: optimizer, gathers and reductions, copies", "everything else",
             (step_seconds - sum) * 1e3);
    json_object_set_new(b->json, "ops", list);
}

static void profile_step(Bench *b) {
    Profile profile = {0};
    runner_profile(b->session.runner, &profile);
    const double start = seconds_now();
    one_step(b, WARM_UP + b->steps + 1);
    print_ops(b, &profile, seconds_now() - start);
    runner_profile(b->session.runner, NULL);
}

/* Random windows of training.seq_len + 1 tokens from the shuffled stream. */
static Status time_stream(Bench *b) {
    enum { SECONDS = 3, WINDOWS_PER_READ = 8 };
    double rate = 0;
    const int threads = (int)b->config.data.threads;
    const Status status =
        stream_benchmark(b->data_path, b->config.training.seq_len, WINDOWS_PER_READ, threads, SECONDS, &rate);
    if (status != OK) return status;
    log_info("stream       %10.1f M tokens/s  (%d reader threads, %s)", rate / 1e6, threads, b->data_path);
    record(b->json, "stream_tokens_per_second", rate);
    return OK;
}

static Status write_json(const Bench *b) {
    if (!b->json_path || b->session.comm->rank != 0) return OK;
    if (json_dump_file(b->json, b->json_path, JSON_INDENT(2)) == 0) return OK;
    log_error("%s cannot be written", b->json_path);
    return IO_ERROR;
}

static Status run(Bench *b, Comm *comm) {
    Model *model = NULL;
    const Device *device = NULL;
    Status status = session_device(comm, b->config.device, &device);
    if (status != OK) return status;
    config_set_device(&b->config, device->nccl ? "cuda" : "cpu");
    status = agree(comm, model_create(b->config.model, &model));
    if (status != OK) return status;
    const FsdpOptions sharding = setup_sharding(&b->config);
    status = session_open(&b->session, comm, device, model, setup_runner(&b->config), sharding);
    if (status != OK) return status;
    fsdp_initialise(b->session.fsdp, (uint64_t)b->config.training.seed);
    random_tokens(b);
    const MemoryPlan plan = setup_memory(&b->config, model, comm->size, comm->local_size);
    int64_t n = PRODUCT_SIZE;
    b->peak_rate = peak_product_rate(device, sharding.type, &n) * comm->size;
    log_info("products     %10.1f GFLOP/s  (%lld x %lld x %lld, %s, all ranks)", b->peak_rate / 1e9, (long long)n,
             (long long)n, (long long)n, b->config.training.mixed_precision_param);
    record(b->json, "product_gflops", b->peak_rate / 1e9);
    time_steps(b, setup_flops_per_token(&plan, &b->config));
    profile_step(b);
    if (b->data_path) status = agree(comm, time_stream(b));
    return status == OK ? write_json(b) : status;
}

/* Takes this command's own options out of argv; the rest is configuration. */
static Status parse_arguments(Bench *b, int *argc, char **argv) {
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        const bool steps = strcmp(argv[i], "--steps") == 0, json = strcmp(argv[i], "--json") == 0;
        const bool data = strcmp(argv[i], "--data") == 0;
        if (!steps && !json && !data) {
            argv[kept++] = argv[i];
            continue;
        }
        if (++i == *argc) return USAGE;
        if (json) b->json_path = argv[i];
        if (data) b->data_path = argv[i];
        if (steps && (b->steps = strtoll(argv[i], NULL, 10)) <= 0) return USAGE;
    }
    *argc = kept;
    return OK;
}

Status command_bench(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) return print_usage(), OK;
    Bench b = {.steps = 10};
    int rest = argc - 1;
    if (parse_arguments(&b, &rest, argv + 1) != OK) {
        log_error("bench: --steps wants a number of at least 1, --json and --data a file");
        return USAGE;
    }
    Comm *comm = NULL;
    Status status = comm_create(&comm);
    if (status != OK) return status;
    status = agree(comm, config_load(rest, argv + 1, &b.config));
    if (status != OK) {
        comm_destroy(comm);
        return status;
    }
    b.json = json_object();
    status = run(&b, comm);
    json_decref(b.json);
    config_free(&b.config);
    if (b.session.comm)
        session_close(&b.session);
    else
        comm_destroy(comm);
    return status;
}
