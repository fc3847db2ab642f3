#include "suites/results.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "base/number.h"
#include "config/keys.h"

typedef enum ColumnType { COLUMN_NAME, COLUMN_TEXT, COLUMN_INTEGER, COLUMN_REAL } ColumnType;

typedef struct Column {
    const char *name;
    ColumnType type;
    size_t offset; /* of the field in Result */
    bool required;
} Column;

#define COLUMN(name, type, field, required)                                                                            \
    { name, type, offsetof(Result, field), required }

static const Column columns[] = {
    COLUMN("suite", COLUMN_NAME, name[NAME_SUITE], true),
    COLUMN("task", COLUMN_NAME, name[NAME_TASK], true),
    COLUMN("setting", COLUMN_NAME, name[NAME_SETTING], false),
    COLUMN("split", COLUMN_NAME, name[NAME_SPLIT], true),
    COLUMN("model", COLUMN_NAME, name[NAME_MODEL], true),
    COLUMN("seed", COLUMN_INTEGER, seed, true),
    COLUMN("lr", COLUMN_REAL, lr, false),
    COLUMN("wd", COLUMN_REAL, wd, false),
    COLUMN("d_model", COLUMN_INTEGER, d_model, false),
    COLUMN("layers", COLUMN_INTEGER, layers, false),
    COLUMN("heads", COLUMN_INTEGER, heads, false),
    COLUMN("params", COLUMN_INTEGER, params, false),
    COLUMN("state_bytes", COLUMN_INTEGER, state_bytes, false),
    COLUMN("train_tokens", COLUMN_INTEGER, train_tokens, false),
    COLUMN("steps", COLUMN_INTEGER, steps, false),
    COLUMN("accuracy", COLUMN_REAL, score[METRIC_ACCURACY], false),
    COLUMN("accuracy_macro", COLUMN_REAL, score[METRIC_MACRO], false),
    COLUMN("exact", COLUMN_REAL, exact, false),
    COLUMN("error", COLUMN_REAL, score[METRIC_ERROR], false),
    COLUMN("f1", COLUMN_REAL, score[METRIC_F1], false),
    COLUMN("mse", COLUMN_REAL, score[METRIC_MSE], false),
    COLUMN("perplexity", COLUMN_REAL, perplexity, false),
    COLUMN("trivial", COLUMN_REAL, trivial, false),
    COLUMN("tokens_per_s", COLUMN_REAL, tokens_per_s, false),
    COLUMN("decode_tokens_per_s", COLUMN_REAL, decode_tokens_per_s, false),
    COLUMN("peak_bytes", COLUMN_INTEGER, peak_bytes, false),
    COLUMN("seconds", COLUMN_REAL, seconds, false),
    COLUMN("device", COLUMN_TEXT, device, false),
    COLUMN("precision", COLUMN_TEXT, precision, false),
    COLUMN("examples_crc", COLUMN_TEXT, examples_crc, false),
    COLUMN("version", COLUMN_TEXT, version, false),
    COLUMN("scored", COLUMN_INTEGER, scored, false),
    COLUMN("run", COLUMN_TEXT, run, false),
};

enum { COLUMNS = LENGTH(columns), FILE_MAX = 1 << 30 };

typedef struct Reader {
    const char *path;
    bool headed; /* the first line holds the names of the columns */
    int64_t line;
    const char **known[RESULT_NAMES]; /* the different names so far */
    int known_count[RESULT_NAMES];
} Reader;

static const char *known_name(Reader *reader, ResultName kind, const char *name) {
    int *count = &reader->known_count[kind];
    for (int i = 0; i < *count; i++)
        if (strcmp(reader->known[kind][i], name) == 0) return reader->known[kind][i];
    const char **grown = realloc(reader->known[kind], (size_t)(*count + 1) * sizeof *grown);
    CHECK_MEMORY(grown, "out of memory");
    reader->known[kind] = grown;
    return grown[(*count)++] = name;
}

static Status damaged(const Reader *reader, const char *column, const char *field, const char *expected) {
    log_error("%s, line %lld: %s is \"%.80s\", but must be %s; delete the line or make the file again", reader->path,
              (long long)reader->line, column, field, expected);
    return BAD_INPUT;
}

static bool is_number(const char *field, bool integer) {
    if (number_is_integer(field)) return true;
    return !integer && (number_is_real(field) || strcmp(field, "inf") == 0 || strcmp(field, "-inf") == 0);
}

static double number_of(const char *field) {
    if (strstr(field, "inf")) return field[0] == '-' ? -INFINITY : INFINITY;
    return field[0] ? number_to_real(field) : NAN;
}

