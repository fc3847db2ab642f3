/* See flip_flop.c. */
#ifndef FLAME_SUITES_FLIP_FLOP_H
#define FLAME_SUITES_FLIP_FLOP_H

#include "suites/task.h"

extern const Task flip_flop;

#endif
