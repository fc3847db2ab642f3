#include "suites/differences.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* With fewer seeds no paired permutation test reaches p < 0.05. */
enum { SEEDS_MIN = 6 };

static const double level = 0.05;

/* The result of comparing two models. */
typedef struct Comparison {
    double p;        /* NaN: not tested */
    double smallest; /* the smallest value that p can have */
    bool first;      /* whether the first model is the better one */
    int seeds;       /* number of seeds that both have */
} Comparison;

/* Compares the models of rows i and j in a column. */
typedef Comparison Compare(const Table *table, int column, int i, int j);

/* The scores of two models. The first n of a and b belong to seeds that both have; the other scores follow. */
typedef struct SeedScores {
    double *a, *b;
    int n, n_a, n_b;
} SeedScores;

static SeedScores order_scores(const Summary *a, const Summary *b, int seeds) {
    SeedScores s = {.a = malloc((size_t)seeds * sizeof(double)), .b = malloc((size_t)seeds * sizeof(double))};
    CHECK_MEMORY(s.a && s.b, "out of memory");
    for (int i = 0; i < seeds; i++) {
        if (isnan(a->score[i]) || isnan(b->score[i])) continue;
        s.a[s.n] = a->score[i];
        s.b[s.n++] = b->score[i];
    }
    s.n_a = s.n_b = s.n;
    for (int i = 0; i < seeds; i++) {
        if (!isnan(a->score[i]) && isnan(b->score[i])) s.a[s.n_a++] = a->score[i];
        if (!isnan(b->score[i]) && isnan(a->score[i])) s.b[s.n_b++] = b->score[i];
    }
    return s;
}

static Comparison compare_seeds(const Table *table, int column, int i, int j) {
    const Summary *a = &table->row[i].cell[column], *b = &table->row[j].cell[column];
    SeedScores s = order_scores(a, b, table->results->seeds);
    Comparison c = {.p = NAN, .seeds = s.n};
    c.first = metric_is_loss(table->column[column].metric) ? a->mean < b->mean : a->mean > b->mean;
    if (s.n > PERMUTATION_MAX) {
        c.p = welch_test(s.a, s.n, s.b, s.n);
    } else if (s.n >= SEEDS_MIN) {
        c.p = paired_permutation(s.a, s.b, s.n);
        c.smallest = paired_permutation_smallest(s.n);
    } else if (s.n_a >= SEEDS_MIN && s.n_b >= SEEDS_MIN && s.n_a + s.n_b > PERMUTATION_MAX) {
        c.p = welch_test(s.a, s.n_a, s.b, s.n_b);
    } else if (s.n_a >= SEEDS_MIN && s.n_b >= SEEDS_MIN) {
        c.p = unpaired_permutation(s.a, s.n_a, s.b, s.n_b);
        c.smallest = unpaired_permutation_smallest(s.n_a, s.n_b);
    }
    free(s.a);
    free(s.b);
    return c;
}

/* The row with the other model's answers to the examples of row `a`; NULL if there is none. */
static const Result *answers_beside(const Results *results, const Result *a, const char *model) {
    for (int64_t i = 0; i < results->count; i++) {
        const Result *b = &results->row[i];
        bool same = b->name[NAME_MODEL] == model && b->seed == a->seed;
        for (ResultName kind = NAME_SUITE; kind <= NAME_SPLIT; kind++) same = same && b->name[kind] == a->name[kind];
        if (same && b->right && b->examples == a->examples && strcmp(b->examples_crc, a->examples_crc) == 0) return b;
    }
    return NULL;
}

static bool has_answers(const Table *table, int column, const Result *row) {
    return row->right && strcmp(row->name[NAME_SUITE], table->suite->name) == 0 &&
           row->name[NAME_TASK] == table->column[column].task && row->name[NAME_SPLIT] == table->column[column].split;
}

