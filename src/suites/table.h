/* A suite's scores as a table: models by tasks and splits. */
#ifndef FLAME_SUITES_TABLE_H
#define FLAME_SUITES_TABLE_H

#include "suites/published.h"
#include "suites/summary.h"

typedef struct TableColumn {
    const char *task, *split; /* task NULL: the mean over the tasks on the split "test" */
    Metric metric;
    double trivial;
} TableColumn;

/* A row: a model, with a cell for each column. */
typedef struct TableRow {
    const char *model;
    Summary *cell;
    double *published; /* [columns]; NaN if there is none */
} TableRow;

typedef struct Table {
    const Results *results;
    const Suite *suite;
    const Published *published; /* or NULL */
    TableColumn *column;
    TableRow *row; /* the best first, by the mean over the tasks, or else by the first column of a split "test" */
    int columns, rows;
} Table;

/* `suite` is a name in `results`. The caller frees the table with table_free. */
Table table_make(const Results *results, const char *suite);
void table_free(Table *table);

#endif
