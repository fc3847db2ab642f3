/* flame-c eval: loss, perplexity and bits per byte of a checkpoint (or any Hugging Face folder of a known model), by
 * domain, by position, and for what has occurred in the context before. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/start.h"
#include "commands/eval_report.h"
#include "commands/output_file.h"
#include "base/log.h"
#include "training/samples.h"
#include "training/text_bytes.h"
#include "training/trained_model.h"

typedef struct EvalArguments {
    Texts data, training_data;
    int64_t rare;
    const char *checkpoint, *json;
    int64_t seq_len, context, batch, samples; /* context 0: seq_len; samples 0: all */
    bool varlen;
    const char *dtype, *device, *share_gpu;
} EvalArguments;

#define AT(field) offsetof(EvalArguments, field)

static const Option options[] = {
    {"checkpoint", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0,
     "a checkpoint, a run's folder (its newest checkpoint) or a Hugging Face folder", AT(checkpoint)},
    {"data", OPTION_TEXTS | OPTION_REQUIRED, "[NAME=]FILE.h5", NULL, 0, 0,
     "the text to score, as tokens: a domain each, with its name in the table", AT(data)},
    {"seq-len", OPTION_INTEGER, "N", "2048", 1, 1e8, "tokens per window", AT(seq_len)},
    {"context", OPTION_INTEGER, "N", NULL, 1, 1e8, "windows of N tokens, of which the model reads --seq-len at a time",
     AT(context)},
    {"varlen", OPTION_FLAG, NULL, NULL, 0, 0, "documents do not see each other, as with training.varlen", AT(varlen)},
    {"training-data", OPTION_TEXTS, "FILE.h5", NULL, 0, 0,
     "what the model was trained on: divides repeated bigrams into those that are rare there and others",
     AT(training_data)},
    {"rare", OPTION_INTEGER, "N", "1250", 0, 1e15, "bigrams that occur there at most N times are rare", AT(rare)},
    {"batch", OPTION_INTEGER, "N", "1", 1, 1e6, "windows per rank and micro-batch", AT(batch)},
    {"samples", OPTION_INTEGER, "N", NULL, 1, 1e15, "score the first N windows of each file only", AT(samples)},
    {"json", OPTION_TEXT, "FILE", NULL, 0, 0, "write all figures to this file, which must not exist", AT(json)},
    {"dtype", OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "type of products and activations", AT(dtype)},
    {"device", OPTION_CHOICE, DEVICES, "auto", 0, 0, "where to compute", AT(device)},
    SHARE_GPU_OPTION(AT(share_gpu)),
};

static int64_t window_tokens(const EvalArguments *a) { return a->context > 0 ? a->context : a->seq_len; }

static Status check_context(const EvalArguments *a) {
    if (window_tokens(a) >= a->seq_len) return OK;
    log_error("--context %lld is less than --seq-len %lld, the tokens that are read at a time", (long long)a->context,
              (long long)a->seq_len);
    return USAGE;
}

/* Splits NAME=FILE. Without NAME= the name is that of the file, without folder and .h5. Folders may have a = in their
 * names. */
static EvalDomain domain_of(const char *text) {
    const char *equals = strchr(text, '='), *slash = strchr(text, '/');
    if (equals && equals > text && (!slash || equals < slash))
        return (EvalDomain){.name = text, .name_bytes = (int)(equals - text), .path = equals + 1};
    slash = strrchr(text, '/');
    const char *name = slash ? slash + 1 : text;
    const size_t length = strlen(name), suffix = strlen(".h5");
    const bool has_suffix = length > suffix && strcmp(name + length - suffix, ".h5") == 0;
    return (EvalDomain){.name = name, .name_bytes = (int)(has_suffix ? length - suffix : length), .path = text};
}

static bool same_name(const EvalDomain *a, const EvalDomain *b) {
    return a->name_bytes == b->name_bytes && memcmp(a->name, b->name, (size_t)a->name_bytes) == 0;
}

static Status name_domains(const EvalArguments *a, EvalDomain *domain) {
    for (int d = 0; d < a->data.count; d++) {
        domain[d] = domain_of(a->data.item[d]);
        for (int other = 0; other < d; other++) {
            if (!same_name(&domain[other], &domain[d])) continue;
            log_error("--data: %s and %s are both called %.*s; give names, as NAME=FILE.h5", domain[other].path,
                      domain[d].path, domain[d].name_bytes, domain[d].name);
            return BAD_INPUT;
        }
    }
    return OK;
}