/* Whether the rows are of one model and the same test examples; their seeds may differ. */
static bool has_same_examples(const Result *a, const Result *b) {
    for (ResultName kind = 0; kind < RESULT_NAMES; kind++)
        if (a->name[kind] != b->name[kind]) return false;
    return b->right && b->examples == a->examples && strcmp(b->examples_crc, a->examples_crc) == 0;
}

/* How many examples one of two models answers right with more seeds than the other. */
typedef struct Wins {
    int64_t first, second;
    bool any; /* whether both models have answers to the same examples */
} Wins;

/* Adds the examples of row number `row`, each of them once, with the answers of all seeds. Other seeds come later. */
static void count_wins(const Results *results, int64_t row, const char *other, Wins *wins) {
    const Result *first = &results->row[row];
    int *more = calloc((size_t)first->examples + 1, sizeof *more);
    CHECK_MEMORY(more, "out of memory");
    for (int64_t r = row; r < results->count; r++) {
        const Result *a = &results->row[r];
        const Result *b = has_same_examples(first, a) ? answers_beside(results, a, other) : NULL;
        for (int64_t e = 0; b && e < a->examples; e++) more[e] += a->right[e] - b->right[e];
        wins->any = wins->any || b;
    }
    for (int64_t e = 0; e < first->examples; e++) {
        wins->first += more[e] > 0;
        wins->second += more[e] < 0;
    }
    free(more);
}

static bool is_repeated(const Results *results, int64_t row) {
    for (int64_t r = 0; r < row; r++)
        if (has_same_examples(&results->row[row], &results->row[r])) return true;
    return false;
}

static Comparison compare_examples(const Table *table, int column, int i, int j) {
    const Results *results = table->results;
    Wins wins = {0};
    for (int64_t r = 0; r < results->count; r++) {
        const Result *a = &results->row[r];
        if (a->name[NAME_MODEL] == table->row[i].model && has_answers(table, column, a) && !is_repeated(results, r))
            count_wins(results, r, table->row[j].model, &wins);
    }
    return (Comparison){.p = wins.any ? sign_test(wins.first, wins.second) : NAN, .first = wins.first > wins.second};
}

/* The pairs of a column: pair[i * rows + j] for rows i < j, p = NaN elsewhere. */
typedef struct Pairs {
    Comparison *pair;
    int tested, seeds_most; /* pairs with a p; the most seeds of any pair */
    double smallest;        /* the smallest p of any pair, before the correction */
} Pairs;

static void correct(Comparison *pair, int count) {
    double *p = malloc((size_t)count * sizeof *p);
    CHECK_MEMORY(p, "out of memory");
    for (int i = 0; i < count; i++) p[i] = pair[i].p;
    holm_correct(p, count);
    for (int i = 0; i < count; i++) pair[i].p = p[i];
    free(p);
}

static Pairs compare_all(const Table *table, int column, Compare *compare) {
    const int rows = table->rows;
    Pairs pairs = {.pair = malloc((size_t)rows * (size_t)rows * sizeof *pairs.pair), .smallest = 1};
    CHECK_MEMORY(pairs.pair, "out of memory");
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++) {
            Comparison *pair = &pairs.pair[i * rows + j];
            *pair = j > i ? compare(table, column, i, j) : (Comparison){.p = NAN};
            if (pair->seeds > pairs.seeds_most) pairs.seeds_most = pair->seeds;
            if (isnan(pair->p)) continue;
            pairs.tested++;
            pairs.smallest = fmin(pairs.smallest, pair->smallest);
        }
    correct(pairs.pair, rows * rows);
    return pairs;
}

/* Writes the models that the model of row i is better than, and returns how many. */
static int write_better(FILE *file, const Table *table, const Pairs *pairs, int i) {
    int written = 0;
    for (int j = 0; j < table->rows; j++) {
        const Comparison *pair = &pairs->pair[i < j ? i * table->rows + j : j * table->rows + i];
        if (isnan(pair->p) || pair->p >= level || pair->first != (i < j)) continue;
        if (written++ == 0) fprintf(file, "  - %s over ", table->row[i].model);
        fprintf(file, "%s%s (%.2g)", written > 1 ? ", " : "", table->row[j].model, pair->p);
    }
    if (written) fputc('\n', file);
    return written;
}

