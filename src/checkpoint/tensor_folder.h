/* The tensors of a folder, however many files they lie in: STEM.safetensors, or the shards that
 * STEM.safetensors.index.json names. Hugging Face's folders have the stem "model", checkpoints "optimizer" as well. */
#ifndef FLAME_CHECKPOINT_TENSOR_FOLDER_H
#define FLAME_CHECKPOINT_TENSOR_FOLDER_H

#include "checkpoint/safetensors.h"

typedef struct TensorFolder TensorFolder;

/* BAD_INPUT (logged) if there is no such file, a shard is missing or damaged, or the index and the shards disagree:
 * every tensor must be in the file that the index names, and in no other. */
Status tensor_folder_open(const char *folder, const char *stem, TensorFolder **result);
/* NULL is fine. Tensors of the folder are invalid afterwards. */
void tensor_folder_close(TensorFolder *folder);

/* NULL if there is none. Read with safetensors_read. */
const SafeTensor *tensor_folder_find(const TensorFolder *folder, const char *name);
int64_t tensor_folder_count(const TensorFolder *folder);
const SafeTensor *tensor_folder_entry(const TensorFolder *folder, int64_t index);
int64_t tensor_folder_files(const TensorFolder *folder);
const SafeTensors *tensor_folder_file(const TensorFolder *folder, int64_t index);

#endif
