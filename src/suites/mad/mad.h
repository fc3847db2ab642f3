/* The six tasks of MAD (Poli et al. 2024, arXiv 2403.17844), as the authors' program generates them, and what the tasks
 * share. */
#ifndef FLAME_SUITES_MAD_H
#define FLAME_SUITES_MAD_H

#include <stdlib.h>

#include "suites/task.h"

extern const Task compression, fuzzy_in_context_recall, in_context_recall, memorization, noisy_in_context_recall,
    selective_copying;

#define VOCABULARIES_32_64_128 "task.vocab_size=32", "task.vocab_size=64", "task.vocab_size=128"
#define LENGTHS_256_512_1024   "task.seq_len=256", "task.seq_len=512", "task.seq_len=1024"
#define FEWER_EXAMPLES                                                                                                 \
    "training.examples=6400", "training.examples=3200", "training.examples=1600", "training.examples=800"

/* Tests at other lengths, which the publication does not have. training.splits turns them on. */
#define LONGER_SPLITS                                                                                                  \
    {                                                                                                                  \
        {"length 2x", "task.seq_len=2x"}, {"length 4x", "task.seq_len=4x"}, {"length 8x", "task.seq_len=8x"}, {        \
            NULL, NULL                                                                                                 \
        }                                                                                                              \
    }

/* `count` numbers, all set to `value`. The caller frees them. */
static inline int32_t *mad_numbers(int64_t count, int32_t value) {
    int32_t *numbers = malloc((size_t)count * sizeof *numbers);
    CHECK_MEMORY(numbers, "out of memory");
    for (int64_t i = 0; i < count; i++) numbers[i] = value;
    return numbers;
}

/* The test accuracy of a guess among n answers. */
static inline double mad_guess(int64_t n) { return 1.0 / (double)n; }

#endif