/* How many seeds it takes until the smallest possible p, times the number of pairs, is below the level. */
static int seeds_needed(int pairs) {
    int n = SEEDS_MIN;
    while (paired_permutation_smallest(n) * pairs >= level) n++;
    return n;
}

static void write_column(FILE *file, const Table *table, int c, const Pairs *pairs) {
    const TableColumn *column = &table->column[c];
    const bool able = pairs->smallest * pairs->tested < level;
    int different = 0;
    fprintf(file, "- %s%s%s, %d pair%s", column->task ? column->task : "average", column->task ? ", " : "",
            column->task ? column->split : "", pairs->tested, pairs->tested == 1 ? "" : "s");
    if (!able)
        fprintf(file, ": not with %d seeds; for so many pairs it takes %d", pairs->seeds_most,
                seeds_needed(pairs->tested));
    fputc('\n', file);
    for (int i = 0; i < table->rows; i++) different += write_better(file, table, pairs, i);
    if (different == 0 && able) fprintf(file, "  - none\n");
}

/* The most seeds of a model in a column. */
static int most_seeds(const Table *table, int column) {
    int most = 0;
    for (int r = 0; r < table->rows; r++)
        if (table->row[r].cell[column].n > most) most = table->row[r].cell[column].n;
    return most;
}

static void write_meaning(FILE *file, Compare *compare) {
    fprintf(file, "\nBetter with p < %g in ", level);
    if (compare == compare_seeds)
        fprintf(file,
                "an exact permutation test of the seeds' differences (of the scores, if two models have fewer than %d "
                "seeds in common), two-sided and corrected for the pairs of a column by Holm (p in brackets); "
                "Welch's t test if there are more than %d scores:\n\n",
                SEEDS_MIN, PERMUTATION_MAX);
    else
        fprintf(
            file,
            "an exact sign test of the test examples: which of two models answers an example right with more of the "
            "seeds (McNemar's test with one seed), two-sided and corrected for the pairs of a task by Holm (p in "
            "brackets). There are fewer than %d seeds, too few to test seeds. So this says how these trained models "
            "would do on other such examples, not how models of other seeds would:\n\n",
            SEEDS_MIN);
}

/* Writes the columns that are tested by `compare`. Returns whether any pair was tested. */
static bool write_tests(FILE *file, const Table *table, Compare *compare) {
    bool written = false;
    for (int c = 0; c < table->columns; c++) {
        if ((most_seeds(table, c) >= SEEDS_MIN) != (compare == compare_seeds)) continue;
        Pairs pairs = compare_all(table, c, compare);
        if (pairs.tested > 0 && !written) write_meaning(file, compare);
        if (pairs.tested > 0) write_column(file, table, c, &pairs);
        written = written || pairs.tested > 0;
        free(pairs.pair);
    }
    return written;
}

void differences_write(FILE *file, const Table *table) {
    int most = 0;
    for (int c = 0; c < table->columns; c++)
        if (most_seeds(table, c) > most) most = most_seeds(table, c);
    fprintf(file, "\n## Significant differences\n");
    if (table->rows < 2) {
        fprintf(file, "\nThere is only one model.\n");
        return;
    }
    const bool seeds = write_tests(file, table, compare_seeds), examples = write_tests(file, table, compare_examples);
    if (seeds || examples) return;
    if (most >= SEEDS_MIN)
        fprintf(file, "\nNot tested: no two models have %d seeds of the same task.\n", SEEDS_MIN);
    else
        fprintf(file,
                "\nNot tested: a paired test of %d seed%s reaches p = %.3g at best, and p < %g takes %d seeds; and no "
                "two models have answers to the same examples in runs/.\n",
                most, most == 1 ? "" : "s", paired_permutation_smallest(most), level, SEEDS_MIN);
}
