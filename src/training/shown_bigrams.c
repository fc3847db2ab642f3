#include "training/shown_bigrams.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "training/session.h"

static const int64_t BLOCK_TOKENS = 1 << 16; /* tokens read at a time, but at least one window */
static const double SECONDS = 2;             /* between two messages about progress */

/* Called for each token that has a target. */
typedef void See(ShownBigrams *shown, int32_t first, int32_t second);

static void ask(ShownBigrams *shown, int32_t first, int32_t second) { bigrams_add(shown->asked, first, second); }

static void count(ShownBigrams *shown, int32_t first, int32_t second) {
    const int64_t number = bigrams_number(shown->asked, first, second);
    if (number >= 0) shown->times[number]++;
}

/* Calls `see` for all pairs of samples first .. end - 1. `doing` is printed with the share that is done; NULL: nothing
 * is printed. */
static Status read_pairs(ShownBigrams *shown, Stream *stream, int64_t first, int64_t end, See *see, const char *doing) {
    const int64_t T = stream_seq_len(stream), block = BLOCK_TOKENS > T ? BLOCK_TOKENS / T : 1;
    int32_t *tokens = malloc((size_t)(2 * block * T) * sizeof *tokens), *labels = tokens + block * T;
    CHECK_MEMORY(tokens, "no memory for %lld tokens", (long long)(block * T));
    Status status = OK;
    double next = seconds_now() + SECONDS;
    for (int64_t sample = first, samples; sample < end && status == OK; sample += samples) {
        samples = end - sample < block ? end - sample : block;
        status = stream_read(stream, sample, samples, tokens, labels, NULL, NULL);
        for (int64_t i = 0; i < samples * T && status == OK; i++)
            if (labels[i] >= 0) see(shown, tokens[i], labels[i]);
        if (!doing || seconds_now() < next) continue;
        fprintf(stderr, "%s: %.0f %%\n", doing, 100 * (double)(sample - first) / (double)(end - first));
        next = seconds_now() + SECONDS;
    }
    free(tokens);
    return status;
}

Status shown_bigrams_count(Comm *comm, Stream *evaluation, Stream *training, int64_t rare, ShownBigrams **result) {
    ShownBigrams *shown = calloc(1, sizeof *shown);
    CHECK_MEMORY(shown, "no memory for bigrams");
    *shown = (ShownBigrams){.asked = bigrams_create(), .rare = rare};
    *result = shown;
    /* Each rank adds the pairs of the whole evaluation, so that they have the same numbers on all ranks. */
    Status status = agree(comm, read_pairs(shown, evaluation, 0, stream_samples(evaluation), ask, NULL));
    if (status != OK) return status;
    const int64_t pairs = bigrams_count(shown->asked), samples = stream_samples(training);
    shown->times = calloc((size_t)pairs + 1, sizeof *shown->times);
    CHECK_MEMORY(shown->times, "no memory to count %lld bigrams", (long long)pairs);
    const int64_t first = samples * comm->rank / comm->size, end = samples * (comm->rank + 1) / comm->size;
    status = agree(comm, read_pairs(shown, training, first, end, count,
                                    comm->rank == 0 ? "counting pairs of tokens in the training data" : NULL));
    if (status == OK) comm->f->all_reduce_sum(comm, shown->times, pairs);
    return status;
}

void shown_bigrams_free(ShownBigrams *shown) {
    if (!shown) return;
    bigrams_free(shown->asked);
    free(shown->times);
    free(shown);
}

bool shown_bigrams_is_rare(const ShownBigrams *shown, int32_t first, int32_t second) {
    const int64_t number = bigrams_number(shown->asked, first, second);
    CHECK(number >= 0, "a bigram that the evaluation does not ask about");
    return shown->times[number] <= (double)shown->rare;
}
