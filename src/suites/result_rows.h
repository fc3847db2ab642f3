/* The rows of results.csv: one for each trial and test. An empty field does not apply. */
#ifndef FLAME_SUITES_RESULT_ROWS_H
#define FLAME_SUITES_RESULT_ROWS_H

#include <stdio.h>

#include "core/device.h"
#include "suites/trial.h"

/* The names of the columns, separated by commas. */
extern const char result_columns[];

/* A row for each test; `failed`: one row without scores. */
void result_rows_write(FILE *file, const Trial *trial, const TrialResult *result, const Device *device, bool failed);

#endif
