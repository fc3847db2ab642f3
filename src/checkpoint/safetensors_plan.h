/* The layout of a .safetensors file or a set of shards: headers, and the offset of every tensor. It is computed before
 * anything is written, so that any number of writers can write their parts at once. */
#ifndef FLAME_CHECKPOINT_SAFETENSORS_PLAN_H
#define FLAME_CHECKPOINT_SAFETENSORS_PLAN_H

#include "checkpoint/safetensors.h"

typedef struct PlannedTensor {
    char *name;
    SafeType type;
    int dims;
    int64_t shape[SAFE_DIMS], elements, bytes;
    int file;       /* index of the file it goes to */
    int64_t offset; /* of its first byte in that file */
} PlannedTensor;

typedef struct PlannedFile {
    char name[96];
    char *header; /* the first header_bytes of the file: length and JSON */
    int64_t header_bytes, bytes;
} PlannedFile;

typedef struct SafetensorsPlan {
    int64_t tensors, capacity;
    PlannedTensor *tensor;
    int files;
    PlannedFile *file;
    char *index; /* text of STEM.safetensors.index.json; NULL if there is one file */
} SafetensorsPlan;

/* Appends a tensor to a plan, which starts as all zero. After the last tensor, call safetensors_plan_place. */
void safetensors_plan_add(SafetensorsPlan *plan, const char *name, SafeType type, int dims, const int64_t *shape);
/* Divides the tensors into files and computes headers and offsets. The files are STEM.safetensors, or
 * STEM-00001-of-0000N.safetensors with at most max_shard_bytes of data each; a larger tensor has a file of its own. */
void safetensors_plan_place(SafetensorsPlan *plan, const char *stem, int64_t max_shard_bytes);
void safetensors_plan_free(SafetensorsPlan *plan);

#endif
