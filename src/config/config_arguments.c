/* The command line: reads the file of --config and applies the overrides to its tree. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "base/log.h"

typedef struct Argument {
    char *name;        /* without --, owned */
    const char *value; /* NULL: none */
} Argument;

/* Known keys have the form SECTION.KEY, or "device"; keys of the model may have more parts and are not looked up here.
 */
static const Key *find_key(const char *name) {
    const KeyHints *hints = config_hints();
    const char *dot = strchr(name, '.');
    const size_t section = dot ? (size_t)(dot - name) : 0;
    for (int t = 0; t < hints->table_count; t++) {
        const KeyTable *table = &hints->tables[t];
        if (strlen(table->section) != section || strncmp(table->section, name, section) != 0) continue;
        const Key *key = keys_find(table, 1, dot ? dot + 1 : name);
        if (key) return key;
    }
    return NULL;
}

bool config_knows(const char *name) {
    if (strcmp(name, "config") == 0 || find_key(name)) return true;
    const KeyHints *hints = config_hints();
    return keys_find(hints->tables, hints->table_count, name) != NULL;
}

static KeyType type_of(const Key *key) { return key->type & ~KEY_NULLABLE; }

/* Whether an option may be given without a value: --training.varlen means --training.varlen=true, as in flame. Unknown
 * options are allowed too, so that the error is about their name and not about the missing value. `option` names the
 * configuration file and always needs one. */
static bool is_switch(const char *name, const char *option) {
    const Key *key = find_key(name);
    if (key) return type_of(key) == KEY_BOOLEAN;
    if (strcmp(name, option) == 0) return false;
    return strncmp(name, "model.", 6) != 0 || keys_retired(config_hints(), name);
}

__attribute__((format(printf, 1, 2))) static Status usage(const char *format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_error("%s", message);
    return USAGE;
}

/* Parses the option argv[*i]. If its value is the next argument, advances *i to it. `option` names the configuration
 * file. */
static Status take_argument(int argc, char **argv, int *i, const char *option, Argument *argument) {
    const char *text = argv[*i];
    if (strncmp(text, "--", 2) != 0 || !text[2] || text[2] == '=')
        return usage("%.80s is not an option; options are --config FILE and --section.key=value", text);
    const char *equals = strchr(text, '=');
    *argument = (Argument){.name = equals ? strndup(text + 2, (size_t)(equals - text) - 2) : strdup(text + 2)};
    CHECK_MEMORY(argument->name, "no memory for the command line");
    if (strlen(argument->name) > KEY_BYTES) {
        const Status status =
            usage("--%.40s... is a name of %zu bytes; at most %d", argument->name, strlen(argument->name), KEY_BYTES);
        free(argument->name);
        return status;
    }
    if (equals)
        argument->value = equals + 1;
    else if (*i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0)
        argument->value = argv[++*i];
    else if (is_switch(argument->name, option))
        argument->value = "true";
    if (argument->value && argument->value[0]) return OK;
    const Status status = usage("--%.80s needs a value: --%.80s=VALUE", argument->name, argument->name);
    free(argument->name);
    return status;
}

static ConfigValue *split_at_commas(const char *text, bool strings) {
    ConfigValue *list = config_value_new(VALUE_LIST, COMMAND_LINE, 0);
    for (const char *item = text; item;) {
        const char *comma = strchr(item, ',');
        char *one = comma ? strndup(item, (size_t)(comma - item)) : strdup(item);
        CHECK_MEMORY(one, "no memory for the command line");
        config_value_append(list, strings ? config_value_string(one, COMMAND_LINE, 0)
                                          : config_value_plain(one, COMMAND_LINE, 0));
        free(one);
        item = comma ? comma + 1 : NULL;
    }
    return list;
}

/* Parses a value: strings are taken literally, values in brackets are YAML, other lists may be separated by commas. */
static Status read_argument(const Argument *argument, ConfigValue **value) {
    const Key *key = find_key(argument->name);
    const KeyType type = key ? type_of(key) : KEY_VALUE;
    const char *text = argument->value;
    const bool is_null = key && (key->type & KEY_NULLABLE) && strcmp(text, "null") == 0;
    if ((type == KEY_STRING && !is_null) || strcmp(argument->name, "model.config") == 0)
        *value = config_value_string(text, COMMAND_LINE, 0);
    else if (text[0] == '[' || text[0] == '{')
        return config_value_read_yaml(COMMAND_LINE, text, strlen(text), value);
    else if (type == KEY_INTEGER_LIST || type == KEY_REAL_LIST || type == KEY_STRING_LIST ||
             (!key && strchr(text, ','))) /* a key of the model, where no string contains a comma */
        *value = split_at_commas(text, type == KEY_STRING_LIST);
    else
        *value = config_value_plain(text, COMMAND_LINE, 0);
    return OK;
}

