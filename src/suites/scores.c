#include "suites/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct Scoring {
    int64_t T, classes, examples;
    bool *right;
    int64_t scored, correct, exact;
    double loss, squares;
    int64_t true_positive, positive, answered_positive;
    int64_t *labelled, *recalled, *answered; /* [classes], counts of the present batch */
    int64_t batches;
    double macro;
};

Scoring *scoring_begin(int64_t examples, int64_t T, int64_t classes) {
    Scoring *s = calloc(1, sizeof *s);
    CHECK_MEMORY(s, "out of memory");
    *s = (Scoring){.T = T, .classes = classes, .right = calloc((size_t)examples, sizeof *s->right)};
    s->labelled = calloc(3 * (size_t)classes + 1, sizeof *s->labelled);
    CHECK_MEMORY(s->right && s->labelled, "out of memory");
    s->recalled = s->labelled + classes;
    s->answered = s->recalled + classes;
    return s;
}

static int64_t largest(const float *logits, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* -ln softmax(logits)[label] */
static double cross_entropy(const float *logits, int64_t width, int64_t label) {
    const double most = (double)logits[largest(logits, width)];
    double sum = 0;
    for (int64_t i = 0; i < width; i++) sum += exp((double)logits[i] - most);
    return log(sum) + most - (double)logits[label];
}

static bool score_class(Scoring *s, int64_t label, const float *logits, int64_t width) {
    const int64_t answer = largest(logits, s->classes);
    s->loss += cross_entropy(logits, width, label);
    s->labelled[label]++;
    s->answered[answer]++;
    s->recalled[label] += answer == label;
    s->positive += label == 1;
    s->answered_positive += answer == 1;
    s->true_positive += label == 1 && answer == 1;
    return answer == label;
}

static void end_batch(Scoring *s) {
    double sum = 0;
    int64_t seen = 0;
    for (int64_t c = 0; c < s->classes; c++) {
        if (s->labelled[c] > 0) sum += (double)s->recalled[c] / (double)s->labelled[c];
        seen += s->labelled[c] > 0 || s->answered[c] > 0;
    }
    if (seen > 0) s->macro += sum / (double)seen;
    s->batches += seen > 0;
    memset(s->labelled, 0, 3 * (size_t)s->classes * sizeof *s->labelled);
}

void scoring_add(Scoring *s, const int32_t *labels, const float *values, const float *logits, int64_t width) {
    bool right = true;
    for (int64_t t = 0; t < s->T; t++) {
        if (labels[t] < 0) continue;
        s->scored++;
        if (s->classes == 0) {
            const double difference = (double)logits[t * width] - (double)values[t];
            s->squares += difference * difference;
            continue;
        }
        const bool correct = score_class(s, labels[t], logits + t * width, width);
        s->correct += correct;
        right &= correct;
    }
    s->right[s->examples++] = right;
    s->exact += right;
    if (s->examples % SCORE_BATCH == 0) end_batch(s);
}

Scores scoring_end(Scoring *s, bool *right) {
    if (s->examples % SCORE_BATCH != 0) end_batch(s);
    const double scored = (double)s->scored;
    Scores scores = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, s->scored};
    if (s->classes == 0) {
        scores.mse = s->squares / scored;
    } else {
        scores.accuracy = (double)s->correct / scored;
        scores.macro = s->macro / (double)s->batches;
        scores.exact = (double)s->exact / (double)s->examples;
        scores.error = (double)(s->scored - s->correct) / scored;
        scores.perplexity = exp(s->loss / scored);
        if (s->classes == 2) {
            const int64_t found = s->positive + s->answered_positive;
            scores.f1 = found > 0 ? 2 * (double)s->true_positive / (double)found : 0;
        }
    }
    if (right) memcpy(right, s->right, (size_t)s->examples * sizeof *right);
    free(s->right);
    free(s->labelled);
    free(s);
    return scores;
}
