/* The programs of a launch that the meter runs, and an estimate from them of the memory that all programs access. */
#ifndef TESTS_METER_SAMPLES_H
#define TESTS_METER_SAMPLES_H

#include <stdint.h>

#include "core/device.h"

enum {
    SAMPLES_COUNTED = 6, /* most programs whose instructions are counted */
    SAMPLES_AXIS = 24,   /* most neighbours along an axis of the grid, for up to 2^24 programs */
    SAMPLES = SAMPLES_COUNTED + 1 + 3 * SAMPLES_AXIS
};

/* The sectors that a program accesses; sorted when it has ended. */
typedef struct Sectors {
    uintptr_t *sector;
    int64_t count, room;
} Sectors;

/* The counted programs; then, from SAMPLES_COUNTED on, the base and its neighbours, axis by axis. */
typedef struct Samples {
    Grid program[SAMPLES];
    Sectors touched[SAMPLES];
    int counted, neighbours[3]; /* neighbours: along each axis */
    int neighbouring;           /* the base and all neighbours */
} Samples;

void samples_choose(Samples *samples, Grid grid);

/* The number of sectors that all programs of the grid access, each counted once. `start` has the first sectors of
 * `arrays` arrays in ascending order, and room for one more. */
double samples_distinct_sectors(const Samples *samples, Grid grid, uintptr_t *start, int arrays);

void sectors_sort(uintptr_t *sector, int64_t count);

#endif
