/* Writes the rows of results.csv: one for each trial and test. A field that does not apply is empty. */
#ifndef FLAME_SUITES_RESULT_ROWS_H
#define FLAME_SUITES_RESULT_ROWS_H

#include <stdio.h>

#include "core/device.h"
#include "suites/trial.h"

/* The names of the columns, separated by commas. */
extern const char result_columns[];

/* Writes a row for each test, or, if `failed`, one row without scores. `run` is the name of the trial's files and
 * contains no commas. */
void result_rows_write(FILE *file, const char *run, const Trial *trial, const TrialResult *result, const Device *device,
                       bool failed);

/* Writes the row of a trial that is impossible: names without numbers. */
void unable_row_write(FILE *file, const Trial *trial);

/* Writes a line "SPLIT 0110..." for each test with right and wrong answers: 1 for an example that is answered
 * correctly. A split's name may contain spaces, because the answers follow the last space. Regressions and failed
 * trials have no such line. */
void right_answers_write(FILE *file, const TrialResult *result, bool failed);

#endif
