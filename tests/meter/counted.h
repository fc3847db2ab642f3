#ifndef TESTS_METER_COUNTED_H
#define TESTS_METER_COUNTED_H

#include <stdint.h>

typedef struct CountedArguments {
    const float *f;
    const void *elements; /* bf16 */
    float *out;
    int64_t stride;
} CountedArguments;

#endif
