#include "training/previews.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/activity.h"
#include "base/log.h"
#include "base/signals.h"
#include "text/continuation.h"
#include "text/utf8.h"
#include "training/generation.h"
#include "training/setup.h"
#include "training/trained_model.h"

struct Previews {
    const TrainConfig *config;
    const Session *session;
    Runner *runner;
    Tokenizer *tokenizer;
    TokenIds *prompt; /* one for each of metrics.sample_prompts */
    int64_t count;
    int64_t longest; /* the most tokens that a prompt may have */
};

static Status refuse(int64_t number, const char *text, const char *what) {
    log_error("metrics.sample_prompts: prompt %lld, \"%.40s\", %s", (long long)number + 1, text, what);
    return BAD_INPUT;
}

static Status read_prompt(Previews *previews, TokenEncoder *encoder, int64_t number) {
    const Model *model = previews->session->model;
    const char *text = previews->config->metrics.sample_prompts.item[number];
    const int64_t bytes = (int64_t)strlen(text), first = trained_model_first_token(model);
    TokenIds *ids = &previews->prompt[number];
    if (utf8_valid(text, bytes) < bytes) return refuse(number, text, "is not UTF-8");
    const Status status = tokenizer_encode(encoder, text, bytes, true, ids);
    if (status != OK)
        log_error("metrics.sample_prompts: prompt %lld: %s", (long long)number + 1, token_encoder_reason(encoder));
    if (status != OK) return status;
    if (ids->count == 0 && first < 0)
        return refuse(number, text, "has no tokens, and the model has no token that begins a text");
    if (ids->count == 0) token_ids_add(ids, (uint32_t)first);
    if (ids->count > previews->longest) return refuse(number, text, "has more tokens than bytes");
    for (int64_t i = 0; i < ids->count; i++)
        if (ids->id[i] >= model->config.vocab_size)
            return refuse(number, text, "has tokens beyond model.vocab_size: the tokenizer is another model's");
    return OK;
}

static Status read_prompts(Previews *previews, const Saver *saver) {
    Status status = saver_tokenizer(saver, &previews->tokenizer);
    if (status == OK && !previews->tokenizer) {
        log_error("metrics.sample_prompts: the data have no tokenizer. Build them with flame-c data build or "
                  "tools/prepare.py, which put it into the file, or leave the prompts out");
        status = BAD_INPUT;
    }
    if (status != OK) return status;
    TokenEncoder *encoder = token_encoder_create(previews->tokenizer);
    for (int64_t i = 0; i < previews->count && status == OK; i++) status = read_prompt(previews, encoder, i);
    token_encoder_free(encoder);
    return status;
}

Status previews_create(const TrainConfig *config, const Session *session, const Saver *saver, Previews **result) {
    const RunnerOptions options = setup_previews(config);
    Status status = OK;
    if (options.B == 0) return OK;
    Previews *previews = calloc(1, sizeof *previews);
    CHECK_MEMORY(previews, "no memory for prompts");
    *result = previews;
    *previews = (Previews){.config = config,
                           .session = session,
                           .count = options.B,
                           .longest = options.tokens - config->metrics.sample_tokens};
    previews->prompt = calloc((size_t)previews->count, sizeof *previews->prompt);
    CHECK_MEMORY(previews->prompt, "no memory for prompts");
    status = agree(session->comm, read_prompts(previews, saver));
    if (status == OK) previews->runner = runner_create(session->model, session->fsdp, session->device, options);
    return status;
}

void previews_free(Previews *previews) {
    if (!previews) return;
    runner_destroy(previews->runner);
    tokenizer_close(previews->tokenizer);
    for (int64_t i = 0; i < previews->count; i++) free(previews->prompt[i].id);
    free(previews->prompt);
    free(previews);
}

static bool told_to_stop(Comm *comm) {
    double now = (signals_requested() & SIGNAL_NOW) != 0;
    comm->f->all_reduce_max(comm, &now, 1);
    return now > 0;
}

/* Generates tokens: [sample_tokens, count]. Every rank takes all steps, even if its texts have ended, since each step
 * is collective. Returns whether all steps were taken. */
static bool go_on(const Previews *previews, int32_t *tokens) {
    const MetricsConfig *c = &previews->config->metrics;
    const GenerationOptions options = {
        .sampling = {.repetition_penalty = 1, .top_p = 1, .temperature = c->sample_temperature},
        .seed = (uint64_t)previews->config->training.seed};
    Generation *generation = generation_begin(previews->runner, previews->prompt, previews->count, options);
    int64_t read, all, steps = 0;
    while (generation_read(generation, &read, &all)) continue;
    for (; steps < c->sample_tokens && !told_to_stop(previews->session->comm); steps++) {
        const int32_t *next = generation_step(generation);
        if (!next) break;
        memcpy(tokens + steps * previews->count, next, (size_t)previews->count * sizeof *tokens);
    }
    generation_end(generation);
    return steps == c->sample_tokens;
}

/* The continuation of prompt `number`: its tokens as text, up to one that ends it. The caller frees it. */
static Continuation continuation_of(const Previews *previews, int64_t number, const int32_t *tokens) {
    const int64_t most = previews->config->metrics.sample_tokens;
    Continuation continuation = continuation_begin(previews->tokenizer, &previews->prompt[number], most);
    for (int64_t t = 0; t < most; t++) {
        const int32_t token = tokens[t * previews->count + number];
        continuation_add(&continuation, (uint32_t)token,
                         model_config_has_eos(&previews->session->model->config, token));
    }
    return continuation;
}

static void report(const Previews *previews, const int32_t *tokens, const Progress *progress, Metrics *metrics) {
    for (int64_t i = 0; i < previews->count; i++) {
        const char *prompt = previews->config->metrics.sample_prompts.item[i];
        Preview preview = {.step = progress->step,
                           .tokens = progress->tokens,
                           .number = i + 1,
                           .prompt = prompt,
                           .prompt_bytes = (int64_t)strlen(prompt)};
        Continuation continuation = continuation_of(previews, i, tokens);
        preview.text = continuation.text;
        preview.text_bytes = continuation.bytes;
        metrics_preview(metrics, &preview);
        continuation_free(&continuation);
    }
}

void previews_show(const Previews *previews, const Progress *progress, Metrics *metrics) {
    if (!previews) return;
    int32_t *tokens = calloc((size_t)(previews->config->metrics.sample_tokens * previews->count), sizeof *tokens);
    CHECK_MEMORY(tokens, "no memory for texts");
    activity_set("going on with prompts");
    if (go_on(previews, tokens) && metrics) report(previews, tokens, progress, metrics);
    activity_set("computing");
    free(tokens);
}
