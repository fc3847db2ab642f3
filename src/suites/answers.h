/* Reads which examples of the split "test" each run answers correctly, from the files that a sweep writes beside its
 * rows. */
#ifndef FLAME_SUITES_ANSWERS_H
#define FLAME_SUITES_ANSWERS_H

#include "suites/results.h"

/* Fills `right` and `examples` in the rows of the split "test" from FOLDER/runs/RUN.right. If a run has no such file,
 * or the file does not contain the split, its rows stay without answers. BAD_INPUT or IO_ERROR (logged) if a file is
 * damaged or cannot be read. Call results_select on `results` first. */
Status answers_read(const char *folder, Results *results);

#endif
