/* The examples of a split, from the task's generator or from published files, as sequences of a batch. */
#ifndef FLAME_SUITES_EXAMPLES_H
#define FLAME_SUITES_EXAMPLES_H

#include "suites/task.h"
#include "training/runner.h"

typedef struct Examples Examples;

/* `split` is "train", "test", or a split of the task whose setting `config` is; both outlive the examples. length: of a
 * sequence of the batch, T of the task, or twice that, which shows each example twice and asks about the second copy.
 * path: the published files, or NULL; splits that they do not have are generated. BAD_INPUT or IO_ERROR (logged) if
 * they cannot be read, are of another length than the setting, or are fewer than `wanted`. The caller closes them. */
Status examples_open(const Task *task, const void *config, int64_t length, uint64_t seed, const char *split,
                     const char *path, int64_t wanted, Examples **examples);
void examples_close(Examples *examples);

/* Makes example number[b] the sequence b of the batch, b < B; an empty one where the number is negative. */
Status examples_fill(const Examples *examples, const int64_t number[], int64_t B, HostBatch batch);

#endif
