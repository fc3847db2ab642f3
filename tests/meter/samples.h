/* The programs of a launch that the meter runs, and what they say of the memory that all of them touch. */
#ifndef TESTS_METER_SAMPLES_H
#define TESTS_METER_SAMPLES_H

#include <stdint.h>

#include "core/device.h"

enum {
    SAMPLES_COUNTED = 6, /* whose instructions count, at most */
    SAMPLES_AXIS = 24,   /* neighbours along an axis of the grid, at most: 2^24 programs */
    SAMPLES = SAMPLES_COUNTED + 1 + 3 * SAMPLES_AXIS
};

/* What a program touches, in sectors; sorted when it has ended. */
typedef struct Sectors {
    uintptr_t *sector;
    int64_t count, room;
} Sectors;

/* From SAMPLES_COUNTED on: the base, and its neighbours by axis. */
typedef struct Samples {
    Grid program[SAMPLES];
    Sectors touched[SAMPLES];
    int counted, neighbours[3]; /* neighbours: along each axis */
    int neighbouring;           /* the base and all neighbours */
} Samples;

void samples_choose(Samples *samples, Grid grid);

/* The sectors that all programs of the grid touch, each once. start: the first sectors of `arrays` arrays, in order,
 * and room for one more. */
double samples_distinct_sectors(const Samples *samples, Grid grid, uintptr_t *start, int arrays);

void sectors_sort(uintptr_t *sector, int64_t count);

#endif
