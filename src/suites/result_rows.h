/* The rows of results.csv: one for each trial and test. An empty field does not apply. */
#ifndef FLAME_SUITES_RESULT_ROWS_H
#define FLAME_SUITES_RESULT_ROWS_H

#include <stdio.h>

#include "core/device.h"
#include "suites/trial.h"

/* The names of the columns, separated by commas. */
extern const char result_columns[];

/* A row for each test; `failed`: one row without scores. run: the name of the trial's files, without commas. */
void result_rows_write(FILE *file, const char *run, const Trial *trial, const TrialResult *result, const Device *device,
                       bool failed);

/* A row of a trial that cannot be: names without numbers. */
void unable_row_write(FILE *file, const Trial *trial);

/* Writes a line "SPLIT 0110..." for each test with right and wrong answers: 1 for an example answered right. A split's
 * name may have spaces, as the answers follow the last one. A regression has no such line, nor has a failed trial. */
void right_answers_write(FILE *file, const TrialResult *result, bool failed);

#endif
