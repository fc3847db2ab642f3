#include "suites/report.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "suites/answers.h"
#include "suites/differences.h"
#include "suites/model_sizes.h"
#include "suites/table.h"
#include "suites/text_file.h"

static void put_title(FILE *file, const TableColumn *column) {
    if (!column->task)
        fprintf(file, " average |");
    else if (strcmp(column->split, "test") == 0)
        fprintf(file, " %s |", column->task);
    else
        fprintf(file, " %s, %s |", column->task, column->split);
}

/* Errors near 0 need more digits, and squared errors may have any size. */
static void put_score(FILE *file, Metric metric, double score) {
    fprintf(file, metric == METRIC_MSE ? "%.4g" : metric == METRIC_ERROR ? "%.6f" : "%.3f", score);
}

static void put_rate(FILE *file, const Summary *cell) {
    if (cell->mean == 0)
        fprintf(file, "0 (< %.2g)", cell->rate.high);
    else
        fprintf(file, "%.6f (%.2g to %.2g)", cell->mean, cell->rate.low, cell->rate.high);
}

static void put_cell(FILE *file, const Summary *cell, double published) {
    if (cell->settings_done == 0) {
        fprintf(file, " n/a");
    } else if (cell->n == 0) {
        fprintf(file, " %d of %d settings", cell->settings_done, cell->settings);
    } else if (!isnan(cell->rate.high)) {
        fputc(' ', file);
        put_rate(file, cell);
    } else {
        fputc(' ', file);
        put_score(file, cell->metric, cell->mean);
        if (cell->n > 1) {
            fprintf(file, " ± ");
            put_score(file, cell->metric, cell->interval.high - cell->mean);
        }
    }
    if (!isnan(published)) {
        fprintf(file, " (");
        put_score(file, cell->metric, published);
        fputc(')', file);
    }
    fprintf(file, " |");
}

static void put_table(FILE *file, const Table *table) {
    fprintf(file, "| model |");
    for (int c = 0; c < table->columns; c++) put_title(file, &table->column[c]);
    fprintf(file, "\n|---|");
    for (int c = 0; c < table->columns; c++) fprintf(file, "---|");
    for (int r = 0; r < table->rows; r++) {
        fprintf(file, "\n| %s |", table->row[r].model);
        for (int c = 0; c < table->columns; c++) put_cell(file, &table->row[r].cell[c], table->row[r].published[c]);
    }
    fprintf(file, "\n| trivial |");
    for (int c = 0; c < table->columns; c++) {
        const TableColumn *column = &table->column[c];
        fputc(' ', file);
        if (!isnan(column->trivial)) put_score(file, column->metric, column->trivial);
        fprintf(file, " |");
    }
    fprintf(file, "\n");
}

/* The device in words. */
static const char *text_of(const char *text) {
    return strcmp(text, "cpu") == 0 ? "a CPU" : strcmp(text, "cuda") == 0 ? "a GPU" : text;
}

/* The different texts of the suite's rows, separated by commas. */
static void put_texts(FILE *file, const Results *results, const char *suite, size_t offset) {
    const char *seen[16];
    int count = 0;
    for (int64_t i = 0; i < results->count && count < 16; i++) {
        const char *text = *(const char *const *)((const char *)&results->row[i] + offset);
        int at = 0;
        while (at < count && strcmp(seen[at], text) != 0) at++;
        if (results->row[i].name[NAME_SUITE] != suite || at < count || !text[0]) continue;
        fprintf(file, "%s%s", count ? ", " : "", text_of(text));
        seen[count++] = text;
    }
}

static bool has_rates(const Table *table) {
    for (int r = 0; r < table->rows; r++)
        for (int c = 0; c < table->columns; c++)
            if (!isnan(table->row[r].cell[c].rate.high)) return true;
    return false;
}

/* Writes what the numbers of the table are. */
static void put_legend(FILE *file, const Table *table, const char *suite) {
    fprintf(file, "%s", metric_name(table->suite->metric));
    const char *task = NULL;
    for (int c = 0; c < table->columns; c++) {
        const TableColumn *column = &table->column[c];
        if (column->metric != table->suite->metric && column->task != task)
            fprintf(file, " (%s: %s)", column->task, metric_name(column->metric));
        task = column->task;
    }
    fprintf(file, "; the mean over the settings of a task");
    if (table->results->seeds > 1) fprintf(file, ", with the 95 %% interval of %d seeds", table->results->seeds);
    if (has_rates(table))
        fprintf(file,
                "; (a to b) or (< b) is Wilson's 95 %% interval of one training's rate, as if its scored positions "
                "were independent");
    fprintf(file, ". \"trivial\" is the best answer that ignores the input.");
    if (table->results->points > 1)
        fprintf(file, " Of %d learning rates and weight decays, the best of each seed on the test split counts.",
                table->results->points);
    if (table->published) fprintf(file, " In brackets the published figure: %s.", table->published->source);
    fprintf(file, " Made in ");
    put_texts(file, table->results, suite, offsetof(Result, precision));
    fprintf(file, " on ");
    put_texts(file, table->results, suite, offsetof(Result, device));
    fprintf(file, " by flame-c ");
    put_texts(file, table->results, suite, offsetof(Result, version));
    fprintf(file, ".\n");
}

