/* Finds which models of a table differ by more than chance explains. */
#ifndef FLAME_SUITES_DIFFERENCES_H
#define FLAME_SUITES_DIFFERENCES_H

#include <stdio.h>

#include "suites/table.h"

/* Writes, for each column, the pairs of models that differ with p < 0.05, corrected for the number of pairs by Holm.
 * From 6 seeds on it uses a permutation test over seeds, which is paired if the two models have 6 seeds in common.
 * Below, it uses a sign test on the examples of the split "test", if the answers are known. */
void differences_write(FILE *file, const Table *table);

#endif
