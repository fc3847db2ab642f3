/* All tensors of a folder, in one file STEM.safetensors or in the shards listed by STEM.safetensors.index.json. Hugging
 * Face uses the stem "model"; checkpoints have "optimizer" too. */
#ifndef FLAME_CHECKPOINT_TENSOR_FOLDER_H
#define FLAME_CHECKPOINT_TENSOR_FOLDER_H

#include <stdbool.h>

#include "checkpoint/safetensors.h"

typedef struct TensorFolder TensorFolder;

/* Whether the folder has one of the two files. */
bool tensor_folder_exists(const char *folder, const char *stem);
/* BAD_INPUT (logged) if neither file exists, a shard is missing or damaged, or the index and the shards disagree:
 * every tensor must be in the file that the index names, and in no other. */
Status tensor_folder_open(const char *folder, const char *stem, TensorFolder **result);
/* NULL is fine. Tensors of the folder are invalid afterwards. */
void tensor_folder_close(TensorFolder *folder);

/* The tensor with this name, or NULL. Read it with safetensors_read. */
const SafeTensor *tensor_folder_find(const TensorFolder *folder, const char *name);
int64_t tensor_folder_count(const TensorFolder *folder);
const SafeTensor *tensor_folder_entry(const TensorFolder *folder, int64_t index);
int64_t tensor_folder_files(const TensorFolder *folder);
const SafeTensors *tensor_folder_file(const TensorFolder *folder, int64_t index);

#endif
