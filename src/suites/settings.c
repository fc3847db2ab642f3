#include "suites/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"

static Status refuse(const char *setting, const char *why) {
    log_error("%.120s: %s; a setting is SECTION.KEY=VALUE with the sections task, training, mixer and model", setting,
              why);
    return USAGE;
}

/* 2 for "2x"; 0 for other texts. */
static int64_t factor_of(const char *text) {
    const size_t length = strlen(text);
    int64_t factor = 0;
    char digits[24];
    if (length < 2 || length >= sizeof digits || text[length - 1] != 'x') return 0;
    snprintf(digits, sizeof digits, "%.*s", (int)length - 1, text);
    return number_is_integer(digits) && number_to_integer(digits, &factor) && factor > 0 ? factor : 0;
}

static Status read_value(const ConfigValue *mapping, const char *key, const char *text, ConfigValue **value) {
    const int64_t factor = factor_of(text);
    if (factor == 0) return config_value_read_yaml(COMMAND_LINE, text, strlen(text), value);
    const ConfigValue *before = config_value_get(mapping, key);
    if (!before || before->type != VALUE_INTEGER) return refuse(text, "multiplies a key without an integer value");
    char product[32];
    snprintf(product, sizeof product, "%lld", (long long)(factor * before->integer));
    *value = config_value_plain(product, COMMAND_LINE, 0);
    return OK;
}

static ConfigValue *mapping_in(ConfigValue *mapping, const char *key) {
    ConfigValue *below = (ConfigValue *)config_value_get(mapping, key);
    if (below && below->type == VALUE_MAPPING) return below;
    below = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
    config_value_set(mapping, key, below);
    return below;
}

/* `setting` is a copy, which this function changes. */
static Status apply_one(ConfigValue *root, char *setting) {
    char *value_text = strchr(setting, '='), *dot = strchr(setting, '.');
    if (!value_text || !value_text[1]) return refuse(setting, "has no value");
    if (!dot || dot > value_text || dot == setting) return refuse(setting, "has no section");
    *value_text++ = 0;
    ConfigValue *mapping = root, *value = NULL;
    char *key = setting;
    while ((dot = strchr(key, '.')) != NULL) {
        *dot = 0;
        mapping = mapping_in(mapping, key);
        key = dot + 1;
    }
    if (!key[0]) return refuse(value_text, "has no key");
    const Status status = read_value(mapping, key, value_text, &value);
    if (status == OK) config_value_set(mapping, key, value);
    return status;
}

Status settings_apply(ConfigValue *root, const char *text) {
    Status status = OK;
    char *copy = text ? strdup(text) : NULL, *rest = NULL;
    CHECK_MEMORY(!text || copy, "out of memory");
    for (char *one = copy ? strtok_r(copy, " ", &rest) : NULL; one && status == OK; one = strtok_r(NULL, " ", &rest))
        status = apply_one(root, one);
    free(copy);
    return status;
}

const ConfigValue *settings_section(const ConfigValue *root, const char *section) {
    return config_value_get(root, section);
}
