/* Advice on stopping a run without losing steps. */
#ifndef FLAME_TRAINING_STOP_H
#define FLAME_TRAINING_STOP_H

#include <stdbool.h>

/* Open MPI's mpirun kills the ranks one second after Ctrl-C, which may be too early to finish a step and save it. If
 * so, sets `text` to a line that explains how to stop instead and returns true. Returns false if Ctrl-C works, because
 * steps are short or mpirun did not start this process. */
bool stop_advice(double step_seconds, char text[512]);

#endif