/* Published figures are means over all settings. Writes where ours are not. */
static void put_settings(FILE *file, const Table *table) {
    int known = 0, done = 0;
    for (int c = 0; c < table->columns; c++) {
        if (!table->column[c].task || strcmp(table->column[c].split, "test") != 0) continue;
        const char *const *sweep = suite_task(table->suite, table->column[c].task)->sweep;
        for (known++; *sweep; sweep++) known++;
        done += table->row[0].cell[c].settings;
    }
    if (done < known)
        fprintf(file,
                "\nThese are %d of the %d published settings of these tasks, so that the published figures compare "
                "only roughly.\n",
                done, known);
}

/* How well our order of the models agrees with the published one: Spearman's correlation. NaN for fewer than three
 * models. */
static double order_correlation(const Table *table, int column, int *models) {
    double *ours = malloc((size_t)table->rows * sizeof *ours), *published = malloc((size_t)table->rows * sizeof *ours);
    CHECK_MEMORY(ours && published, "out of memory");
    *models = 0;
    for (int r = 0; r < table->rows; r++) {
        const TableRow *row = &table->row[r];
        if (isnan(row->cell[column].mean) || isnan(row->published[column])) continue;
        ours[*models] = row->cell[column].mean;
        published[(*models)++] = row->published[column];
    }
    const double correlation = *models < 3 ? NAN : rank_correlation(ours, published, *models);
    free(ours);
    free(published);
    return correlation;
}

static void put_order(FILE *file, const Table *table) {
    fprintf(file,
            "\n## The order of the models beside the published one\n\nSpearman's rank correlation (1: the same order, "
            "0: no relation), from three models on:\n\n|");
    for (int c = 0; c < table->columns; c++) put_title(file, &table->column[c]);
    fprintf(file, "\n|");
    for (int c = 0; c < table->columns; c++) fprintf(file, "---|");
    fprintf(file, "\n|");
    for (int c = 0; c < table->columns; c++) {
        int models = 0;
        const double correlation = order_correlation(table, c, &models);
        if (isnan(correlation))
            fprintf(file, " n/a |");
        else
            fprintf(file, " %.2f of %d models |", correlation, models);
    }
    fprintf(file, "\n");
}

static bool has_order(const Table *table) {
    int models = 0;
    for (int c = 0; c < table->columns; c++)
        if (table->published && !isnan(order_correlation(table, c, &models))) return true;
    return false;
}

static void put_suite(FILE *file, const Results *results, const char *suite) {
    Table table = table_make(results, suite);
    fprintf(file, "# %s\n\n", table.suite->meaning);
    put_legend(file, &table, suite);
    if (table.published) put_settings(file, &table);
    fprintf(file, "\n");
    put_table(file, &table);
    if (has_order(&table)) put_order(file, &table);
    differences_write(file, &table);
    fprintf(file, "\n## Deviations from the publication\n\n");
    for (const char *const *note = table.suite->notes; *note; note++) fprintf(file, "- %s\n", *note);
    table_free(&table);
}

static Status write_table(const Results *results, const char *path) {
    TextFile text;
    text_file_begin(&text);
    const char **suites = group_names(results, &(Group){0}, NAME_SUITE);
    for (int i = 0; suites[i]; i++) {
        if (i > 0) fputc('\n', text.file);
        put_suite(text.file, results, suites[i]);
    }
    free(suites);
    return text_file_replace(&text, path);
}

Status report_write(const char *folder) {
    char *from = path_join(folder, "results.csv"), *aggregate = path_join(folder, "aggregate.csv");
    char *table = path_join(folder, "table.md");
    Results results;
    Status status = results_read(from, &results);
    if (status == OK) {
        model_sizes_name(&results);
        results_select(&results);
        status = answers_read(folder, &results);
    }
    if (status == OK) status = aggregate_write(&results, aggregate);
    if (status == OK) status = write_table(&results, table);
    results_free(&results);
    free(from);
    free(aggregate);
    free(table);
    return status;
}
