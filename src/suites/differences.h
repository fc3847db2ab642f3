/* Which models of a table differ by more than their seeds do. */
#ifndef FLAME_SUITES_DIFFERENCES_H
#define FLAME_SUITES_DIFFERENCES_H

#include <stdio.h>

#include "suites/table.h"

/* Writes, for each column, the pairs of models that differ with p < 0.05: paired permutations over the seeds, corrected
 * for the number of pairs by Holm. */
void differences_write(FILE *file, const Table *table);

#endif
