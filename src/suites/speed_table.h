/* The times of mixers over lengths, as a CSV and as tables of lengths by mixers. */
#ifndef FLAME_SUITES_SPEED_TABLE_H
#define FLAME_SUITES_SPEED_TABLE_H

#include "config/keys.h"

typedef struct SpeedRow {
    const char *mixer;
    int64_t length;
    double forward, forward_backward; /* seconds; NaN: the run does not fit into memory */
} SpeedRow;

typedef struct SpeedTable {
    const char *device, *dtype;
    int64_t batch, heads, head_dim;
    const IntegerList *lengths;
    int64_t rows;
    SpeedRow *row; /* a mixer's rows follow each other, one for each of `lengths` in their order; owned */
} SpeedTable;

void speed_table_append(SpeedTable *table, SpeedRow row);
void speed_table_free(SpeedTable *table);
/* Writes FOLDER/speed.csv and speed.md, replacing older ones. IO_ERROR (logged) if that fails. */
Status speed_table_write(const SpeedTable *table, const char *folder);

#endif
