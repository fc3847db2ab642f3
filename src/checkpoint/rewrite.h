/* Copies tensors into new safetensors files of another element type or shard size, block by block: memory does not grow
 * with the model. */
#ifndef FLAME_CHECKPOINT_REWRITE_H
#define FLAME_CHECKPOINT_REWRITE_H

#include <jansson.h>
#include <stdbool.h>

#include "checkpoint/safetensors.h"

typedef struct RewriteOptions {
    SafeType type;           /* F32, BF16 or F16 */
    int64_t max_shard_bytes; /* of the data of one file */
    const json_t *expected;  /* state.json of the source: its CRCs must hold; NULL: none known */
    bool warn_about_zeros;   /* name tensors that are zero everywhere */
} RewriteOptions;

/* Writes `tensors` as model*.safetensors (and the index) into `folder`, which exists and is the caller's to take away
 * if this fails. Warns of tensors with values that are not finite, or that the new type cannot hold. Adds the new
 * files' CRCs to `state` unless that is NULL. Durable when it returns. BAD_INPUT (a damaged source) and IO_ERROR are
 * logged. */
Status tensors_rewrite(const SafeTensor *const *tensors, int64_t count, const char *folder, RewriteOptions options,
                       json_t *state);

#endif
