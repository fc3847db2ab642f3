/* See mqar.c. */
#ifndef FLAME_SUITES_MQAR_H
#define FLAME_SUITES_MQAR_H

#include "suites/task.h"

extern const Task mqar;

#endif