static Status open_files(const EvalArguments *a, const char *const *files, int count, const Session *session,
                         Stream **stream) {
    StreamOptions wanted = stream_default_options();
    wanted.files = files;
    wanted.file_count = count;
    wanted.seq_len = window_tokens(a);
    wanted.shuffle = false;
    wanted.concatenate = true;
    wanted.varlen = a->varlen;
    wanted.vocab_size = session->model->config.vocab_size;
    const Status status = samples_open(session->comm, &wanted, stream);
    return status == OK ? samples_compare(session->comm, *stream, count) : status;
}

static Status open_data(const EvalArguments *a, const EvalDomain *domain, const Session *session, Stream **stream) {
    const char *files[a->data.count];
    for (int d = 0; d < a->data.count; d++) files[d] = domain[d].path;
    return open_files(a, files, a->data.count, session, stream);
}

/* Refuses training data of another tokenizer, in which pairs of tokens would mean something else. */
static Status compare_tokenizers(const EvalArguments *a, const StreamFacts *data, const StreamFacts *training) {
    if (strcmp(data->tokenizer, training->tokenizer) == 0 &&
        strcmp(data->tokenizer_sha256, training->tokenizer_sha256) == 0)
        return OK;
    log_error("%s: made with tokenizer %s, but %s with another, %s", a->training_data.item[0], training->tokenizer,
              a->data.item[0], data->tokenizer);
    return BAD_INPUT;
}

/* Counts bigrams in the training data, if those are given. */
static Status count_shown(const EvalArguments *a, const Session *session, Stream *data, ShownBigrams **shown) {
    Stream *training = NULL;
    if (a->training_data.count == 0) return OK;
    Status status =
        open_files(a, (const char *const *)a->training_data.item, a->training_data.count, session, &training);
    if (status == OK) status = agree(session->comm, compare_tokenizers(a, stream_facts(data), stream_facts(training)));
    if (status == OK) status = shown_bigrams_count(session->comm, data, training, a->rare, shown);
    stream_close(training);
    return status;
}

/* Warns if the data's end token is not one of the model's: data of another tokenizer give a meaningless loss. */
static void compare_marks(const EvalDomain *domain, const Session *session, const Stream *stream) {
    const int64_t eos = stream_facts(stream)->eos_token_id;
    if (eos < 0 || session->comm->rank != 0 || model_config_has_eos(&session->model->config, eos)) return;
    log_warning(
        "%s: documents end with token %lld, which is not an eos_token_id in the checkpoint's config.json: was the "
        "model trained with another tokenizer?",
        domain->path, (long long)eos);
}

/* Opens the data's tokenizer for bits per byte; NULL if it is not known or cannot be used. */
static Tokenizer *find_tokenizer(const Session *session, const Stream *stream) {
    Tokenizer *tokenizer = NULL;
    if (agree(session->comm, stream_tokenizer(stream, &tokenizer)) == OK) return tokenizer;
    if (session->comm->rank == 0) log_warning("without the data's tokenizer, bits are given per token");
    tokenizer_close(tokenizer);
    return NULL;
}

/* The state of an evaluation's witness. */
typedef struct Counting {
    Tallies *tallies;
    TextBytes *bytes; /* NULL: not known */
    Bigrams *seen;
    const ShownBigrams *shown; /* NULL: not known */
    int64_t B, T;
} Counting;

static void see(void *state, HostBatch batch, TokenScores scores) {
    const Counting *c = state;
    const int32_t *bytes = c->bytes ? text_bytes_of(c->bytes, batch) : NULL;
    tally_batch(c->tallies, batch, scores, c->B, c->T, bytes, c->seen, c->shown);
}

