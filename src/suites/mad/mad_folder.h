/* The published examples of MAD (Zenodo 10843663): a folder for each setting, with inputs.npy and targets.npy in its
 * folders "train" and "test". Each is an array of int64 [examples, T] as NumPy writes it (format 1.0, little-endian, C
 * order); a target of -100 is not scored. */
#ifndef FLAME_SUITES_MAD_FOLDER_H
#define FLAME_SUITES_MAD_FOLDER_H

#include "suites/task.h"

typedef struct MadFolder MadFolder;

/* Opens the examples of `part`, "train" or "test". BAD_INPUT or IO_ERROR (logged, with the file's name) if a file is
 * missing or damaged, or if inputs and targets differ in shape. The caller closes it. */
Status mad_folder_open(const char *folder, const char *part, MadFolder **opened);
void mad_folder_close(MadFolder *folder);
int64_t mad_folder_examples(const MadFolder *folder);
int64_t mad_folder_length(const MadFolder *folder); /* T */

/* Reads the inputs and labels of example `number`. BAD_INPUT (logged) if an id is not below `tokens`, the size of the
 * vocabulary. */
Status mad_folder_example(const MadFolder *folder, int64_t number, int64_t tokens, Example example);

/* The TaskFiles of all MAD tasks. training.data is the folder of a setting. */
extern const TaskFiles mad_files;

#endif
