#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config_keys.h"
#include "base/log.h"

/* The top level of a configuration: `device`, and one mapping per section. */
typedef struct Sections {
    TrainConfig *config;
    const ConfigValue *of[CONFIG_SECTIONS], *model;
} Sections;

static Status find_sections(const ConfigValue *root, const KeyTable *tables, Sections *sections) {
    const ConfigValue *model_type = config_value_get(root, "model_type");
    if (model_type)
        return config_error(model_type, "model_type is a key of the section model:. The config.json of a model is not "
                                        "the configuration of a run, which can name it, as model: {config: PATH}");
    Key keys[CONFIG_SECTIONS];
    for (int i = 1; i < CONFIG_SECTIONS; i++)
        keys[i - 1] = (Key){.name = tables[i].section,
                            .type = KEY_VALUE,
                            .offset = offsetof(Sections, of) + (size_t)i * sizeof sections->of[0]};
    keys[CONFIG_SECTIONS - 1] = (Key){.name = "model", .type = KEY_VALUE, .offset = offsetof(Sections, model)};
    const KeyTable top[] = {{keys, CONFIG_SECTIONS, sections, ""}, tables[0]};
    return keys_apply(top, LENGTH(top), root, "", config_hints());
}

/* The path itself if it exists, and otherwise the path relative to the folder of `file`, which names it. */
static char *beside(const char *path, const char *file) {
    const char *slash = file ? strrchr(file, '/') : NULL;
    const size_t folder = slash && path[0] != '/' && access(path, F_OK) != 0 ? (size_t)(slash - file) + 1 : 0;
    char *joined = malloc(folder + strlen(path) + 1);
    CHECK_MEMORY(joined, "no memory for a path");
    if (folder) memcpy(joined, file, folder);
    strcpy(joined + folder, path);
    return joined;
}

static Status refuse_missing(const ConfigValue *config, const char *second) {
    static const char advice[] = "it is a path, not a name on the Hugging Face hub";
    if (strcmp(second, config->text) == 0)
        config_error(config, "model.config: %s does not exist; %s", config->text, advice);
    else
        config_error(config, "model.config: neither %s nor %s exists; %s", config->text, second, advice);
    return BAD_INPUT;
}

/* Reads the file model.config, if given, and overrides its keys with the inline ones. */
static Status read_model(const ConfigValue *inline_keys, ConfigValue **model) {
    if (!inline_keys) {
        *model = config_value_new(VALUE_MAPPING, NULL, 0);
        return OK;
    }
    if (inline_keys->type != VALUE_MAPPING)
        return config_error(inline_keys, "model must be a mapping of keys to values, not this %s",
                            value_type_name(inline_keys->type));
    const ConfigValue *config = config_value_get(inline_keys, "config");
    ConfigValue *keys = NULL;
    if (config && config->type != VALUE_NULL) {
        if (config->type != VALUE_STRING) return config_error(config, "model.config must be the path of a config.json");
        char *path = beside(config->text, config->file);
        const bool missing = access(path, F_OK) != 0 && errno == ENOENT;
        const Status status = missing ? refuse_missing(config, path) : config_value_read(path, &keys);
        free(path);
        if (status != OK) return status;
        if (keys->type != VALUE_MAPPING) {
            const Status refused = config_error(keys, "a model's configuration must be a mapping of keys to values");
            config_value_free(keys);
            return refused;
        }
    } else {
        keys = config_value_new(VALUE_MAPPING, inline_keys->file, inline_keys->line);
    }
    for (int i = 0; i < inline_keys->count; i++) {
        const ConfigValue *value = inline_keys->item[i];
        if (strcmp(value->key, "config") != 0) config_value_set(keys, value->key, config_value_copy(value));
    }
    *model = keys;
    return OK;
}

Status config_from_value(const ConfigValue *root, TrainConfig *config) {
    *config = (TrainConfig){0};
    KeyTable tables[CONFIG_SECTIONS];
    config_tables(config, tables);
    keys_defaults(tables, CONFIG_SECTIONS);
    Sections sections = {0};
    Status status = find_sections(root, tables, &sections);
    for (int i = 1; i < CONFIG_SECTIONS && status == OK; i++)
        status = keys_apply(&tables[i], 1, sections.of[i], tables[i].section, config_hints());
    if (status == OK) status = read_model(sections.model, &config->model);
    if (status == OK && strcmp(config->device, "auto") != 0) config_set_device(config, config->device);
    if (status != OK) config_free(config);
    return status;
}

void config_set_device(TrainConfig *config, const char *device) {
    if (strcmp(config->device, device) != 0) {
        free(config->device);
        config->device = strdup(device);
    }
    if (!config->training.mixed_precision_param)
        config->training.mixed_precision_param = strdup(strcmp(device, "cuda") == 0 ? "bfloat16" : "float32");
    CHECK_MEMORY(config->device && config->training.mixed_precision_param, "out of memory");
}

void config_free(TrainConfig *config) {
    KeyTable tables[CONFIG_SECTIONS];
    config_tables(config, tables);
    keys_free(tables, CONFIG_SECTIONS);
    config_value_free(config->model);
    *config = (TrainConfig){0};
}

void config_write(FILE *file, const TrainConfig *config) {
    KeyTable tables[CONFIG_SECTIONS];
    config_tables((TrainConfig *)config, tables);
    for (int i = 0; i < CONFIG_SECTIONS; i++) keys_print(file, &tables[i]);
    fputs(config->model->count ? "model:\n" : "model: ", file);
    config_value_write(file, config->model, config->model->count ? 2 : 0);
}

char *config_text(const TrainConfig *config) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "out of memory");
    config_write(file, config);
    fclose(file);
    return text;
}

bool config_help(FILE *file, const char *section) {
    KeyTable tables[CONFIG_SECTIONS];
    config_tables(NULL, tables);
    bool found = false;
    for (int i = 0; i < CONFIG_SECTIONS; i++) {
        if (section && (!section[0] || strcmp(tables[i].section, section) != 0)) continue;
        keys_help(file, &tables[i]);
        found = true;
    }
    if (section && strcmp(section, "model") != 0) return found;
    fputs("  --model.KEY\n      a key of the model's Hugging Face config.json; lists and mappings in YAML: [1, 3]\n"
          "  --model.config\n      path of a config.json; the keys beside it override it\n",
          file);
    return true;
}
