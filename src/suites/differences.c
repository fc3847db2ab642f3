#include "suites/differences.h"

#include <math.h>
#include <stdlib.h>

/* Below, no paired test of permutations reaches p < 0.05. */
enum { SEEDS_MIN = 6 };

static const double level = 0.05;

/* The scores of seeds that both cells have. */
typedef struct Paired {
    double *a, *b;
    int n;
} Paired;

static Paired pair_cells(const Summary *a, const Summary *b, int seeds) {
    Paired paired = {malloc((size_t)seeds * sizeof(double)), malloc((size_t)seeds * sizeof(double)), 0};
    CHECK(paired.a && paired.b, "out of memory");
    for (int i = 0; i < seeds; i++) {
        if (isnan(a->score[i]) || isnan(b->score[i])) continue;
        paired.a[paired.n] = a->score[i];
        paired.b[paired.n++] = b->score[i];
    }
    return paired;
}

/* p of the difference, and in *n the number of seeds. NaN where these are too few. */
static double compare_cells(const Summary *a, const Summary *b, int seeds, int *n) {
    Paired paired = pair_cells(a, b, seeds);
    double p = NAN;
    if (paired.n > PERMUTATION_MAX)
        p = welch_test(paired.a, paired.n, paired.b, paired.n);
    else if (paired.n >= SEEDS_MIN)
        p = paired_permutation(paired.a, paired.b, paired.n);
    *n = paired.n;
    free(paired.a);
    free(paired.b);
    return p;
}

/* The pairs of a column: p[i * rows + j] for rows i < j, NaN elsewhere. */
typedef struct Pairs {
    double *p;
    int tested, seeds_most; /* pairs with a p; the most seeds of any pair */
} Pairs;

static Pairs compare_all(const Table *table, int column) {
    const int rows = table->rows;
    Pairs pairs = {.p = malloc((size_t)rows * (size_t)rows * sizeof *pairs.p)};
    CHECK(pairs.p, "out of memory");
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++) {
            double *p = &pairs.p[i * rows + j];
            int n = 0;
            *p = NAN;
            if (j > i)
                *p = compare_cells(&table->row[i].cell[column], &table->row[j].cell[column], table->results->seeds, &n);
            pairs.tested += !isnan(*p);
            if (n > pairs.seeds_most) pairs.seeds_most = n;
        }
    holm_correct(pairs.p, rows * rows);
    return pairs;
}

static bool is_better(const Table *table, int column, int i, int j) {
    const double a = table->row[i].cell[column].mean, b = table->row[j].cell[column].mean;
    return metric_is_loss(table->column[column].metric) ? a < b : a > b;
}

/* The models that the one of row i is better than, if there are any. */
static int write_better(FILE *file, const Table *table, const Pairs *pairs, int column, int i) {
    int written = 0;
    for (int j = 0; j < table->rows; j++) {
        const double p = pairs->p[i < j ? i * table->rows + j : j * table->rows + i];
        if (isnan(p) || p >= level || !is_better(table, column, i, j)) continue;
        if (written++ == 0) fprintf(file, "  - %s over ", table->row[i].model);
        fprintf(file, "%s%s (%.2g)", written > 1 ? ", " : "", table->row[j].model, p);
    }
    if (written) fputc('\n', file);
    return written;
}

/* The seeds with which the smallest p, times so many pairs, is below the level. */
static int seeds_needed(int pairs) {
    int n = SEEDS_MIN;
    while (paired_permutation_smallest(n) * pairs >= level) n++;
    return n;
}

static void write_column(FILE *file, const Table *table, int c) {
    const TableColumn *column = &table->column[c];
    Pairs pairs = compare_all(table, c);
    const int needed = seeds_needed(pairs.tested);
    int different = 0;
    if (pairs.tested > 0) {
        fprintf(file, "- %s%s%s, %d pair%s", column->task ? column->task : "average", column->task ? ", " : "",
                column->task ? column->split : "", pairs.tested, pairs.tested == 1 ? "" : "s");
        if (pairs.seeds_most < needed)
            fprintf(file, ": not with %d seeds; for so many pairs it takes %d", pairs.seeds_most, needed);
        fputc('\n', file);
        for (int i = 0; i < table->rows; i++) different += write_better(file, table, &pairs, c, i);
        if (different == 0 && pairs.seeds_most >= needed) fprintf(file, "  - none\n");
    }
    free(pairs.p);
}

void differences_write(FILE *file, const Table *table) {
    int most = 0;
    for (int c = 0; c < table->columns; c++)
        for (int r = 0; r < table->rows; r++)
            if (table->row[r].cell[c].n > most) most = table->row[r].cell[c].n;
    fprintf(file, "\n## Significant differences\n\n");
    if (table->rows < 2) {
        fprintf(file, "There is only one model.\n");
        return;
    }
    if (most < SEEDS_MIN) {
        fprintf(file, "Not tested: a paired test of %d seed%s reaches p = %.3g at best, and p < %g takes %d seeds.\n",
                most, most == 1 ? "" : "s", paired_permutation_smallest(most), level, SEEDS_MIN);
        return;
    }
    fprintf(file,
            "Better with p < %g in an exact permutation test of the seeds' differences, two-sided and corrected for "
            "the pairs of a column by Holm (p in brackets)%s:\n\n",
            level, most > PERMUTATION_MAX ? "; Welch's t test where there are more than 20 seeds" : "");
    for (int c = 0; c < table->columns; c++) write_column(file, table, c);
}
