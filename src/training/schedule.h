/* The learning rate over a run: flame's schedules, as a factor on optimizer.lr.
 *
 * With W warm-up steps, S steps, D decay steps (S - W unless decay_ratio is given, then round(S * decay_ratio), at most
 * S - W) and stable = S + 1 - W - D, for the 0-based step s:
 *   s < W           (s + 1) / W
 *   s < W + stable  1
 *   else            lr_min + (1 - lr_min) f(p),  p = (s + 1 - W - stable) / D
 *   f: linear 1 - p | sqrt 1 - sqrt(p) | cosine (1 + cos(pi p)) / 2 | constant 1 */
#ifndef FLAME_TRAINING_SCHEDULE_H
#define FLAME_TRAINING_SCHEDULE_H

#include <stdint.h>

#include "config/config.h"

typedef enum Decay { DECAY_LINEAR, DECAY_SQRT, DECAY_COSINE, DECAY_CONSTANT } Decay;

typedef struct Schedule {
    int64_t warmup_steps, stable_steps, decay_steps;
    Decay decay;
    double lr_min;
} Schedule;

/* A warm-up longer than the run is cut to the run, as in flame. */
Schedule schedule_create(const LrSchedulerConfig *config, int64_t steps);
/* The factor on lr for the update of the 0-based step. */
double schedule_factor(const Schedule *schedule, int64_t step);

#endif
