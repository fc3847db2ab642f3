/* A micro-batch that is asked for part by part once or twice, and then repeated by the device as a whole (CUDA graphs).
 * That is possible because arenas hand out the same addresses in every micro-batch. */
#ifndef FLAME_TRAINING_REPLAY_H
#define FLAME_TRAINING_REPLAY_H

#include "parallel/fsdp.h"

typedef struct Replay {
    bool warm;                          /* it has run once: nothing is prepared any more */
    Recording *recording;               /* NULL: not yet */
    int64_t shards_sent, replicas_sent; /* bytes */
} Replay;

/* All zero at first. What is asked for depends on the micro-batch's place in its step. */
typedef struct Replays {
    Replay of[2][2]; /* [whether the step has gradients already][whether they go to replicas] */
} Replays;

/* Calls ask(context, last), which asks for a micro-batch (`last`: of its step) and leaves nothing behind but in `fsdp`;
 * or repeats what it asked for before, where the device and the mesh's communicators can. Collective. */
void replays_run(Replays *replays, Fsdp *fsdp, void (*ask)(void *context, bool last), void *context, bool last);
void replays_release(Replays *replays, const Device *device);

#endif
