/* The examples of a split, from the task's generator or from published files, as sequences of a batch. */
#ifndef FLAME_SUITES_EXAMPLES_H
#define FLAME_SUITES_EXAMPLES_H

#include "suites/task.h"
#include "training/runner.h"

typedef struct Examples Examples;

/* Opens a split: "train", "test", or a split of the task with the setting `config`; `split` and `config` must outlive
 * the examples. `length` is that of a sequence of the batch: T of the task, or twice that, in which case a sequence
 * shows its example twice and only the second copy has labels. `path`: the published files, or NULL; splits that the
 * files lack are generated. BAD_INPUT or IO_ERROR (logged) if the files cannot be read, their examples have another
 * length than the setting, or there are fewer than `wanted`. The caller closes the examples. */
Status examples_open(const Task *task, const void *config, int64_t length, uint64_t seed, const char *split,
                     const char *path, int64_t wanted, Examples **examples);
void examples_close(Examples *examples);

/* Computes the CRC of all bytes of the published files. USAGE (logged) if the task has none, BAD_INPUT or IO_ERROR
 * (logged) if one cannot be read. */
Status examples_files_crc(const Task *task, const char *path, uint32_t *crc);
/* The number of examples in the files; 0: they are generated, without an end. */
int64_t examples_count(const Examples *examples);

/* Writes example number[b] as sequence b of the batch, for b < B. A negative number makes an empty sequence. */
Status examples_fill(const Examples *examples, const int64_t number[], int64_t B, HostBatch batch);

#endif
