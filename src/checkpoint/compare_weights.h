/* Reports what differs between the tensors of two folders. */
#ifndef FLAME_CHECKPOINT_COMPARE_WEIGHTS_H
#define FLAME_CHECKPOINT_COMPARE_WEIGHTS_H

#include <stdbool.h>

#include "base/check.h"

/* Prints, for all tensors of A/STEM.safetensors and B/STEM.safetensors (or their shards), which are in one folder only,
 * which have different shapes, and which have different values: how many values differ, the largest |a - b|, and the
 * norm of a - b over that of a. Values of different element types are compared as numbers. *equal says whether nothing
 * differs. BAD_INPUT or IO_ERROR (logged) if a folder cannot be read. */
Status compare_weights(const char *a, const char *b, const char *stem, bool *equal);

#endif
