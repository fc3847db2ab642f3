/* Which file a sample comes from. Exact shares in integers, so that the counts up to any sample are known without going
 * through them, and differ from the wanted share by less than one sample per file before it. */
#ifndef FLAME_DATA_MIXTURE_H
#define FLAME_DATA_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

/* Files are split off one after the other: file f gets weight[f] / (weight[f] + weight[f+1] + ...) of what the files
 * before it have left. In order (`concatenate`): all of file 0, then all of file 1, ..., and again. */
typedef struct Mixture {
    int count;
    bool concatenate;
    const int64_t *weight; /* [count], >= 0, not all 0; when concatenating: samples per epoch */
    int64_t total;         /* their sum */
} Mixture;

/* The file of sample number `sample`; *index: how many samples before it come from the same file. */
int mixture_file(const Mixture *mixture, int64_t sample, int64_t *index);

/* counts[f]: how many of samples 0 .. sample-1 come from file f. Their sum is `sample`. */
void mixture_counts(const Mixture *mixture, int64_t sample, int64_t *counts);

#endif
