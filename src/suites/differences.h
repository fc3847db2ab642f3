/* Which models of a table differ by more than chance does. */
#ifndef FLAME_SUITES_DIFFERENCES_H
#define FLAME_SUITES_DIFFERENCES_H

#include <stdio.h>

#include "suites/table.h"

/* Writes, for each column, the pairs of models that differ with p < 0.05, corrected for the number of pairs by Holm.
 * From 6 seeds on the test is one of permutations of seeds: paired where the two models have 6 seeds in common.
 * Below, it is McNemar's test of the examples of the split "test", where the answers are known. */
void differences_write(FILE *file, const Table *table);

#endif
