/* Chooses the file of each sample. Integer arithmetic makes the count of each file among the first s samples a formula
 * of s. It differs from the exact share by less than one sample, plus one for each file before it. */
#ifndef FLAME_DATA_MIXTURE_H
#define FLAME_DATA_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

/* File 0 gets weight[0] / total of all samples; file 1 gets weight[1] / (total - weight[0]) of the samples that are
 * left, and so on. With `concatenate` the files are read one after the other instead, and then again from the first. */
typedef struct Mixture {
    int count;
    bool concatenate;
    const int64_t *weight; /* [count], >= 0, not all 0; when concatenating: samples per epoch */
    int64_t total;         /* their sum */
} Mixture;

/* Returns the file of sample number `sample`. *index: the number of earlier samples of the same file. */
int mixture_file(const Mixture *mixture, int64_t sample, int64_t *index);

/* counts[f]: how many of the samples 0 .. sample - 1 come from file f. Their sum is `sample`. */
void mixture_counts(const Mixture *mixture, int64_t sample, int64_t *counts);

#endif