/* Finds the mapping that the last part of a dotted name belongs to. Creates missing mappings on the way. */
static Status find_mapping(ConfigValue *root, const char *name, ConfigValue **mapping) {
    char *path = strdup(name);
    CHECK_MEMORY(path, "no memory for the command line");
    Status status = OK;
    *mapping = root;
    char *key = path, *dot = NULL;
    while (status == OK && (dot = strchr(key, '.')) != NULL) {
        *dot = 0;
        ConfigValue *below = (ConfigValue *)config_value_get(*mapping, key);
        if (!below || below->type == VALUE_NULL) {
            below = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
            config_value_set(*mapping, key, below);
        } else if (below->type != VALUE_MAPPING) {
            status = config_error(below, "%s must be a mapping of keys to values, not this %s", path,
                                  value_type_name(below->type));
        }
        *dot = '.';
        *mapping = below;
        key = dot + 1;
    }
    free(path);
    return status;
}

/* Stores the value under its dotted name. Takes ownership of `value`. */
static Status place_argument(ConfigValue *root, const char *name, ConfigValue *value) {
    ConfigValue *mapping = NULL;
    const Status status = find_mapping(root, name, &mapping);
    if (status != OK) {
        config_value_free(value);
        return status;
    }
    const char *dot = strrchr(name, '.'), *key = dot ? dot + 1 : name;
    const ConfigValue *before = config_value_get(mapping, key);
    if (before && strcmp(before->file, COMMAND_LINE) == 0 && log_rank() == 0)
        log_warning("--%.80s is given more than once; the last one counts: %.80s", name,
                    value->text ? value->text : "");
    config_value_set(mapping, key, value);
    return OK;
}

/* Refuses an option without a section and suggests the full name. */
static Status refuse_bare(const char *name) {
    const KeyHints *hints = config_hints();
    for (int t = 1; t < hints->table_count; t++)
        if (strcmp(hints->tables[t].section, name) == 0 || strcmp(name, "model") == 0)
            return usage(
                "--%.80s is a section: give its keys, as --%.80s.KEY=VALUE; flame-c train --help=%.80s lists them",
                name, name, name);
    for (int t = 1; t < hints->table_count; t++)
        if (keys_find(&hints->tables[t], 1, name))
            return usage("unknown option --%.80s; did you mean --%s.%.80s?", name, hints->tables[t].section, name);
    const char *nearest = keys_nearest(hints->tables, hints->table_count, name);
    for (int t = 0; t < hints->table_count && nearest; t++)
        if (keys_find(&hints->tables[t], 1, nearest))
            return usage("unknown option --%.80s; did you mean --%s%s%s?", name, hints->tables[t].section, t ? "." : "",
                         nearest);
    return usage("unknown option --%.80s; flame-c train --help lists all but the model's keys, which are --model.KEY",
                 name);
}

/* Reads the file given by --OPTION. Checks the syntax of the overrides, but does not apply them yet. */
static Status read_file(int argc, char **argv, const char *option, ConfigValue **root) {
    const char *path = NULL;
    Status status = OK;
    for (int i = 0; i < argc && status == OK; i++) {
        Argument argument = {0};
        status = take_argument(argc, argv, &i, option, &argument);
        if (status != OK) return status;
        if (strcmp(argument.name, option) == 0) {
            if (path) status = usage("--%s is given twice: %.80s and %.80s", option, path, argument.value);
            path = argument.value;
        } else if (!strchr(argument.name, '.') && !find_key(argument.name)) {
            status = refuse_bare(argument.name);
        }
        free(argument.name);
    }
    if (status != OK) return status;
    if (!path) {
        *root = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
        return OK;
    }
    status = config_value_read(path, root);
    if (status != OK || (*root)->type == VALUE_MAPPING) return status;
    status =
        config_error(*root, "a configuration must be a mapping of sections, not a %s", value_type_name((*root)->type));
    config_value_free(*root);
    return status;
}

Status config_read_arguments(int argc, char **argv, const char *option, ConfigValue **root) {
    Status status = read_file(argc, argv, option, root);
    if (status != OK) return status;
    for (int i = 0; i < argc && status == OK; i++) {
        Argument argument = {0};
        ConfigValue *value = NULL;
        status = take_argument(argc, argv, &i, option, &argument);
        if (status != OK) break;
        if (strcmp(argument.name, option) != 0) {
            status = read_argument(&argument, &value);
            if (status == OK) status = place_argument(*root, argument.name, value);
        }
        free(argument.name);
    }
    if (status != OK) config_value_free(*root);
    return status;
}

Status config_load(int argc, char **argv, TrainConfig *config) {
    ConfigValue *root = NULL;
    Status status = config_read_arguments(argc, argv, "config", &root);
    if (status != OK) return status;
    status = config_from_value(root, config);
    config_value_free(root);
    return status;
}
