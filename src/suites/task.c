#include "suites/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static KeyTable table_of(const Task *task, void *config) {
    return (KeyTable){task->keys, task->key_count, config, "task"};
}

Status task_config_read(const Task *task, const ConfigValue *mapping, void **config) {
    void *values = calloc(1, task->config_size);
    CHECK_MEMORY(values, "out of memory");
    const KeyTable table = table_of(task, values);
    keys_defaults(&table, 1);
    Status status = keys_apply(&table, 1, mapping, "task", NULL);
    if (status == OK) status = task->check(values);
    if (status == OK)
        *config = values;
    else
        task_config_free(task, values);
    return status;
}

void task_config_free(const Task *task, void *config) {
    if (!config) return;
    const KeyTable table = table_of(task, config);
    keys_free(&table, 1);
    free(config);
}

void task_config_complete(const Task *task, void *config, ConfigValue *root) {
    KeyTable table = table_of(task, config);
    table.section = NULL;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "out of memory");
    keys_print(file, &table);
    fclose(file);
    ConfigValue *mapping = NULL;
    CHECK(config_value_read_yaml(COMMAND_LINE, text, bytes, &mapping) == OK, "the keys of %s", task->name);
    free(text);
    config_value_set(root, "task", mapping);
}

const Preset *task_preset(const Task *task, const char *name) {
    for (const Preset *preset = task->presets; preset && preset->name; preset++)
        if (strcmp(preset->name, name) == 0) return preset;
    return NULL;
}

static const char training[] = "train";

void task_training_split(const Segment *segment, char name[64]) {
    snprintf(name, 64, "%s %s", training, segment->name);
}

static bool is_training(const char *split) {
    const size_t length = strlen(training);
    return strncmp(split, training, length) == 0 && (split[length] == 0 || split[length] == ' ');
}

void task_example(const Task *task, const void *config, uint64_t seed, const char *split, int64_t number,
                  Example example) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s", task->name, split);
    Draws draws = draws_begin(seed, name, number);
    task->generate(config, seed, &draws, !is_training(split), example);
}
