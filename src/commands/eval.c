/* flame-c eval: loss, perplexity and bits per byte of a checkpoint (or any Hugging Face folder of a known model). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "parallel/agreement.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "base/files.h"
#include "checkpoint/weights.h"
#include "training/samples.h"

typedef struct EvalArguments {
    const char *checkpoint, *data;
    int64_t seq_len, batch, samples; /* samples 0: all */
    const char *dtype, *device, *share_gpu;
} EvalArguments;

#define AT(field) offsetof(EvalArguments, field)

static const Option options[] = {
    {"checkpoint", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0,
     "a checkpoint, a run's folder (its newest checkpoint) or a Hugging Face folder", AT(checkpoint)},
    {"data", OPTION_TEXT | OPTION_REQUIRED, "FILE.h5", NULL, 0, 0, "the text to score, as tokens", AT(data)},
    {"seq-len", OPTION_INTEGER, "N", "2048", 1, 1e8, "tokens per window", AT(seq_len)},
    {"batch", OPTION_INTEGER, "N", "1", 1, 1e6, "windows per rank and micro-batch", AT(batch)},
    {"samples", OPTION_INTEGER, "N", NULL, 1, 1e15, "score the first N windows only", AT(samples)},
    {"dtype", OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "type of products and activations", AT(dtype)},
    {"device", OPTION_CHOICE, DEVICES, "auto", 0, 0, "where to compute", AT(device)},
    SHARE_GPU_OPTION(AT(share_gpu)),
};

static Status open_model(const char *folder, const char *device_name, Comm *comm, Session *session,
                         const RunnerOptions *runner) {
    char *path = path_join(folder, "config.json");
    Model *model = NULL;
    const Device *device = NULL;
    Status status = session_device(comm, device_name, &device);
    if (status == OK) status = agree(comm, model_from_file(path, &model));
    free(path);
    if (status == OK) status = session_open(session, comm, device, model, *runner, session_sharding(runner));
    return status == OK ? weights_load(folder, comm, model->unit, model->units) : status;
}

static Status open_checkpoint(const EvalArguments *a, Comm *comm, Session *session, const RunnerOptions *runner) {
    char *folder = checkpoint_find(a->checkpoint);
    Status status = agree(comm, folder ? OK : BAD_INPUT);
    if (status == OK) status = open_model(folder, a->device, comm, session, runner);
    free(folder);
    return status;
}

static Status open_data(const EvalArguments *a, const Session *session, Stream **stream) {
    StreamOptions wanted = stream_default_options();
    wanted.files = &a->data;
    wanted.file_count = 1;
    wanted.seq_len = a->seq_len;
    wanted.shuffle = false;
    wanted.vocab_size = session->model->config.vocab_size;
    return samples_open(session->comm, &wanted, stream);
}

/* Warns if the data's end token is not one of the model's: data of another tokenizer give a meaningless loss. */
static void compare_marks(const EvalArguments *a, const Session *session, const Stream *stream) {
    const int64_t eos = stream_facts(stream)->eos_token_id;
    if (eos < 0 || session->comm->rank != 0 || model_config_has_eos(&session->model->config, eos)) return;
    log_warning(
        "%s: documents end with token %lld, which is not an eos_token_id in the checkpoint's config.json: was the "
        "model trained with another tokenizer?",
        a->data, (long long)eos);
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

/* Logs why the loss is not finite: a tensor whose values are not, or the computation. Returns the exit code.
 * Collective. */
static Status refuse_loss(const EvalArguments *a, const Session *session, double loss) {
    const Parameter *parameter = weights_not_finite(session->model->unit, session->model->units);
    const Status tensors = comm_worst(session->comm, parameter ? BAD_INPUT : OK);
    if (comm_is_first(session->comm, parameter != NULL))
        log_error("%s: tensor %s has values that are not finite: the loss is %g", a->checkpoint, parameter->name, loss);
    if (tensors == OK && session->comm->rank == 0)
        log_error("%s: the loss is %g, though all weights are finite%s", a->checkpoint, loss,
                  strcmp(a->dtype, "float32") == 0 ? "" : "; try --dtype float32");
    return comm_worst(session->comm, NUMERIC_STOP);
}

static Status compare_arguments(const EvalArguments *a, Comm *comm) {
    Agreement *agreement = agreement_begin();
    agreement_add(agreement, "--checkpoint", "%s", a->checkpoint);
    agreement_add(agreement, "--data", "%s", a->data);
    agreement_add(agreement, "--seq-len", "%lld", (long long)a->seq_len);
    agreement_add(agreement, "--batch", "%lld", (long long)a->batch);
    agreement_add(agreement, "--samples", "%lld", (long long)a->samples);
    agreement_add(agreement, "--dtype", "%s", a->dtype);
    agreement_add(agreement, "--device", "%s", a->device);
    return agreement_end(agreement, comm, "start all ranks with the same arguments");
}

static Status run(void *values) {
    const EvalArguments *a = values;
    Session session = {0};
    Stream *stream = NULL;
    Comm *comm = NULL;
    comm_configure(a->share_gpu, COMM_TIMEOUT);
    Evaluation result;
    const RunnerOptions runner = {.type = dtype_named(a->dtype), .B = a->batch, .T = a->seq_len};
    Status status = agreement_start("eval", &comm);
    if (status != OK) return status;
    status = compare_arguments(a, comm);
    if (status == OK) status = open_checkpoint(a, comm, &session, &runner);
    if (status == OK) status = open_data(a, &session, &stream);
    if (status == OK) status = samples_compare(comm, stream, 1);
    if (status == OK) {
        compare_marks(a, &session, stream);
        const int64_t all = stream_samples(stream);
        status = evaluate(&session, &runner, stream, a->samples && a->samples < all ? a->samples : all, &result);
    }
    if (status == OK && !isfinite(result.loss_sum)) status = refuse_loss(a, &session, result.loss_sum);
    if (status == OK) print_result(a, stream, result);
    stream_close(stream);
    if (session.comm)
        session_close(&session);
    else
        comm_destroy(comm);
    return status;
}

const Command eval_command = {
    .name = "eval",
    .summary = "loss, perplexity and bits per byte of a checkpoint on a data set",
    .text =
        "Prints the mean loss in nats per token, the perplexity, and with the byte tokenizer the bits per byte, over\n"
        "all windows of the file. Runs under mpirun too.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(EvalArguments),
    .run = run,
};
