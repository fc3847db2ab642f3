#include "suites/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_column(Table *table, TableColumn column) {
    table->column = realloc(table->column, (size_t)(table->columns + 1) * sizeof *table->column);
    CHECK_MEMORY(table->column, "out of memory");
    table->column[table->columns++] = column;
}

static void list_columns(Table *table, const char *suite) {
    Group group = {.name[NAME_SUITE] = suite};
    const char **tasks = group_names(table->results, &group, NAME_TASK);
    for (int t = 0; tasks[t]; t++) {
        group.name[NAME_TASK] = tasks[t];
        const char **splits = group_names(table->results, &group, NAME_SPLIT);
        for (int s = 0; splits[s]; s++)
            add_column(table, (TableColumn){.task = tasks[t],
                                            .split = splits[s],
                                            .metric = results_metric(table->results, suite, tasks[t]),
                                            .trivial = NAN});
        free(splits);
    }
    if (tasks[1]) add_column(table, (TableColumn){.metric = table->suite->metric, .trivial = NAN});
    free(tasks);
}

/* Whether the column counts in the mean over the tasks. */
static bool is_averaged(const Table *table, const TableColumn *column) {
    return column->task && strcmp(column->split, "test") == 0 && column->metric == table->suite->metric;
}

static int averaged_columns(const Table *table) {
    int count = 0;
    for (int c = 0; c < table->columns; c++) count += is_averaged(table, &table->column[c]);
    return count;
}

/* The mean over the tasks; NaN if one of them is missing. */
static Summary average_cell(const Table *table, const TableRow *row) {
    const int seeds = table->results->seeds, tasks = averaged_columns(table);
    Summary average = {
        .metric = table->suite->metric, .rate = {NAN, NAN}, .score = calloc((size_t)seeds, sizeof(double))};
    CHECK_MEMORY(average.score, "out of memory");
    bool able = true;
    for (int c = 0; c < table->columns; c++) {
        if (!is_averaged(table, &table->column[c])) continue;
        for (int s = 0; s < seeds; s++) average.score[s] += row->cell[c].score[s] / tasks;
        average.settings += row->cell[c].settings;
        average.settings_done += row->cell[c].settings_done;
        able = able && row->cell[c].settings_done > 0;
    }
    if (!able) average.settings_done = 0;
    for (int s = 0; s < seeds && tasks == 0; s++) average.score[s] = NAN;
    summary_describe(&average, seeds);
    return average;
}

static double average_published(const Table *table, const TableRow *row) {
    const int tasks = averaged_columns(table);
    double sum = 0;
    for (int c = 0; c < table->columns; c++)
        if (is_averaged(table, &table->column[c])) sum += row->published[c];
    return tasks ? sum / tasks : NAN;
}

static void fill_row(Table *table, const char *suite, TableRow *row) {
    row->cell = calloc((size_t)table->columns, sizeof *row->cell);
    row->published = calloc((size_t)table->columns, sizeof *row->published);
    CHECK_MEMORY(row->cell && row->published, "out of memory");
    for (int c = 0; c < table->columns; c++) {
        TableColumn *column = &table->column[c];
        if (!column->task) { /* the last column */
            row->cell[c] = average_cell(table, row);
            row->published[c] = average_published(table, row);
            continue;
        }
        row->cell[c] = summarize(table->results, &(Group){.name = {[NAME_SUITE] = suite,
                                                                   [NAME_TASK] = column->task,
                                                                   [NAME_SPLIT] = column->split,
                                                                   [NAME_MODEL] = row->model}});
        row->published[c] = published_score(table->published, column->task, column->split, row->model);
        /* Rows with the same settings have the same trivial score. */
        if (row->cell[c].settings_done == row->cell[c].settings || isnan(column->trivial))
            column->trivial = row->cell[c].trivial;
    }
}

static void average_trivial(Table *table) {
    TableColumn *last = &table->column[table->columns - 1];
    const int tasks = averaged_columns(table);
    if (last->task) return;
    last->trivial = tasks ? 0 : NAN;
    for (int c = 0; c < table->columns; c++)
        if (is_averaged(table, &table->column[c])) last->trivial += table->column[c].trivial / tasks;
}

/* The column by which the rows are sorted. */
static int order_column(const Table *table) {
    const int last = table->columns - 1;
    if (!table->column[last].task) return last;
    for (int c = 0; c < table->columns; c++)
        if (strcmp(table->column[c].split, "test") == 0) return c;
    return 0;
}

/* Whether row a belongs above row b; those without a score come last. */
static bool is_better(const Table *table, const TableRow *a, const TableRow *b) {
    const int c = order_column(table);
    const double x = a->cell[c].mean, y = b->cell[c].mean;
    if (isnan(x) || isnan(y)) return !isnan(x);
    return metric_is_loss(table->column[c].metric) ? x < y : x > y;
}

static void sort_rows(Table *table) {
    for (int i = 1; i < table->rows; i++)
        for (int j = i; j > 0 && is_better(table, &table->row[j], &table->row[j - 1]); j--) {
            const TableRow row = table->row[j];
            table->row[j] = table->row[j - 1];
            table->row[j - 1] = row;
        }
}

Table table_make(const Results *results, const char *suite) {
    Table table = {.results = results, .suite = suite_find(suite), .published = published_find(suite)};
    list_columns(&table, suite);
    const char **models = group_names(results, &(Group){.name[NAME_SUITE] = suite}, NAME_MODEL);
    while (models[table.rows]) table.rows++;
    table.row = calloc((size_t)table.rows, sizeof *table.row);
    CHECK_MEMORY(table.row, "out of memory");
    for (int r = 0; r < table.rows; r++) {
        table.row[r].model = models[r];
        fill_row(&table, suite, &table.row[r]);
    }
    free(models);
    average_trivial(&table);
    sort_rows(&table);
    return table;
}

void table_free(Table *table) {
    for (int r = 0; r < table->rows; r++) {
        for (int c = 0; c < table->columns; c++) free(table->row[r].cell[c].score);
        free(table->row[r].cell);
        free(table->row[r].published);
    }
    free(table->row);
    free(table->column);
    *table = (Table){0};
}
