/* The report of a suite's runs. */
#ifndef FLAME_SUITES_REPORT_H
#define FLAME_SUITES_REPORT_H

#include "base/check.h"

/* Reads results.csv of the folder, and the answers in runs/ if there are any, and writes aggregate.csv and table.md
 * beside it. BAD_INPUT or IO_ERROR (logged). */
Status report_write(const char *folder);

#endif
