/* flame-c eval: loss, perplexity and bits per byte of a checkpoint (or any Hugging Face folder of a known model). */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "base/files.h"
#include "checkpoint/weights.h"
#include "training/samples.h"

typedef struct EvalArguments {
    const char *checkpoint, *data;
    int64_t seq_len, batch, samples; /* samples 0: all */
    DType type;
    const char *device;
} EvalArguments;

static void print_usage(void) {
    printf("flame-c eval --checkpoint DIR --data FILE.h5 [--seq-len 2048] [--batch 1] [--samples N] [--dtype "
           "float32|bfloat16]\n"
           "             [--device auto|cpu|cuda]\n\n"
           "DIR is a checkpoint, a run's folder (its newest checkpoint) or a Hugging Face folder. Prints the mean loss "
           "in nats\n"
           "per token, the perplexity, and with the byte tokenizer the bits per byte, over all windows of seq-len "
           "tokens of the\n"
           "file (or the first N). Runs under mpirun too.\n");
}

/* A whole number of at least 1, or 0 if it is not one. */
static int64_t positive(const char *text) {
    char *end = NULL;
    const long long value = strtoll(text, &end, 10);
    return *text && !*end && value > 0 ? value : 0;
}

static Status parse_arguments(EvalArguments *a, int argc, char **argv) {
    static const struct option options[] = {
        {"checkpoint", required_argument, NULL, 'c'}, {"data", required_argument, NULL, 'd'},
        {"seq-len", required_argument, NULL, 's'},    {"batch", required_argument, NULL, 'b'},
        {"samples", required_argument, NULL, 'n'},    {"dtype", required_argument, NULL, 't'},
        {"device", required_argument, NULL, 'v'},     {0}};
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int64_t *number = letter == 's' ? &a->seq_len : letter == 'b' ? &a->batch : letter == 'n' ? &a->samples : NULL;
        if (letter == 'c') a->checkpoint = optarg;
        if (letter == 'd') a->data = optarg;
        if (number && !(*number = positive(optarg))) letter = '?';
        if (letter == 'v' && !session_knows_device(a->device = optarg)) letter = '?';
        if (letter == 't' && strcmp(optarg, "bfloat16") == 0)
            a->type = BF16;
        else if (letter == 't' && strcmp(optarg, "float32") != 0)
            letter = '?';
        if (letter == '?') return USAGE;
    }
    return optind == argc && a->checkpoint && a->data ? OK : USAGE;
}

static Status open_model(const char *folder, const char *device_name, Comm *comm, Session *session,
                         const RunnerOptions *options) {
    char *path = path_join(folder, "config.json");
    Model *model = NULL;
    const Device *device = NULL;
    Status status = session_device(comm, device_name, &device);
    if (status == OK) status = agree(comm, model_from_file(path, &model));
    free(path);
    if (status == OK) status = session_open(session, comm, device, model, *options, session_sharding(options));
    return status == OK ? weights_load(folder, comm, model->unit, model->units) : status;
}

static Status open_checkpoint(const EvalArguments *a, Comm *comm, Session *session, const RunnerOptions *options) {
    char *folder = checkpoint_find(a->checkpoint);
    Status status = agree(comm, folder ? OK : BAD_INPUT);
    if (status == OK) status = open_model(folder, a->device, comm, session, options);
    free(folder);
    return status;
}

static Status open_data(const EvalArguments *a, const Session *session, Stream **stream) {
    StreamOptions options = stream_default_options();
    options.files = &a->data;
    options.file_count = 1;
    options.seq_len = a->seq_len;
    options.shuffle = false;
    options.vocab_size = session->model->config.vocab_size;
    options.rank = session->comm->rank;
    options.world = session->comm->size;
    return stream_open(&options, stream);
}

static void print_result(const EvalArguments *a, const Stream *stream, Evaluation e) {
    const double loss = e.loss_sum / (double)e.targets;
    log_info("checkpoint     %s", a->checkpoint);
    log_info("data           %s", a->data);
    log_info("targets        %lld", (long long)e.targets);
    log_info("loss           %.6f nats per token", loss);
    log_info("perplexity     %.4f", exp(loss));
    if (strcmp(stream_facts(stream)->tokenizer, "bytes") == 0)
        log_info("bits per byte  %.4f", loss / log(2));
    else
        log_info("bits per token %.4f", loss / log(2));
}

Status command_eval(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) return print_usage(), OK;
    EvalArguments a = {.seq_len = 2048, .batch = 1, .type = F32, .device = "auto"};
    if (parse_arguments(&a, argc, argv) != OK) {
        log_error("eval: wants --checkpoint DIR and --data FILE.h5; flame-c eval --help lists the options");
        return USAGE;
    }
    Session session = {0};
    Stream *stream = NULL;
    Comm *comm = NULL;
    Evaluation result;
    const RunnerOptions options = {.type = a.type, .B = a.batch, .T = a.seq_len};
    Status status = comm_create(&comm);
    if (status != OK) return status;
    status = open_checkpoint(&a, comm, &session, &options);
    if (status == OK) status = agree(comm, open_data(&a, &session, &stream));
    if (status == OK) {
        const int64_t all = stream_samples(stream);
        status = evaluate(&session, &options, stream, a.samples && a.samples < all ? a.samples : all, &result);
    }
    if (status == OK) print_result(&a, stream, result);
    stream_close(stream);
    if (session.comm)
        session_close(&session);
    else
        comm_destroy(comm);
    return status;
}