/* Scores each domain, one after another. */
static Status score_domains(const EvalArguments *a, Session *session, const RunnerOptions *runner, Stream *stream,
                            const Tokenizer *tokenizer, const ShownBigrams *shown, EvalDomain *domain) {
    Counting counting = {.seen = bigrams_create(), .shown = shown, .B = a->batch, .T = window_tokens(a)};
    const Witness witness = {see, &counting};
    if (tokenizer) counting.bytes = text_bytes_create(tokenizer, counting.B, counting.T);
    Status status = OK;
    for (int64_t d = 0, first = 0; d < a->data.count && status == OK; d++) {
        const int64_t all = stream_file_samples(stream, (int)d);
        Evaluation result;
        domain[d].windows = a->samples && a->samples < all ? a->samples : all;
        domain[d].tokens = stream_file(stream, (int)d)->tokens;
        domain[d].left_out = domain[d].tokens - 1 - domain[d].windows * counting.T;
        counting.tallies = &domain[d].tallies;
        status = evaluate(session, runner, stream, first, first + domain[d].windows, &witness, &result);
        if (status == OK && !isfinite(result.loss_sum))
            status = trained_model_not_finite(session, a->checkpoint, runner->type, result.loss_sum);
        if (status == OK) tally_reduce(&domain[d].tallies, session->comm);
        first += all;
    }
    text_bytes_free(counting.bytes);
    bigrams_free(counting.seen);
    return status;
}

static Status report(const EvalArguments *a, Comm *comm, EvalDomain *domain, bool bytes_known) {
    const EvalReport report = {.checkpoint = a->checkpoint,
                               .dtype = a->dtype,
                               .seq_len = a->seq_len,
                               .context = window_tokens(a),
                               .varlen = a->varlen,
                               .bytes_known = bytes_known,
                               .shown_known = a->training_data.count > 0,
                               .rare = a->rare,
                               .domain = domain,
                               .domains = a->data.count};
    eval_report_print(&report);
    return agree(comm, a->json && comm->rank == 0 ? eval_report_write(&report, a->json) : OK);
}

static Status evaluate_model(const EvalArguments *a, Session *session, const char *folder, EvalDomain *domain) {
    const RunnerOptions runner = {.type = dtype_named(a->dtype),
                                  .B = a->batch,
                                  .T = a->seq_len,
                                  .margins = true,
                                  .tokens = a->context > a->seq_len ? a->context : 0};
    Stream *stream = NULL;
    Tokenizer *tokenizer = NULL;
    ShownBigrams *shown = NULL;
    Status status = trained_model_open(folder, a->device, &runner, "--batch or --seq-len", session);
    if (status == OK) status = open_data(a, domain, session, &stream);
    if (status == OK) status = count_shown(a, session, stream, &shown);
    if (status == OK) {
        compare_marks(domain, session, stream);
        tokenizer = find_tokenizer(session, stream);
        status = score_domains(a, session, &runner, stream, tokenizer, shown, domain);
    }
    if (status == OK) status = report(a, session->comm, domain, tokenizer != NULL);
    shown_bigrams_free(shown);
    stream_close(stream);
    tokenizer_close(tokenizer);
    return status;
}

static Status run(void *values) {
    const EvalArguments *a = values;
    Session session = {0};
    EvalDomain *domain = calloc((size_t)a->data.count, sizeof *domain);
    char *folder = NULL;
    CHECK_MEMORY(domain, "no memory for domains");
    comm_configure(a->share_gpu, COMM_TIMEOUT);
    Status status = command_start(&eval_command, a, &session.comm);
    if (status == OK) {
        status = agree(session.comm, check_context(a));
        if (status == OK) status = agree(session.comm, name_domains(a, domain));
        if (status == OK) status = output_prepare(session.comm, "json", a->json);
        if (status == OK) status = trained_model_read(a->checkpoint, &session, &folder);
        if (status == OK) status = evaluate_model(a, &session, folder, domain);
        session_close(&session);
    }
    free(folder);
    free(domain);
    return status;
}

const Command eval_command = {
    .name = "eval",
    .summary = "loss, perplexity and bits per byte of a checkpoint on data sets",
    .text = "Prints, over all windows of each file: the mean loss in nats per token, the perplexity, bits per byte\n"
            "(if the data have their tokenizer) or per token, and how often the right token is the most likely one; "
            "the same\n"
            "of the tokens that complete a pair of tokens which their context contains already, and of all others;\n"
            "the loss by position in the window (with --varlen: in the document). Runs under mpirun too.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(EvalArguments),
    .run = run,
};
