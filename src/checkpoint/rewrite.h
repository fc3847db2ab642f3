/* Copies tensors into new safetensors files of another element type or shard size. Works block by block, so that memory
 * use does not depend on the size of the model. */
#ifndef FLAME_CHECKPOINT_REWRITE_H
#define FLAME_CHECKPOINT_REWRITE_H

#include <jansson.h>
#include <stdbool.h>

#include "checkpoint/safetensors.h"

typedef struct RewriteOptions {
    SafeType type;           /* F32, BF16 or F16 */
    int64_t max_shard_bytes; /* largest data size of one file */
    const json_t *expected;  /* state.json of the source, whose CRCs are verified; NULL: not verified */
    bool warn_about_zeros;   /* warn about tensors whose values are all zero */
} RewriteOptions;

/* Writes `tensors` as model*.safetensors, with an index if there are several files, into the existing `folder`, and
 * fsyncs them. On failure the caller removes the folder. Warns about values that are not finite and values that
 * overflow in the new type. Adds the CRCs of the new files to `state` unless that is NULL. BAD_INPUT if the source is
 * damaged, IO_ERROR if reading or writing fails; both are logged. INTERRUPTED after a signal (base/interrupts.h). */
Status tensors_rewrite(const SafeTensor *const *tensors, int64_t count, const char *folder, RewriteOptions options,
                       json_t *state);

#endif
