/* flame-c score: how likely a checkpoint's model considers given continuations, which is what lm-evaluation-harness
 * asks. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/start.h"
#include "commands/output_file.h"
#include "base/crc.h"
#include "base/log.h"
#include "base/number.h"
#include "parallel/agreement.h"
#include "training/scoring.h"
#include "training/trained_model.h"

typedef struct ScoreArguments {
    const char *checkpoint, *input, *out;
    int64_t seq_len, batch_tokens;
    bool token_logprobs, ids;
    const char *dtype, *device, *share_gpu;
} ScoreArguments;

#define AT(field) offsetof(ScoreArguments, field)

static const Option options[] = {
    {"checkpoint", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0,
     "a checkpoint, a run's folder (its newest checkpoint) or a Hugging Face folder", AT(checkpoint)},
    {"input", OPTION_TEXT | OPTION_REQUIRED, "FILE.jsonl", NULL, 0, 0, "what to score: a JSON object per line",
     AT(input)},
    {"out", OPTION_TEXT | OPTION_REQUIRED, "FILE.jsonl", NULL, 0, 0, "the file to write, which must not exist",
     AT(out)},
    {"seq-len", OPTION_INTEGER, "N", "2048", 1, 1e8,
     "most tokens that the model reads; longer contexts are cut on the left", AT(seq_len)},
    {"batch-tokens", OPTION_INTEGER, "N", "8192", 1, 1e9, "tokens per rank and micro-batch", AT(batch_tokens)},
    {"token-logprobs", OPTION_FLAG, NULL, NULL, 0, 0, "also write the logarithm of each token's probability",
     AT(token_logprobs)},
    {"ids", OPTION_FLAG, NULL, NULL, 0, 0, "all contexts and continuations are lists of tokens: no tokenizer is needed",
     AT(ids)},
    {"dtype", OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "type of products and activations", AT(dtype)},
    {"device", OPTION_CHOICE, DEVICES, "auto", 0, 0, "where to compute", AT(device)},
    SHARE_GPU_OPTION(AT(share_gpu)),
};

static Status read_requests(const ScoreArguments *a, const char *folder, const Session *session, Requests *requests) {
    const Model *model = session->model;
    Tokenizer *tokenizer = NULL;
    Status status = a->ids ? OK : trained_model_tokenizer(folder, model, &tokenizer);
    if (status == OK) {
        const RequestsOptions wanted = {
            .vocab_size = model->config.vocab_size, .prefix = trained_model_first_token(model), .tokenizer = tokenizer};
        status = requests_read(a->input, &wanted, requests);
    }
    tokenizer_close(tokenizer);
    status = agree(session->comm, status);
    if (status != OK) return status;
    Agreement *agreement = agreement_begin();
    agreement_add(agreement, a->input, "%lld requests, %08" PRIx32, (long long)requests->count,
                  crc_update(0, requests->token, requests->tokens * (int64_t)sizeof *requests->token));
    return agreement_end(agreement, session->comm, "let all hosts see the same file");
}

static void print_tokens(FILE *file, const double *loss, int64_t targets) {
    char number[NUMBER_TEXT];
    fputs(", \"token_logprobs\": [", file);
    for (int64_t t = 0; t < targets; t++) fprintf(file, "%s%s", t ? ", " : "", number_format(0 - loss[t], number));
    fputc(']', file);
}

static Status write_scores(const ScoreArguments *a, const Requests *requests, const Scores *scores) {
    char *text = NULL, number[NUMBER_TEXT];
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    CHECK_MEMORY(file, "no memory for scores");
    const double *loss = scores->loss;
    for (int64_t i = 0; i < requests->count; i++) {
        const int64_t targets = requests->request[i].count - requests->request[i].given;
        double sum = 0;
        for (int64_t t = 0; t < targets; t++) sum += loss[t];
        fprintf(file, "{\"logprob\": %s, \"tokens\": %lld, \"greedy\": %s", number_format(0 - sum, number),
                (long long)targets, scores->misses[i] == 0 ? "true" : "false");
        if (a->token_logprobs) print_tokens(file, loss, targets);
        fputs("}\n", file);
        loss += targets;
    }
    CHECK_MEMORY(fclose(file) == 0, "no memory for scores");
    const Status status = output_write(a->out, text, (int64_t)size);
    free(text);
    return status;
}

static double sum_of(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    return sum;
}

static Status score(const ScoreArguments *a, const char *folder, Session *session, const Requests *requests) {
    Comm *comm = session->comm;
    Scoring *scoring = scoring_plan(requests, a->seq_len, a->batch_tokens, comm->size);
    RunnerOptions runner = scoring_runner(scoring);
    runner.type = dtype_named(a->dtype);
    Status status = trained_model_open(folder, a->device, &runner, "--batch-tokens or --seq-len", session);
    if (status == OK) {
        if (scoring_cut(scoring) > 0 && comm->rank == 0)
            log_warning("%s: %lld requests are longer than --seq-len %lld and lost their first tokens", a->input,
                        (long long)scoring_cut(scoring), (long long)a->seq_len);
        Scores scores = scoring_run(scoring, session);
        const double loss = sum_of(scores.loss, requests->targets);
        if (!isfinite(loss)) status = trained_model_not_finite(session, a->checkpoint, runner.type, loss);
        if (status == OK) status = agree(comm, comm->rank == 0 ? write_scores(a, requests, &scores) : OK);
        if (status == OK)
            log_info("%s: %lld requests, %lld tokens, %.6f nats per token", a->out, (long long)requests->count,
                     (long long)requests->targets, loss / (double)requests->targets);
        scores_free(&scores);
    }
    scoring_free(scoring);
    return status;
}

static Status run(void *values) {
    const ScoreArguments *a = values;
    Session session = {0};
    Requests requests = {0};
    char *folder = NULL;
    comm_configure(a->share_gpu, COMM_TIMEOUT);
    Status status = command_start(&score_command, a, &session.comm);
    if (status == OK) {
        status = output_prepare(session.comm, "out", a->out);
        if (status == OK) status = trained_model_read(a->checkpoint, &session, &folder);
        if (status == OK) status = read_requests(a, folder, &session, &requests);
        if (status == OK) status = score(a, folder, &session, &requests);
        session_close(&session);
    }
    requests_free(&requests);
    free(folder);
    return status;
}

const Command score_command = {
    .name = "score",
    .summary = "log-likelihoods of given continuations, for lm-evaluation-harness and others",
    .text = "Reads a JSON object per line: {\"context\": C, \"continuation\": D}, or {\"text\": D} for a whole text.\n"
            "C and D are strings or lists of tokens. Writes a line for each, in the same order: {\"logprob\": the\n"
            "logarithm of D's probability after C, in nats, \"tokens\": how many tokens D has, \"greedy\": whether\n"
            "each of them is the most likely one}. Before an empty C and before a whole text, the model reads its\n"
            "bos_token_id, or its eos_token_id if it has none. A D of more than --seq-len tokens is scored in\n"
            "windows of that many. Runs under mpirun too.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(ScoreArguments),
    .run = run,
};
