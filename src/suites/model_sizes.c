#include "suites/model_sizes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parts of a size: columns, and the settings that decide them. */
enum { PARTS = 3, LABEL_BYTES = 128 };
static const char *const part_name[PARTS] = {"d_model", "layers", "heads"};
static const char *const part_key[PARTS] = {"model.hidden_size=", "model.num_hidden_layers=", "mixer.heads="};

static double part_of(const Result *row, int part) {
    const double parts[PARTS] = {row->d_model, row->layers, row->heads};
    return parts[part];
}

/* Rows of models that cannot be have no size. */
static bool is_other(double a, double b) { return a != b && !isnan(a) && !isnan(b); }

/* The first row of a row's suite, and of its model in it if that is asked for. */
static int64_t first_like(const Results *results, const Result *row, bool model) {
    int64_t i = 0;
    while (results->row[i].name[NAME_SUITE] != row->name[NAME_SUITE] ||
           (model && results->row[i].name[NAME_MODEL] != row->name[NAME_MODEL]))
        i++;
    return i;
}

/* Parts that a model has several values of, as bits: at its first row. *any: whether there are some. */
static int *find_sizes(const Results *results, bool *any) {
    int *parts = calloc((size_t)results->count + 1, sizeof *parts);
    CHECK_MEMORY(parts, "out of memory");
    *any = false;
    for (int64_t i = 0; i < results->count; i++) {
        const int64_t first = first_like(results, &results->row[i], true);
        for (int p = 0; p < PARTS; p++)
            if (is_other(part_of(&results->row[i], p), part_of(&results->row[first], p))) parts[first] |= 1 << p;
        *any = *any || parts[first];
    }
    return parts;
}

static void write_model(char *to, const Result *row, int parts) {
    to += sprintf(to, "%s", row->name[NAME_MODEL]);
    for (int p = 0; p < PARTS; p++)
        if (parts & 1 << p && !isnan(part_of(row, p)))
            to += snprintf(to, LABEL_BYTES / PARTS, " %s=%.15g", part_name[p], part_of(row, p));
}

/* The words of a setting that are not about the size. */
static void write_setting(char *to, const Result *row) {
    const char *separator = "";
    *to = 0;
    for (const char *word = row->name[NAME_SETTING]; *word; word += strspn(word, " ")) {
        const int length = (int)strcspn(word, " ");
        bool size = false;
        for (int p = 0; p < PARTS; p++) size = size || strncmp(word, part_key[p], strlen(part_key[p])) == 0;
        if (!size && length > 0) {
            to += sprintf(to, "%s%.*s", separator, length, word);
            separator = " ";
        }
        word += length;
    }
}

/* Names of one kind: each once, in the order of the file. */
typedef struct Names {
    const char **known;
    int count;
} Names;

/* Makes the text at *next the name, or the earlier one that is equal. */
static const char *keep(Names *names, char **next) {
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->known[i], *next) == 0) return names->known[i];
    names->known = realloc(names->known, (size_t)(names->count + 1) * sizeof *names->known);
    CHECK_MEMORY(names->known, "out of memory");
    const char *name = *next;
    *next += strlen(name) + 1;
    return names->known[names->count++] = name;
}

static size_t bytes_of_names(const Results *results) {
    size_t bytes = 1;
    for (int64_t i = 0; i < results->count; i++)
        bytes += strlen(results->row[i].name[NAME_MODEL]) + strlen(results->row[i].name[NAME_SETTING]) + LABEL_BYTES;
    return bytes;
}

void model_sizes_name(Results *results) {
    bool any = false;
    int *parts = find_sizes(results, &any), *suite = calloc((size_t)results->count + 1, sizeof *suite);
    char *next = results->names = any ? malloc(bytes_of_names(results)) : NULL;
    CHECK_MEMORY(suite && (next || !any), "out of memory");
    /* All rows' names move, as their order in memory is their order in the file. */
    Names models = {0}, settings = {0};
    Result *renamed = malloc(((size_t)results->count + 1) * sizeof *renamed);
    CHECK_MEMORY(renamed, "out of memory");
    memcpy(renamed, results->row, (size_t)results->count * sizeof *renamed);
    for (int64_t i = 0; i < results->count && any; i++)
        suite[first_like(results, &results->row[i], false)] |= parts[first_like(results, &results->row[i], true)];
    for (int64_t i = 0; i < results->count && any; i++) {
        const Result *row = &results->row[i];
        write_model(next, row, parts[first_like(results, row, true)]);
        renamed[i].name[NAME_MODEL] = keep(&models, &next);
        if (suite[first_like(results, row, false)])
            write_setting(next, row);
        else
            strcpy(next, row->name[NAME_SETTING]);
        renamed[i].name[NAME_SETTING] = keep(&settings, &next);
    }
    free(results->row);
    results->row = renamed;
    free(models.known);
    free(settings.known);
    free(parts);
    free(suite);
}