static Status read_field(Reader *reader, const Column *column, const char *field, Result *result) {
    void *place = (char *)result + column->offset;
    if (!field[0] && column->required) return damaged(reader, column->name, field, "given");
    for (const char *c = field; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '"') return damaged(reader, column->name, field, "text without quotes");
    if (column->type == COLUMN_TEXT) {
        *(const char **)place = field;
    } else if (column->type == COLUMN_NAME) {
        const ResultName kind = (ResultName)((column->offset - offsetof(Result, name)) / sizeof result->name[0]);
        *(const char **)place = known_name(reader, kind, field);
    } else {
        if (field[0] && !is_number(field, column->type == COLUMN_INTEGER))
            return damaged(reader, column->name, field, column->type == COLUMN_INTEGER ? "an integer" : "a number");
        *(double *)place = number_of(field);
    }
    return OK;
}

/* Reads a line, without its line break. The line is cut into the texts of its fields. */
static Status read_row(Reader *reader, char *line, Result *result) {
    int commas = 0;
    for (const char *c = line; *c; c++) commas += *c == ',';
    if (commas != COLUMNS - 1) {
        log_error("%s, line %lld: it has %d fields instead of %d; delete the line or make the file again", reader->path,
                  (long long)reader->line, commas + 1, COLUMNS);
        return BAD_INPUT;
    }
    Status status = OK;
    for (int i = 0; i < COLUMNS && status == OK; i++) {
        char *end = line + strcspn(line, ",");
        *end = 0;
        status = read_field(reader, &columns[i], line, result);
        line = end + 1;
    }
    result->line = reader->line;
    return status;
}

/* Refuses a suite or task of another version, whose scores this version cannot judge. */
static Status check_known(const Reader *reader, const Result *result) {
    const Suite *suite = suite_find(result->name[NAME_SUITE]);
    if (!suite) return damaged(reader, "suite", result->name[NAME_SUITE], "a suite of this version of flame-c");
    if (suite_task(suite, result->name[NAME_TASK])) return OK;
    return damaged(reader, "task", result->name[NAME_TASK], "a task of its suite in this version of flame-c");
}

static Status read_header(const Reader *reader, const char *line) {
    for (int i = 0; i < COLUMNS; i++) {
        const size_t length = strlen(columns[i].name);
        const bool last = i == COLUMNS - 1;
        if (strncmp(line, columns[i].name, length) != 0 || line[length] != (last ? 0 : ',')) {
            log_error("%s, line 1: column %d is not %s; the file was made by another version of flame-c, or is not a "
                      "file of its results",
                      reader->path, i + 1, columns[i].name);
            return BAD_INPUT;
        }
        line += length + 1;
    }
    return OK;
}

static Status read_lines(Reader *reader, char *text, Results *results) {
    Status status = OK;
    for (char *next = text; *next && status == OK; reader->line++) {
        char *line = next, *end = strchr(line, '\n');
        if (!end) {
            log_error("%s, line %lld is not complete; delete it or make the file again", reader->path,
                      (long long)reader->line);
            return BAD_INPUT;
        }
        *end = 0;
        next = end + 1;
        if (reader->line == 1 && reader->headed)
            status = read_header(reader, line);
        else if ((status = read_row(reader, line, &results->row[results->count])) == OK)
            status = check_known(reader, &results->row[results->count++]);
    }
    if (status == OK && results->count == 0) {
        log_error("%s has no results", reader->path);
        status = BAD_INPUT;
    }
    return status;
}

static Status read_file(const char *path, bool headed, Results *results) {
    Reader reader = {.path = path, .headed = headed, .line = 1};
    int64_t bytes = 0, lines = 0;
    *results = (Results){0};
    const int error = file_read_all(path, FILE_MAX, &results->text, &bytes);
    if (error != 0) {
        log_error("%s cannot be read: %s", path, file_read_reason(error));
        return file_is_missing(error) ? BAD_INPUT : IO_ERROR;
    }
    if ((int64_t)strlen(results->text) != bytes) {
        log_error("%s is not a text: it has a zero byte", path);
        return BAD_INPUT;
    }
    for (const char *c = results->text; *c; c++) lines += *c == '\n';
    results->row = calloc((size_t)lines + 1, sizeof *results->row);
    CHECK_MEMORY(results->row, "out of memory");
    const Status status = read_lines(&reader, results->text, results);
    for (int i = 0; i < RESULT_NAMES; i++) free(reader.known[i]);
    return status;
}

Status results_read(const char *path, Results *results) { return read_file(path, true, results); }

Status results_check_run(const char *path, const char *run) {
    Results results;
    Status status = read_file(path, false, &results);
    for (int64_t i = 0; i < results.count && status == OK; i++) {
        if (strcmp(results.row[i].run, run) == 0) continue;
        log_error("%s, line %lld: its run is \"%.160s\", but must be that of the file's name", path,
                  (long long)results.row[i].line, results.row[i].run);
        status = BAD_INPUT;
    }
    results_free(&results);
    return status;
}

void results_free(Results *results) {
    for (int64_t i = 0; i < results->count; i++) free(results->row[i].right);
    free(results->row);
    free(results->seed);
    free(results->text);
    free(results->names);
    *results = (Results){0};
}

