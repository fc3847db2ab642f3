#include "data/mixture.h"

/* floor(samples * part / whole) without overflow; 0 if whole is 0. */
static int64_t share(int64_t samples, int64_t part, int64_t whole) {
    return whole == 0 ? 0 : (int64_t)((__int128)samples * part / whole);
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int concatenated_file(const Mixture *mixture, int64_t sample, int64_t *index) {
    int64_t epoch = sample / mixture->total, inside = sample % mixture->total;
    int file = 0;
    for (; inside >= mixture->weight[file]; file++) inside -= mixture->weight[file];
    *index = epoch * mixture->weight[file] + inside;
    return file;
}

int mixture_file(const Mixture *mixture, int64_t sample, int64_t *index) {
    if (mixture->concatenate) return concatenated_file(mixture, sample, index);
    int64_t whole = mixture->total;
    for (int file = 0; file < mixture->count - 1; file++) {
        int64_t before = share(sample, mixture->weight[file], whole);
        if (share(sample + 1, mixture->weight[file], whole) > before) {
            *index = before;
            return file;
        }
        sample -= before;
        whole -= mixture->weight[file];
    }
    *index = sample;
    return mixture->count - 1;
}

void mixture_counts(const Mixture *mixture, int64_t sample, int64_t *counts) {
    int64_t epochs = sample / mixture->total, inside = sample % mixture->total;
    int64_t whole = mixture->total;
    for (int file = 0; file < mixture->count; file++) {
        int64_t weight = mixture->weight[file];
        if (mixture->concatenate) {
            counts[file] = epochs * weight + smaller(inside, weight);
            inside -= smaller(inside, weight);
            continue;
        }
        counts[file] = share(sample, weight, whole); /* the last file has weight == whole, so it gets the rest */
        sample -= counts[file];
        whole -= weight;
    }
}
