/* Which examples of the split "test" each run answers right, from the files that a sweep writes beside its rows. */
#ifndef FLAME_SUITES_ANSWERS_H
#define FLAME_SUITES_ANSWERS_H

#include "suites/results.h"

/* Fills right and examples of the rows of the split "test" from FOLDER/runs/RUN.right. A run without the file, or whose
 * file has no such split, stays without answers. BAD_INPUT or IO_ERROR (logged) if a file is damaged or cannot be
 * read. `results` have gone through results_select. */
Status answers_read(const char *folder, Results *results);

#endif
