/* What a user should know about stopping a run. */
#ifndef FLAME_TRAINING_STOP_H
#define FLAME_TRAINING_STOP_H

#include <stdbool.h>

/* After Ctrl-C Open MPI's mpirun kills the ranks within a second, which a long step does not end in. Sets `text` to a
 * line that says so and what to do instead; false if Ctrl-C is fine: steps are short, or mpirun did not start this
 * process. */
bool stop_advice(double step_seconds, char text[512]);

#endif
