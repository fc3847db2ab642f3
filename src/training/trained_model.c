#include "training/trained_model.h"

#include <stdlib.h>

#include "base/files.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/tokenizer_files.h"
#include "checkpoint/weights.h"

Status trained_model_read(const char *checkpoint, Session *session, char **folder) {
    *folder = checkpoint_find(checkpoint);
    const Status status = agree(session->comm, *folder ? OK : BAD_INPUT);
    if (status != OK) return status;
    char *config = path_join(*folder, "config.json");
    const Status read = model_from_file(config, &session->model);
    free(config);
    return agree(session->comm, read);
}

enum { BATCH_BYTES = 4 * sizeof(int32_t) }; /* per token of a batch: the token, its label, segment and position */

static Status check_memory(const Session *session, const Device *device, const RunnerOptions *runner,
                           const char *options) {
    Comm *comm = session->comm;
    const int64_t available = device->available(comm_sharers(comm, device));
    const int64_t least = runner->B * runner->T * BATCH_BYTES; /* planning takes time, which grows with the tokens */
    const int64_t needed = least > available ? least : session_memory(comm, device, session->model, runner);
    if (needed > available && comm->rank == 0)
        log_error(
            "%lld sequences of %lld tokens at a time need %.2f GB on each rank, and %.2f GB are free: lower %s, or "
            "use more ranks",
            (long long)runner->B, (long long)runner->T, (double)needed * 1e-9, (double)available * 1e-9, options);
    return agree(comm, needed > available ? BAD_INPUT : OK);
}

Status trained_model_open(const char *folder, const char *device_name, const RunnerOptions *runner, const char *options,
                          Session *session) {
    const Device *device = NULL;
    Model *model = session->model;
    Status status = session_device(session->comm, device_name, &device);
    if (status == OK) status = check_memory(session, device, runner, options);
    if (status == OK) status = session_open(session, session->comm, device, model, *runner, session_sharding(runner));
    return status == OK ? weights_load(folder, session->comm, model->unit, model->units) : status;
}

Status trained_model_tokenizer(const char *folder, const Model *model, Tokenizer **tokenizer) {
    const int64_t vocabulary = model->config.vocab_size;
    Status status = tokenizer_of_model(folder, tokenizer);
    if (status == OK && !*tokenizer && vocabulary != BYTES_VOCAB_SIZE) {
        log_error("%s: has no tokenizer.json; copy the one of its data there, or give token ids with --ids", folder);
        return BAD_INPUT;
    }
    if (status == OK && !*tokenizer) status = tokenizer_open(NULL, tokenizer);
    if (status != OK || tokenizer_vocab_size(*tokenizer) <= vocabulary) return status;
    log_error("%s: the tokenizer has %lld tokens, the model %lld: they do not belong together", folder,
              (long long)tokenizer_vocab_size(*tokenizer), (long long)vocabulary);
    return BAD_INPUT;
}

int64_t trained_model_first_token(const Model *model) {
    const ModelConfig *config = &model->config;
    const int64_t bos = config->bos_token_id, eos = config->eos_token_id.count > 0 ? config->eos_token_id.item[0] : -1;
    const int64_t token = bos >= 0 ? bos : eos;
    return token < config->vocab_size ? token : -1;
}

Status trained_model_not_finite(const Session *session, const char *checkpoint, DType type, double loss) {
    const Parameter *parameter = weights_not_finite(session->model->unit, session->model->units);
    const Status tensors = comm_worst(session->comm, parameter ? BAD_INPUT : OK);
    if (comm_is_first(session->comm, parameter != NULL))
        log_error("%s: tensor %s has values that are not finite: the loss is %g", checkpoint, parameter->name, loss);
    if (tensors == OK && session->comm->rank == 0)
        log_error("%s: the loss is %g, though all weights are finite%s", checkpoint, loss,
                  type == F32 ? "" : "; try --dtype float32");
    return comm_worst(session->comm, NUMERIC_STOP);
}