Metric results_metric(const Results *results, const char *suite, const char *task) {
    const Metric choices[] = {suite_find(suite)->metric, METRIC_ACCURACY, METRIC_MSE};
    for (int c = 0; c < LENGTH(choices); c++)
        for (int64_t i = 0; i < results->count; i++) {
            const Result *row = &results->row[i];
            if (row->name[NAME_SUITE] == suite && row->name[NAME_TASK] == task && !isnan(row->score[choices[c]]))
                return choices[c];
        }
    return choices[0];
}

/* NaN equals NaN, and is less than all others. */
static int compare_numbers(double a, double b) {
    if (isnan(a) || isnan(b)) return !isnan(a) - !isnan(b);
    return (a > b) - (a < b);
}

static int compare_names(const Result *a, const Result *b, const ResultName *order, int count) {
    for (int i = 0; i < count; i++) {
        const char *x = a->name[order[i]], *y = b->name[order[i]];
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

static const ResultName by_model[] = {NAME_SUITE, NAME_TASK, NAME_SETTING, NAME_MODEL};

/* Rows that compare equal are those among which the best point is selected. */
static int compare_choices(const Result *a, const Result *b) {
    const int order = compare_names(a, b, by_model, LENGTH(by_model));
    return order ? order : compare_numbers(a->seed, b->seed);
}

static int compare_points(const Result *a, const Result *b) {
    const int order = compare_numbers(a->lr, b->lr);
    return order ? order : compare_numbers(a->wd, b->wd);
}

static int for_selection(const void *x, const void *y) {
    const Result *a = x, *b = y;
    int order = compare_choices(a, b);
    if (order == 0) order = compare_points(a, b);
    return order ? order : compare_numbers((double)a->line, (double)b->line);
}

static int for_reading(const void *x, const void *y) {
    const Result *a = x, *b = y;
    static const ResultName all[] = {NAME_SUITE, NAME_TASK, NAME_SETTING, NAME_SPLIT, NAME_MODEL};
    const int order = compare_names(a, b, all, LENGTH(all));
    return order ? order : compare_numbers(a->seed, b->seed);
}

/* The score on the split "test" of a point's rows; larger is better. */
static double goodness(const Result *first, const Result *end, Metric metric) {
    double score = NAN;
    for (const Result *row = first; row < end; row++)
        if (strcmp(row->name[NAME_SPLIT], "test") == 0) score = row->score[metric];
    return metric_is_loss(metric) ? -score : score;
}

/* Appends a point's rows to `kept`, each split once: its last row. */
static void keep_point(const Result *first, const Result *end, Results *kept) {
    for (const Result *row = first; row < end; row++) {
        bool repeated = false;
        for (const Result *later = row + 1; later < end && !repeated; later++)
            repeated = later->name[NAME_SPLIT] == row->name[NAME_SPLIT];
        if (!repeated) kept->row[kept->count++] = *row;
    }
}

/* Keeps the best point among rows that differ only in point, split and line. `kept` may be the same array, since rows
 * are only written over rows that have been read. */
static void select_point(const Result *first, const Result *end, Metric metric, Results *kept) {
    const Result *best = first, *best_end = first;
    double best_score = NAN;
    int points = 0;
    for (const Result *point = first, *next; point < end; point = next, points++) {
        for (next = point; next < end && compare_points(next, point) == 0;) next++;
        const double score = goodness(point, next, metric);
        if (points > 0 && !(score > best_score) && !(isnan(best_score) && !isnan(score))) continue;
        best = point;
        best_end = next;
        best_score = score;
    }
    keep_point(best, best_end, kept);
    if (points > kept->points) kept->points = points;
}

static void list_seeds(Results *results) {
    results->seed = malloc((size_t)results->count * sizeof *results->seed);
    CHECK_MEMORY(results->seed, "out of memory");
    for (int64_t i = 0; i < results->count; i++) {
        int at = results->seeds;
        while (at > 0 && results->seed[at - 1] > results->row[i].seed) at--;
        if (at > 0 && results->seed[at - 1] == results->row[i].seed) continue;
        memmove(&results->seed[at + 1], &results->seed[at], (size_t)(results->seeds - at) * sizeof(double));
        results->seed[at] = results->row[i].seed;
        results->seeds++;
    }
}

void results_select(Results *results) {
    const Result *row = results->row, *end = row + results->count;
    const char *task = NULL;
    Metric metric = METRIC_ACCURACY;
    qsort(results->row, (size_t)results->count, sizeof *row, for_selection);
    Results kept = {.row = results->row};
    for (const Result *first = row, *next; first < end; first = next) {
        for (next = first; next < end && compare_choices(next, first) == 0;) next++;
        if (first->name[NAME_TASK] != task)
            metric = results_metric(results, first->name[NAME_SUITE], task = first->name[NAME_TASK]);
        select_point(first, next, metric, &kept);
    }
    results->count = kept.count;
    results->points = kept.points;
    qsort(results->row, (size_t)results->count, sizeof *row, for_reading);
    list_seeds(results);
}
