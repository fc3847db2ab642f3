/* See flip_flop.c. */
#ifndef FLAME_SUITES_FLIP_FLOP_H
#define FLAME_SUITES_FLIP_FLOP_H

#include "suites/task.h"

/* Ids of tokens: instructions, then the bits ZERO and ZERO + 1. */
enum { WRITE, READ, IGNORE, ZERO, FLIP_FLOP_TOKENS = 5 };

extern const Task flip_flop;

#endif
