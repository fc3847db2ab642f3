#include "suites/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "suites/settings.h"

static char *replaced(const char *text, const char *name, int64_t value) {
    char *result = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&result, &bytes);
    CHECK_MEMORY(file, "out of memory");
    for (const char *found; (found = strstr(text, name)) != NULL; text = found + strlen(name))
        fprintf(file, "%.*s%lld", (int)(found - text), text, (long long)value);
    fputs(text, file);
    fclose(file);
    return result;
}

static const char *keys_of_mixer(const MixerKeys *rows, const char *mixer) {
    for (; rows->mixer; rows++)
        if (strcmp(rows->mixer, mixer) == 0) return rows->keys;
    return NULL;
}

static Status apply_mixer(ConfigValue *root, const char *text, int64_t heads, int64_t head_dim) {
    if (!text) return OK;
    char *once = replaced(text, "{heads}", heads), *twice = replaced(once, "{head_dim}", head_dim);
    const Status status = settings_apply(root, twice);
    free(once);
    free(twice);
    return status;
}

static Status apply_all(const Trial *trial, int64_t heads, int64_t head_dim, ConfigValue **root) {
    *root = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
    Status status = apply_mixer(*root, keys_of_mixer(mixer_defaults, trial->mixer), heads, head_dim);
    if (status == OK) status = settings_apply(*root, trial->suite->keys);
    if (status == OK) status = apply_mixer(*root, keys_of_mixer(trial->suite->mixers, trial->mixer), heads, head_dim);
    if (status == OK) status = settings_apply(*root, trial->task->protocol);
    if (status == OK && trial->preset) status = settings_apply(*root, trial->preset->keys);
    if (status == OK && trial->quick) status = settings_apply(*root, trial->suite->quick);
    if (status == OK && trial->quick) status = settings_apply(*root, trial->task->quick);
    if (status == OK && trial->quick && trial->preset) status = settings_apply(*root, trial->preset->quick);
    if (status == OK) status = settings_apply(*root, trial->setting);
    return status == OK ? settings_apply(*root, trial->user) : status;
}

static int64_t integer_in(const ConfigValue *root, const char *section, const char *key, int64_t otherwise) {
    const ConfigValue *value = config_value_get(settings_section(root, section), key);
    return value && value->type == VALUE_INTEGER ? value->integer : otherwise;
}

/* The mixer's keys depend on the number of heads and the width, which other settings decide. So a first pass reads
 * these. */
Status trial_settings(const Trial *trial, ConfigValue **root) {
    Status status = apply_all(trial, 1, 1, root);
    const int64_t heads = integer_in(*root, "mixer", "heads", 1), width = integer_in(*root, "model", "hidden_size", 64);
    config_value_free(*root);
    *root = NULL;
    if (status != OK) return status;
    if (heads < 1 || width % heads != 0) {
        log_error("model.hidden_size %lld is not a multiple of mixer.heads %lld", (long long)width, (long long)heads);
        return USAGE;
    }
    return apply_all(trial, heads, width / heads, root);
}

const char *trial_variant(const Trial *trial) { return trial->preset ? trial->preset->name : trial->setting; }

void trial_result_free(TrialResult *result) {
    for (int i = 0; i < result->tests; i++) free(result->test[i].right);
    *result = (TrialResult){0};
}
