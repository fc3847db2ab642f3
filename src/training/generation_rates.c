#include "training/generation_rates.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/draws.h"
#include "training/generation.h"

static TokenIds *random_prompts(int64_t B, int64_t length, int64_t vocabulary) {
    TokenIds *prompts = calloc((size_t)B, sizeof *prompts);
    CHECK_MEMORY(prompts, "out of memory");
    for (int64_t b = 0; b < B; b++) {
        Draws draws = draws_begin(0, "bench prompts", b);
        for (int64_t t = 0; t < length; t++) token_ids_add(&prompts[b], (uint32_t)draw_below(&draws, vocabulary));
    }
    return prompts;
}

static double time_reading(Generation *generation, const Device *device) {
    int64_t read, all;
    const double start = seconds_now();
    while (generation_read(generation, &read, &all)) continue;
    device->synchronize();
    return seconds_now() - start;
}

static double time_tokens(Generation *generation, int64_t count) {
    const double start = seconds_now();
    for (int64_t t = 0; t < count; t++) generation_step(generation);
    return seconds_now() - start;
}

GenerationRates generation_rates(const Session *session, DType type, int64_t B, int64_t prompt, int64_t count) {
    const RunnerOptions options = generation_runner(type, B, prompt, GENERATION_WARM_UP + count);
    const GenerationOptions greedy = {.sampling = {.repetition_penalty = 1, .top_p = 1}};
    TokenIds *prompts = random_prompts(B, prompt, session->model->config.vocab_size);
    fsdp_end_step(session->fsdp); /* drops gathered parameters, which planning the new runner would overwrite */
    Runner *runner = runner_create(session->model, session->fsdp, session->device, options);
    GenerationRates rates = {0};
    for (int run = 0; run < 2; run++) { /* the first run lets libraries prepare their products */
        Generation *generation = generation_begin(runner, prompts, B, greedy);
        rates.read = (double)(B * prompt) / time_reading(generation, session->device);
        if (run == 1) {
            time_tokens(generation, GENERATION_WARM_UP);
            rates.generated = (double)(B * count) / time_tokens(generation, count);
        }
        generation_end(generation);
    }
    rates.carried_bytes = runner_carried_bytes(runner);
    runner_destroy(runner);
    for (int64_t b = 0; b < B; b++) free(prompts[b].id);
    free(prompts);
    return rates;
}
