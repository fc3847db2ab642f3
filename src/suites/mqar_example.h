/* Makes MQAR's examples, which mqar.c describes. */
#ifndef FLAME_SUITES_MQAR_EXAMPLE_H
#define FLAME_SUITES_MQAR_EXAMPLE_H

#include "suites/task.h"

/* Task.generate; config: an Mqar. */
void mqar_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e);

#endif
