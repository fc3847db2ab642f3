/* Speed tables: the time of each mixer alone, forward and forward + backward, over the length of the sequence. */
#ifndef FLAME_SUITES_SPEED_H
#define FLAME_SUITES_SPEED_H

#include "config/keys.h"
#include "core/device.h"

typedef struct SpeedOptions {
    const char *const *mixers; /* none: all */
    int mixer_count;
    const char *user; /* the user's settings of the sections speed and model, as in settings.h; NULL: none */
    const char *folder;
} SpeedOptions;

/* Times the mixers, and writes speed.csv, speed.md and each model's configs/MIXER.json into the folder, replacing older
 * ones. A mixer that has no model of this size is left out with a warning. USAGE (logged) for an unknown mixer, key or
 * section; BAD_INPUT (logged) for a type that the device cannot multiply, or if no mixer is left. */
Status speed_run(const SpeedOptions *options, const Device *device);

/* The table of the keys of section "speed", without values. */
KeyTable speed_keys(void);

#endif
