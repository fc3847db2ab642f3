/* Times the mixer of a model's first layer alone: without its norm, embeddings and loss. */
#ifndef FLAME_SUITES_SPEED_TIMER_H
#define FLAME_SUITES_SPEED_TIMER_H

#include "models/model.h"

typedef struct SpeedTimer SpeedTimer;

/* Medians in seconds; NaN if the sequences do not fit into memory. */
typedef struct SpeedTimes {
    double forward, forward_backward;
} SpeedTimes;

/* Gives the model initial values in the device's memory. `type`: of activations and parameters. Takes over `model`,
 * also on failure. The caller closes the timer, also on failure. Errors are those of session_connect. */
Status speed_timer_open(Model *model, const Device *device, DType type, SpeedTimer **timer);
void speed_timer_close(SpeedTimer *timer);

/* Times the mixer on B sequences of T tokens with normally distributed inputs. Each sequence is a document of its own.
 * Forward is that of training, which keeps what backward needs. */
SpeedTimes speed_timer_run(SpeedTimer *timer, int64_t B, int64_t T, int64_t repeats);

#endif
