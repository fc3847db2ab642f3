#include "training/sampling.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

typedef struct Candidate {
    int32_t token;
    float logit;
} Candidate;

struct Sampler {
    SamplingOptions options;
    int64_t vocabulary;
    Candidate *candidate;
    bool *penalised;
};

Sampler *sampler_create(SamplingOptions options, int64_t vocabulary) {
    Sampler *sampler = calloc(1, sizeof *sampler);
    CHECK_MEMORY(sampler, "out of memory");
    *sampler = (Sampler){.options = options, .vocabulary = vocabulary};
    sampler->candidate = malloc((size_t)vocabulary * sizeof *sampler->candidate);
    sampler->penalised = malloc((size_t)vocabulary * sizeof *sampler->penalised);
    CHECK_MEMORY(sampler->candidate && sampler->penalised, "out of memory");
    return sampler;
}

void sampler_destroy(Sampler *sampler) {
    if (!sampler) return;
    free(sampler->candidate);
    free(sampler->penalised);
    free(sampler);
}

/* Applies the repetition penalty. A token that occurred several times is penalised once. */
static void penalise(Sampler *sampler, float *logits, const int32_t *seen, int64_t count) {
    const float penalty = (float)sampler->options.repetition_penalty;
    if (penalty == 1) return;
    memset(sampler->penalised, 0, (size_t)sampler->vocabulary * sizeof *sampler->penalised);
    for (int64_t i = 0; i < count; i++) {
        float *logit = &logits[seen[i]];
        if (!sampler->penalised[seen[i]]) *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
        sampler->penalised[seen[i]] = true;
    }
}

/* The token with the largest logit, the first of equal ones. -1 if a logit is NaN or the largest is infinite. */
static int32_t most_probable(const float *logits, int64_t vocabulary) {
    int32_t best = 0;
    for (int64_t i = 0; i < vocabulary; i++) {
        if (isnan(logits[i])) return -1;
        if (logits[i] > logits[best]) best = (int32_t)i;
    }
    return isfinite(logits[best]) ? best : -1;
}

static int by_falling_logit(const void *x, const void *y) {
    const Candidate *a = x, *b = y;
    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

static double weight_of(const Sampler *sampler, const Candidate *candidate, float largest) {
    return exp(((double)candidate->logit - (double)largest) / sampler->options.temperature);
}

static double sum_of(const Sampler *sampler, int64_t count, float largest) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += weight_of(sampler, &sampler->candidate[i], largest);
    return sum;
}

/* How many of the candidates, which are sorted, top_k keeps. */
static int64_t keep_k(const Sampler *sampler) {
    int64_t count = sampler->options.top_k;
    if (count == 0 || count >= sampler->vocabulary) return sampler->vocabulary;
    const float least = sampler->candidate[count - 1].logit;
    while (count < sampler->vocabulary && sampler->candidate[count].logit == least) count++;
    return count;
}

/* How many of the first `count` candidates top_p keeps: the fewest that together have that probability. */
static int64_t keep_p(const Sampler *sampler, int64_t count, float largest) {
    const double wanted = sampler->options.top_p * sum_of(sampler, count, largest);
    double sum = 0;
    int64_t kept = 0;
    if (sampler->options.top_p >= 1) return count;
    while (kept < count && sum < wanted) sum += weight_of(sampler, &sampler->candidate[kept++], largest);
    return kept;
}

int32_t sampler_draw(Sampler *sampler, float *logits, const int32_t *seen, int64_t seen_count, double unit) {
    const SamplingOptions *options = &sampler->options;
    int64_t count = sampler->vocabulary;
    penalise(sampler, logits, seen, seen_count);
    const int32_t best = most_probable(logits, count);
    if (best < 0 || options->temperature == 0) return best;
    const float largest = logits[best];
    for (int64_t i = 0; i < count; i++) sampler->candidate[i] = (Candidate){(int32_t)i, logits[i]};
    if (options->top_k > 0 || options->top_p < 1) {
        qsort(sampler->candidate, (size_t)count, sizeof *sampler->candidate, by_falling_logit);
        count = keep_k(sampler);
        count = keep_p(sampler, count, largest);
    }
    double left = unit * sum_of(sampler, count, largest);
    for (int64_t i = 0; i < count - 1; i++) {
        left -= weight_of(sampler, &sampler->candidate[i], largest);
        if (left < 0) return sampler->candidate[i].token;
    }
    return sampler->candidate[count - 1].token;
}
