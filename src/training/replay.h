/* Records a micro-batch once and replays it from then on (CUDA graphs). This works because the arenas hand out the same
 * addresses in every micro-batch. */
#ifndef FLAME_TRAINING_REPLAY_H
#define FLAME_TRAINING_REPLAY_H

#include "parallel/fsdp.h"

typedef struct Replay {
    bool warm;                          /* has run once, so libraries have made their plans */
    Recording *recording;               /* NULL: not recorded yet */
    int64_t shards_sent, replicas_sent; /* bytes sent per micro-batch, to be counted at each replay */
} Replay;

/* A recording for each kind of micro-batch. Starts all zero. */
typedef struct Replays {
    Replay of[2][2]; /* [not the first of its step: adds to gradients][the last: reduces them over replicas] */
} Replays;

/* Runs a micro-batch: calls launch(context, last), or replays the recording of an earlier call if device and
 * communicators support it. `last`: the last micro-batch of its step. Apart from the device, `launch` may change only
 * `fsdp`. Collective. */
void replays_run(Replays *replays, Fsdp *fsdp, void (*launch)(void *context, bool last), void *context, bool last);
void replays_release(Replays *replays, const Device *device);

#endif
