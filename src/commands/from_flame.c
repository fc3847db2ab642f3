/* flame-c from-flame: converts a command line of flame, and the TOML file that it names, to a YAML configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "config/config.h"

typedef struct FromFlame {
    Texts keys;
} FromFlame;

static const Option options[] = {
    {"job.config_file", OPTION_KEY, "FILE.toml", NULL, 0, 0, "flame's configuration; the other keys override it", 0},
};

/* The result: the keys that exist here, and remarks about the others. */
typedef struct Conversion {
    ConfigValue *kept;
    FILE *remarks;
} Conversion;

static const Key *find_key(const char *section, const char *name) {
    const KeyHints *hints = config_hints();
    for (int t = 0; t < hints->table_count; t++)
        if (strcmp(hints->tables[t].section, section) == 0) return keys_find(&hints->tables[t], 1, name);
    return NULL;
}

static ConfigValue *section_of(ConfigValue *root, const char *name) {
    if (!config_value_get(root, name)) config_value_set(root, name, config_value_new(VALUE_MAPPING, NULL, 0));
    return (ConfigValue *)config_value_get(root, name);
}

/* `word` without the spaces around it. */
static char *trimmed(char *word) {
    word += strspn(word, " ");
    size_t length = strlen(word);
    while (length > 0 && word[length - 1] == ' ') word[--length] = 0;
    return word;
}

/* Converts a value to the form that it has here: flame writes lists of numbers as text with commas, and its TOML may
 * have other numbers in quotes. */
static ConfigValue *value_here(const ConfigValue *value, const Key *key) {
    const KeyType type = key ? key_type(key) : KEY_VALUE;
    if (value->type == VALUE_STRING && (type == KEY_INTEGER || type == KEY_REAL || type == KEY_BOOLEAN))
        return config_value_plain(value->text, NULL, 0);
    if (value->type != VALUE_STRING || (type != KEY_INTEGER_LIST && type != KEY_REAL_LIST))
        return config_value_copy(value);
    ConfigValue *list = config_value_new(VALUE_LIST, NULL, 0);
    char *words = strdup(value->text), *rest = NULL;
    CHECK_MEMORY(words, "no memory for %s", value->text);
    for (char *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        config_value_append(list, config_value_plain(trimmed(word), NULL, 0));
    free(words);
    return list;
}

static void keep(Conversion *c, const char *section, const char *name, const ConfigValue *value) {
    config_value_set(section_of(c->kept, section), name, value_here(value, find_key(section, name)));
}

static const char *nearest_key(const char *section, const char *name) {
    const KeyHints *hints = config_hints();
    for (int t = 0; t < hints->table_count; t++)
        if (strcmp(hints->tables[t].section, section) == 0) return keys_nearest(&hints->tables[t], 1, name);
    return NULL;
}

static void convert_key(Conversion *c, const char *section, const ConfigValue *value) {
    char full[2 * KEY_BYTES + 2], here[64];
    snprintf(full, sizeof full, "%s.%s", section, value->key);
    const RetiredKey *retired = keys_retired(config_hints(), full);
    if (find_key(section, value->key) || strcmp(full, "model.config") == 0) {
        keep(c, section, value->key, value);
    } else if (retired && retired->now) {
        snprintf(here, sizeof here, "%s", retired->now);
        char *dot = strchr(here, '.'); /* NULL: --config is an option, not a key */
        if (dot) *dot = 0;
        if (dot) keep(c, here, dot + 1, value);
        fprintf(c->remarks, "#   %s: called %s here\n", full, retired->now);
    } else if (retired) {
        fprintf(c->remarks, "#   %s: %s\n", full, retired->advice);
    } else {
        const char *nearest = nearest_key(section, value->key);
        fprintf(c->remarks, "#   %s: unknown to flame-c, left out", full);
        if (nearest) fprintf(c->remarks, "; did you mean %s.%s?", section, nearest);
        fputc('\n', c->remarks);
    }
}

static void write_result(const Conversion *c, const char *remarks) {
    const ConfigValue *model = config_value_get(config_value_get(c->kept, "model"), "config");
    config_value_write(stdout, c->kept, 0);
    puts("# Still to be added: data.files, the HDF5 files that tools/prepare.py makes.");
    if (!model || !model->text || access(model->text, R_OK) != 0)
        puts("# Still to be added: model.config, the path of a config.json on this machine.");
    puts("# To compute exactly as flame does: optimizer.decay_all: true (weight decay on every tensor) and\n"
         "# training.mask_document_boundaries: false (a document's last token predicts the next one's first).");
    if (remarks[0]) printf("# Flame's keys that have another name or no use here:\n%s", remarks);
}

/* Prints the end of the help. There are no topics. */
static bool name_keys(FILE *file, const char *topic) {
    if (!topic) fputs("\nEvery key of flame is an option too: --section.key VALUE.\n", file);
    return !topic;
}

static Status run(void *values) {
    const FromFlame *task = values;
    ConfigValue *root = NULL;
    Status status = config_read_arguments(task->keys.count, task->keys.item, "job.config_file", &root);
    if (status != OK) return status;
    char *remarks = NULL;
    size_t bytes = 0;
    Conversion c = {config_value_new(VALUE_MAPPING, NULL, 0), open_memstream(&remarks, &bytes)};
    CHECK_MEMORY(c.remarks, "no memory for the conversion");
    for (int s = 0; s < root->count && status == OK; s++) {
        const ConfigValue *section = root->item[s];
        if (section->type != VALUE_MAPPING)
            status = config_error(section, "%s is outside of all sections", section->key);
        for (int k = 0; k < section->count && status == OK; k++) convert_key(&c, section->key, section->item[k]);
    }
    fclose(c.remarks);
    if (status == OK) write_result(&c, remarks);
    free(remarks);
    config_value_free(c.kept);
    config_value_free(root);
    return status;
}

const Command from_flame_command = {
    .name = "from-flame",
    .summary = "turn a command line of flame, with its TOML, into a configuration",
    .text = "Takes the arguments of flame's train.sh and prints a configuration in YAML. Comments at its end list the\n"
            "keys that have another name or no use here. Example: flame-c from-flame ARGUMENTS > run.yaml\n"
            "docs/from-flame.md lists all keys of flame.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(FromFlame),
    .takes_keys = true,
    .keys = offsetof(FromFlame, keys),
    .topic = name_keys,
    .run = run,
};
