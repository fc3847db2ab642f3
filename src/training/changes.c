#include "training/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "checkpoint/checkpoint_state.h"
#include "config/config_keys.h"
#include "training/schedule.h"

static void copy_known(const ConfigValue *from, const KeyTable *table, ConfigValue *to) {
    for (int i = 0; from && from->type == VALUE_MAPPING && i < from->count; i++)
        if (keys_find(table, 1, from->item[i]->key))
            config_value_set(to, from->item[i]->key, config_value_copy(from->item[i]));
}

/* The configuration without `model:` and without keys that this version of the program does not have. */
static ConfigValue *known_keys(const ConfigValue *root) {
    KeyTable tables[CONFIG_SECTIONS];
    config_tables(NULL, tables);
    ConfigValue *known = config_value_new(VALUE_MAPPING, root->file, root->line);
    copy_known(root, &tables[0], known);
    for (int i = 1; i < CONFIG_SECTIONS; i++) {
        ConfigValue *section = config_value_new(VALUE_MAPPING, root->file, root->line);
        copy_known(config_value_get(root, tables[i].section), &tables[i], section);
        config_value_set(known, tables[i].section, section);
    }
    return known;
}

static Status read_old(const char *folder, TrainConfig *old) {
    if (!checkpoint_state_matches(folder, "config.yaml")) return BAD_INPUT;
    char *path = path_join(folder, "config.yaml");
    ConfigValue *root = NULL;
    Status status = config_value_read(path, &root);
    free(path);
    if (status != OK) return status;
    ConfigValue *known = known_keys(root);
    status = config_from_value(known, old);
    config_value_free(known);
    config_value_free(root);
    return status;
}

/* The learning rate of the update after `step` steps, or of the last update if the run has no more. */
static void rate_text(const TrainConfig *config, int64_t step, char text[32]) {
    const int64_t steps = config->training.steps;
    const Schedule schedule = schedule_create(&config->lr_scheduler, steps);
    const int64_t at = step < steps ? step : steps > 0 ? steps - 1 : 0;
    snprintf(text, 32, "%.6g", config->optimizer.lr * schedule_factor(&schedule, at));
}

void changes_find(const char *folder, const TrainConfig *config, int64_t step, KeyDifferences *differences) {
    TrainConfig old;
    if (read_old(folder, &old) != OK) return;
    KeyTable before[CONFIG_SECTIONS], after[CONFIG_SECTIONS];
    config_tables(&old, before);
    config_tables((TrainConfig *)config, after);
    for (int i = 0; i < CONFIG_SECTIONS; i++) keys_compare(&before[i], &after[i], differences);
    char name[64], old_rate[32], rate[32];
    snprintf(name, sizeof name, "learning rate of step %lld", (long long)step + 1);
    rate_text(&old, step, old_rate);
    rate_text(config, step, rate);
    if (strcmp(old_rate, rate) != 0) key_differences_add(differences, "", name, old_rate, rate);
    config_free(&old);
}

static int widest(const KeyDifferences *differences, bool names) {
    size_t width = 0;
    for (int64_t i = 0; i < differences->count; i++) {
        const size_t length = strlen(names ? differences->item[i].name : differences->item[i].old);
        if (length > width) width = length;
    }
    return width > 60 ? 60 : (int)width;
}

void changes_print(const KeyDifferences *differences, int64_t step, Metrics *metrics) {
    const int name = widest(differences, true), old = widest(differences, false);
    if (differences->count > 0)
        metrics_note(metrics, "changed since step %lld was saved (old | new):", (long long)step);
    for (int64_t i = 0; i < differences->count; i++)
        metrics_note(metrics, "  %-*s  %-*s | %s", name, differences->item[i].name, old, differences->item[i].old,
                     differences->item[i].now);
}
