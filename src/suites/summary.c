#include "suites/summary.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/text_file.h"

static bool in_group(const Result *row, const Group *group) {
    for (int i = 0; i < RESULT_NAMES; i++)
        if (group->name[i] && row->name[i] != group->name[i]) return false;
    return true;
}

const char **group_names(const Results *results, const Group *group, ResultName kind) {
    const char **names = NULL;
    int count = 0;
    for (int64_t i = 0; i < results->count; i++) {
        const char *name = results->row[i].name[kind];
        int at = count;
        if (!in_group(&results->row[i], group)) continue;
        while (at > 0 && names[at - 1] > name) at--;
        if (at > 0 && names[at - 1] == name) continue;
        names = realloc(names, (size_t)(count + 2) * sizeof *names);
        CHECK_MEMORY(names, "out of memory");
        memmove(&names[at + 1], &names[at], (size_t)(count++ - at) * sizeof *names);
        names[at] = name;
    }
    if (!names) names = calloc(1, sizeof *names);
    CHECK_MEMORY(names, "out of memory");
    names[count] = NULL;
    return names;
}

static int count_names(const Results *results, const Group *group, ResultName kind) {
    const char **names = group_names(results, group, kind);
    int count = 0;
    while (names[count]) count++;
    free(names);
    return count;
}

/* The settings that any model has in this task and split. */
static int count_settings(const Results *results, const Group *group) {
    Group task = *group;
    task.name[NAME_MODEL] = NULL;
    return count_names(results, &task, NAME_SETTING);
}

static int seed_number(const Results *results, double seed) {
    int i = 0;
    while (results->seed[i] != seed) i++;
    return i;
}

/* Computes each seed's mean over the settings, if all have a score, and counts the settings with a score. */
static void mean_by_seed(const Results *results, const Group *group, Summary *summary) {
    const char *setting = NULL;
    int *count = calloc((size_t)results->seeds, sizeof *count);
    CHECK_MEMORY(count, "out of memory");
    for (int64_t i = 0; i < results->count; i++) {
        const Result *row = &results->row[i];
        if (!in_group(row, group) || isnan(row->score[summary->metric])) continue;
        const int seed = seed_number(results, row->seed);
        summary->score[seed] += row->score[summary->metric];
        count[seed]++;
        if (row->name[NAME_SETTING] != setting) summary->settings_done++; /* the rows are sorted by setting */
        setting = row->name[NAME_SETTING];
    }
    for (int i = 0; i < results->seeds; i++)
        summary->score[i] = count[i] == summary->settings ? summary->score[i] / count[i] : NAN;
    free(count);
}

void summary_describe(Summary *s, int seeds) {
    double *values = malloc((size_t)seeds * sizeof *values);
    CHECK_MEMORY(values, "out of memory");
    s->n = 0;
    for (int i = 0; i < seeds; i++)
        if (!isnan(s->score[i])) values[s->n++] = s->score[i];
    s->mean = sample_mean(values, s->n);
    s->deviation = sample_deviation(values, s->n);
    s->interval = mean_interval(values, s->n);
    free(values);
}

/* The median of a number of the group's rows, which lies at `offset` in a Result; NaN if none has it. */
static double median_of(const Results *results, const Group *group, size_t offset) {
    double *number = malloc((size_t)results->count * sizeof *number);
    int numbers = 0;
    CHECK_MEMORY(number, "out of memory");
    for (int64_t i = 0; i < results->count; i++) {
        const double value = *(const double *)((const char *)&results->row[i] + offset);
        if (in_group(&results->row[i], group) && !isnan(value)) number[numbers++] = value;
    }
    const double median = sample_median(number, numbers);
    free(number);
    return median;
}

/* Fills the numbers that do not depend on the score: those of the trivial answer, of the model and of its speed. */
static void describe_runs(const Results *results, const Group *group, Summary *s) {
    double trivial = 0;
    int trivials = 0;
    s->peak_bytes = s->state_bytes = s->params = NAN;
    for (int64_t i = 0; i < results->count; i++) {
        const Result *row = &results->row[i];
        if (!in_group(row, group)) continue;
        if (!isnan(row->trivial)) trivial += row->trivial, trivials++;
        s->peak_bytes = fmax(s->peak_bytes, row->peak_bytes);
        s->state_bytes = fmax(s->state_bytes, row->state_bytes);
        s->params = fmax(s->params, row->params);
    }
    s->tokens_per_s = median_of(results, group, offsetof(Result, tokens_per_s));
    s->decode_tokens_per_s = median_of(results, group, offsetof(Result, decode_tokens_per_s));
    s->trivial = trivials ? trivial / trivials : NAN;
    if (s->metric == METRIC_ERROR) s->trivial = 1 - s->trivial;
    const double best = metric_is_loss(s->metric) ? 0 : 1;
    s->skill = s->trivial == best ? NAN : (s->mean - s->trivial) / (best - s->trivial);
}

