#include "models/mixer.h"

#include <stdio.h>
#include <string.h>

#define MIXER(name) extern const Mixer name##_mixer;
#include "models/mixers.def"
#undef MIXER

static const Mixer *const mixers[] = {
#define MIXER(name) &name##_mixer,
#include "models/mixers.def"
#undef MIXER
};

const Mixer *mixer_find(const char *model_type) {
    for (int i = 0; i < LENGTH(mixers); i++)
        if (strcmp(mixers[i]->model_type, model_type) == 0) return mixers[i];
    return NULL;
}

const Mixer *mixer_at(int index) { return index >= 0 && index < LENGTH(mixers) ? mixers[index] : NULL; }

const char *mixer_names(void) {
    static char names[1024];
    size_t used = 0;
    for (int i = 0; i < LENGTH(mixers); i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", mixers[i]->model_type);
    return names;
}
