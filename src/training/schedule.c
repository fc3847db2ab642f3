#include "training/schedule.h"

#include <math.h>
#include <string.h>

static Decay decay_of(const char *name) {
    static const char *const names[] = {"linear", "sqrt", "cosine", "constant"};
    for (int d = 0; d < 4; d++)
        if (strcmp(names[d], name) == 0) return (Decay)d;
    CHECK(0, "decay type %s", name);
    return DECAY_CONSTANT;
}

Schedule schedule_create(const LrSchedulerConfig *config, int64_t steps) {
    const int64_t warmup = config->warmup_steps < steps ? config->warmup_steps : steps, rest = steps - warmup;
    int64_t decay = rest;
    if (!isnan(config->decay_ratio)) decay = (int64_t)rint((double)steps * config->decay_ratio);
    if (decay > rest) decay = rest;
    return (Schedule){.warmup_steps = warmup,
                      .stable_steps = steps + 1 - warmup - decay,
                      .decay_steps = decay,
                      .decay = decay_of(config->decay_type),
                      .lr_min = config->lr_min};
}

double schedule_factor(const Schedule *schedule, int64_t step) {
    if (step < schedule->warmup_steps) return (double)(step + 1) / (double)schedule->warmup_steps;
    const int64_t decayed = step + 1 - schedule->warmup_steps - schedule->stable_steps;
    if (decayed < 1 || schedule->decay == DECAY_CONSTANT) return 1;
    const double p = (double)decayed / (double)schedule->decay_steps;
    const double f = schedule->decay == DECAY_LINEAR ? 1 - p
                     : schedule->decay == DECAY_SQRT ? 1 - sqrt(p)
                                                     : (1 + cos(3.14159265358979323846 * p)) / 2;
    return schedule->lr_min + (1 - schedule->lr_min) * f;
}