/* The interval of an error rate for which seeds give no interval. If several seeds have no errors, they answered the
 * same positions, which count once. */
static Interval interval_of_rate(const Results *results, const Group *group, const Summary *s) {
    const Interval none = {NAN, NAN};
    if (s->metric != METRIC_ERROR || s->settings != 1 || s->n < 1 || (s->n > 1 && s->mean > 0)) return none;
    for (int64_t i = 0; i < results->count; i++) {
        const Result *row = &results->row[i];
        if (!in_group(row, group) || isnan(row->score[METRIC_ERROR]) || isnan(row->scored)) continue;
        return rate_interval(llround(row->score[METRIC_ERROR] * row->scored), (int64_t)row->scored);
    }
    return none;
}

Summary summarize(const Results *results, const Group *group) {
    Summary s = {.metric = results_metric(results, group->name[NAME_SUITE], group->name[NAME_TASK]),
                 .score = calloc((size_t)results->seeds, sizeof *s.score),
                 .settings = count_settings(results, group)};
    CHECK_MEMORY(s.score, "out of memory");
    mean_by_seed(results, group, &s);
    summary_describe(&s, results->seeds);
    s.rate = interval_of_rate(results, group, &s);
    describe_runs(results, group, &s);
    return s;
}

static void put(FILE *file, double value) {
    fputc(',', file);
    if (!isnan(value)) fprintf(file, "%.10g", value);
}

/* Writes the different selected values, separated by spaces. */
static void put_choices(FILE *file, const Results *results, const Group *group, bool weight_decay) {
    double seen[8];
    int count = 0;
    fputc(',', file);
    for (int64_t i = 0; i < results->count; i++) {
        const Result *row = &results->row[i];
        const double value = weight_decay ? row->wd : row->lr;
        int at = 0;
        if (!in_group(row, group) || isnan(value)) continue;
        while (at < count && seen[at] != value) at++;
        if (at < count || count == (int)(sizeof seen / sizeof seen[0])) continue;
        fprintf(file, "%s%.6g", count ? " " : "", value);
        seen[count++] = value;
    }
}

static const char *const metric_columns[] = {"accuracy", "accuracy_macro", "error", "f1", "mse"};

static void put_group(FILE *file, const Results *results, const Group *group) {
    const Summary s = summarize(results, group);
    const char *const *name = group->name, *setting = name[NAME_SETTING] ? name[NAME_SETTING] : "all";
    fprintf(file, "%s,%s,%s,%s,%s", name[NAME_SUITE], name[NAME_TASK], setting, name[NAME_SPLIT], name[NAME_MODEL]);
    put_choices(file, results, group, false);
    put_choices(file, results, group, true);
    fprintf(file, ",%d,%s", s.n, metric_columns[s.metric]);
    const double numbers[] = {s.mean,       s.deviation,   s.interval.low, s.interval.high,
                              s.trivial,    s.skill,       s.tokens_per_s, s.decode_tokens_per_s,
                              s.peak_bytes, s.state_bytes, s.params};
    for (int i = 0; i < (int)(sizeof numbers / sizeof numbers[0]); i++) put(file, numbers[i]);
    fputc('\n', file);
    free(s.score);
}

/* Writes all groups that have the first `depth` names of `group`. */
static void put_groups(FILE *file, const Results *results, Group *group, int depth) {
    static const ResultName order[] = {NAME_SUITE, NAME_TASK, NAME_SPLIT, NAME_MODEL};
    if (depth == (int)(sizeof order / sizeof order[0])) {
        const char **settings = group_names(results, group, NAME_SETTING);
        for (int i = 0; settings[i]; i++) {
            group->name[NAME_SETTING] = settings[i];
            put_group(file, results, group);
        }
        group->name[NAME_SETTING] = NULL;
        put_group(file, results, group);
        free(settings);
        return;
    }
    const char **names = group_names(results, group, order[depth]);
    for (int i = 0; names[i]; i++) {
        group->name[order[depth]] = names[i];
        put_groups(file, results, group, depth + 1);
    }
    group->name[order[depth]] = NULL;
    free(names);
}

Status aggregate_write(const Results *results, const char *path) {
    TextFile text;
    text_file_begin(&text);
    fprintf(text.file,
            "suite,task,setting,split,model,lr,wd,n,metric,mean,sd,ci_low,ci_high,trivial,skill,tokens_per_s,"
            "decode_tokens_per_s,peak_bytes,state_bytes,params\n");
    put_groups(text.file, results, &(Group){0}, 0);
    return text_file_replace(&text, path);
}
