/* Initial values of parameters. Each element is drawn from the seed, the parameter's name and the element's index, so
 * the values do not depend on the number of ranks. */
#ifndef FLAME_CORE_INITIAL_VALUES_H
#define FLAME_CORE_INITIAL_VALUES_H

#include "core/parameter.h"

/* Sets this rank's shard of the master weights. */
void unit_initialise(const Unit *unit, uint64_t seed);

#endif
