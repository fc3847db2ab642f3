#include "suites/model_sizes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parts of a size: their names, and the settings that decide them. */
enum { PARTS = 3, LABEL_BYTES = 128 };
static const char *const part_name[PARTS] = {"d_model", "layers", "heads"};
static const char *const part_key[PARTS] = {"model.hidden_size=", "model.num_hidden_layers=", "mixer.heads="};

static double part_of(const Result *row, int part) {
    const double parts[PARTS] = {row->d_model, row->layers, row->heads};
    return parts[part];
}

/* Whether two sizes differ. Rows of models that do not exist have no size (NaN). */
static bool is_other(double a, double b) { return a != b && !isnan(a) && !isnan(b); }

/* The first row of the same suite, or, with `model`, of the same model in the same suite. */
static int64_t first_like(const Results *results, const Result *row, bool model) {
    int64_t i = 0;
    while (results->row[i].name[NAME_SUITE] != row->name[NAME_SUITE] ||
           (model && results->row[i].name[NAME_MODEL] != row->name[NAME_MODEL]))
        i++;
    return i;
}

/* Finds the parts of which a model has several values, as bits in the entry of the model's first row. *any says whether
 * there are any. */
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

/* Writes the words of a setting that do not concern the size. */
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

/* Returns an earlier name that equals the text at *next, or else keeps that text as a new name and moves *next behind
 * it. */
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
    /* The names of all rows move, because their order in memory must be their order in the file. */
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
