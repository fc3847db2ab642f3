#include "training/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/draws.h"

enum { PIECE = 1024 }; /* most tokens of a prompt that are read at a time */

/* A sequence: its prompt, followed by what has been generated. */
typedef struct Text {
    int32_t *token;
    int64_t count, room;
    int64_t padding; /* padding tokens in front of it */
    Draws draws;
} Text;

struct Generation {
    Runner *runner;
    GenerationOptions options;
    int64_t sequences;     /* the runner's B */
    int64_t longest, done; /* tokens of the longest prompt; tokens of each sequence that the model has read */
    int64_t piece;         /* most tokens of a call */
    int64_t steps;
    Text *text;
    int32_t *next; /* [sequences] */
    Sampler *sampler;
    float *logits; /* [sequences, vocabulary], of the next tokens */
    int64_t vocabulary;
};

static void text_add(Text *text, int32_t token) {
    if (text->count == text->room) {
        text->room = 2 * text->room + 64;
        text->token = realloc(text->token, (size_t)text->room * sizeof *text->token);
        CHECK_MEMORY(text->token, "out of memory for a text of %lld tokens", (long long)text->room);
    }
    text->token[text->count++] = token;
}

static int64_t longest_of(const TokenIds prompts[], int64_t count) {
    int64_t longest = 0;
    for (int64_t i = 0; i < count; i++)
        if (prompts[i].count > longest) longest = prompts[i].count;
    return longest;
}

RunnerOptions generation_runner(DType type, int64_t count, int64_t longest, int64_t more) {
    return (RunnerOptions){.type = type, .B = count, .T = longest < PIECE ? longest : PIECE, .tokens = longest + more};
}

Generation *generation_begin(Runner *runner, const TokenIds prompts[], int64_t count, GenerationOptions options) {
    const RunnerShape shape = runner_shape(runner);
    Generation *generation = calloc(1, sizeof *generation);
    CHECK_MEMORY(generation, "no memory to generate texts");
    CHECK(count > 0 && count <= shape.B, "%lld prompts for %lld sequences", (long long)count, (long long)shape.B);
    *generation = (Generation){.runner = runner,
                               .options = options,
                               .sequences = shape.B,
                               .longest = longest_of(prompts, count),
                               .piece = shape.T,
                               .vocabulary = shape.vocabulary};
    generation->text = calloc((size_t)shape.B, sizeof *generation->text);
    generation->logits = malloc((size_t)(shape.B * shape.vocabulary) * sizeof *generation->logits);
    generation->next = malloc((size_t)shape.B * sizeof *generation->next);
    CHECK_MEMORY(generation->text && generation->logits && generation->next, "out of memory for %lld sequences",
                 (long long)shape.B);
    for (int64_t b = 0; b < shape.B; b++) {
        const TokenIds *prompt = &prompts[b < count ? b : 0]; /* a sequence without a prompt repeats the first */
        CHECK(prompt->count > 0, "an empty prompt");
        generation->text[b].padding = generation->longest - prompt->count;
        generation->text[b].draws = draws_begin(options.seed, "generation", options.first + b);
        for (int64_t i = 0; i < prompt->count; i++) text_add(&generation->text[b], (int32_t)prompt->id[i]);
    }
    generation->sampler = sampler_create(options.sampling, shape.vocabulary);
    runner_restart(runner);
    return generation;
}

void generation_end(Generation *generation) {
    if (!generation) return;
    for (int64_t b = 0; b < generation->sequences; b++) free(generation->text[b].token);
    free(generation->text);
    free(generation->logits);
    free(generation->next);
    sampler_destroy(generation->sampler);
    free(generation);
}

/* Lets the model read the next T tokens of each sequence. */
static void read_tokens(Generation *generation, int64_t T) {
    runner_set_tokens(generation->runner, T);
    const HostBatch batch = runner_batch(generation->runner);
    for (int64_t i = 0; i < generation->sequences * T; i++) {
        const Text *text = &generation->text[i / T];
        const int64_t at = generation->done + i % T, within = at - text->padding;
        const bool inside = within >= 0;
        batch.tokens[i] = inside ? text->token[within] : 0;
        batch.labels[i] = -100;
        batch.segment[i] = inside;
        batch.position[i] = (int32_t)(inside ? within : at);
    }
    runner_continue(generation->runner, generation->logits);
    generation->done += T;
}

bool generation_read(Generation *generation, int64_t *read, int64_t *all) {
    const int64_t left = generation->longest - generation->done;
    if (left > 0) read_tokens(generation, left < generation->piece ? left : generation->piece);
    *read = generation->done;
    *all = generation->longest;
    return *read < *all;
}

const int32_t *generation_step(Generation *generation) {
    CHECK(generation->done >= generation->longest, "the prompts are not read yet");
    if (generation->steps > 0) read_tokens(generation, 1);
    for (int64_t b = 0; b < generation->sequences; b++) {
        Text *text = &generation->text[b];
        const int32_t token = sampler_draw(generation->sampler, generation->logits + b * generation->vocabulary,
                                           text->token, text->count, draw_unit(&text->draws));
        if (token < 0) return NULL;
        text_add(text, token);
        generation->next[b] = token;
    }
    generation->steps++;
    return generation->next;
}
