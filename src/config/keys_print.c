#include <math.h>
#include <string.h>

#include "config/keys.h"
#include "base/number.h"

static void print_list(FILE *file, const Key *key, const void *field) {
    const KeyType type = key_type(key);
    const int64_t count = ((const StringList *)field)->count;
    if (count == 0 && (key->type & KEY_NULLABLE)) {
        fputs("null", file);
        return;
    }
    const bool brackets = !(key->type & KEY_SCALAR) || count != 1;
    if (brackets) fputc('[', file);
    for (int64_t i = 0; i < count; i++) {
        if (i > 0) fputs(", ", file);
        if (type == KEY_INTEGER_LIST) fprintf(file, "%lld", (long long)((const IntegerList *)field)->item[i]);
        if (type == KEY_REAL_LIST) config_write_real(file, ((const RealList *)field)->item[i]);
        if (type == KEY_STRING_LIST) config_write_string(file, ((const StringList *)field)->item[i]);
    }
    if (brackets) fputc(']', file);
}

static void print_string(FILE *file, const char *text) {
    if (text)
        config_write_string(file, text);
    else
        fputs("null", file);
}

static void print_field(FILE *file, const Key *key, const void *field) {
    const bool nullable = (key->type & KEY_NULLABLE) != 0;
    switch (key_type(key)) {
    case KEY_INTEGER:
        if ((key->type & KEY_AUTO) && *(const int64_t *)field == -1)
            fputs("auto", file);
        else if (nullable && *(const int64_t *)field == -1)
            fputs("null", file);
        else
            fprintf(file, "%lld", (long long)*(const int64_t *)field);
        break;
    case KEY_REAL:
        if (nullable && isnan(*(const double *)field))
            fputs("null", file);
        else
            config_write_real(file, *(const double *)field);
        break;
    case KEY_BOOLEAN:
        fputs(*(const bool *)field ? "true" : "false", file);
        break;
    case KEY_STRING:
    case KEY_CHOICE:
        print_string(file, *(char *const *)field);
        break;
    case KEY_VALUE:
        if (*(ConfigValue *const *)field)
            config_value_write(file, *(ConfigValue *const *)field, -1);
        else
            fputs("null", file);
        break;
    default:
        print_list(file, key, field);
    }
}

void keys_print(FILE *file, const KeyTable *table) {
    const bool section = table->section && table->section[0];
    if (section) fprintf(file, "%s:\n", table->section);
    for (int k = 0; k < table->count; k++) {
        const Key *key = &table->keys[k];
        if (!key_has_field(key)) continue;
        fprintf(file, "%s%s: ", section ? "  " : "", key->name);
        print_field(file, key, (const char *)table->values + key->offset);
        fputc('\n', file);
    }
}

char *key_text(const KeyTable *table, const Key *key) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "out of memory");
    if (key_has_field(key)) print_field(file, key, (const char *)table->values + key->offset);
    CHECK_MEMORY(fclose(file) == 0, "out of memory");
    return text;
}

void keys_help(FILE *file, const KeyTable *table) {
    static const char *const types[] = {"integer",  "number",  "true|false", "text",   "",
                                        "integers", "numbers", "texts",      "mapping"};
    for (int k = 0; k < table->count; k++) {
        const Key *key = &table->keys[k];
        if (!key_has_field(key)) continue;
        char range[96] = "", name[128];
        const bool section = table->section && table->section[0];
        snprintf(name, sizeof name, "--%s%s%s", section ? table->section : "", section ? "." : "", key->name);
        Key limits = *key;
        if (limits.high >= 1e15) limits.high = INFINITY; /* no real limit */
        if (limits.low != 0 || limits.high != 0) key_range(&limits, range);
        fprintf(file, "  %-46s %s%s%s%s, default %s\n", name, key->choices ? key->choices : types[key_type(key)],
                range[0] ? " (" : "", range, range[0] ? ")" : "",
                key->default_text && *key->default_text ? key->default_text : "none");
        fprintf(file, "      %s\n", key->doc ? key->doc : "");
    }
}
