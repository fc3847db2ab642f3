/* table.md and aggregate.csv of invented results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/temporary.h"
#include "config/keys.h"
#include "suites/invented.h"
#include "suites/report.h"

static FILE *begin(void) {
    char *path = temporary_path("results.csv");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    free(path);
    fputs(RESULT_COLUMNS, file);
    return file;
}

/* The report of what was written; the caller frees it. */
static char *report_of(FILE *file) {
    fclose(file);
    char *path = temporary_path("table.md"), *aggregate = temporary_path("aggregate.csv"), *text = NULL;
    int64_t bytes = 0;
    remove(path);
    remove(aggregate);
    assert_int_equal(report_write(temporary_folder), OK);
    assert_int_equal(file_read_all(path, 1 << 20, &text, &bytes), 0);
    assert_true(file_exists(aggregate));
    free(path);
    free(aggregate);
    return text;
}

static void put_macro(FILE *file, const char *task, const char *setting, const char *model, int seed, double macro) {
    char names[128], scores[64];
    snprintf(names, sizeof names, "mad,%s,%s,test,%s", task, setting, model);
    snprintf(scores, sizeof scores, "0.5,%g,,,,,,0.125", macro);
    put_result(file, names, seed, "0.001,0", scores);
}

static void assert_has(const char *text, const char *part) {
    if (strstr(text, part)) return;
    printf("%s", text); /* messages of tests are short */
    fail_msg("\"%s\" is not there", part);
}

static void assert_lacks(const char *text, const char *part) {
    if (strstr(text, part)) fail_msg("\"%s\" is in:\n%s", part, text);
}

/* gla is 0.1 better than rwkv7 for each seed, gsa cannot do the second task, lstm lacks a setting. */
static void models_are_compared(void **state) {
    (void)state;
    FILE *file = begin();
    for (int seed = 0; seed < 6; seed++) {
        const double noise = seed % 2 ? 0.01 : -0.01;
        put_macro(file, "compression", "", "rwkv7", seed, 0.4 + noise);
        put_macro(file, "compression", "", "gla", seed, 0.5 + noise);
        put_macro(file, "compression", "", "gsa", seed, 0.9);
        put_macro(file, "memorization", "", "rwkv7", seed, 0.6 + noise);
        put_macro(file, "memorization", "", "gla", seed, 0.7 + noise);
        put_macro(file, "memorization", "more", "rwkv7", seed, 0.7 + noise);
        put_macro(file, "memorization", "more", "gla", seed, 0.8 + noise);
    }
    put_macro(file, "memorization", "", "lstm", 0, 0.3);
    char *text = report_of(file);
    assert_has(text, "# MAD: six tasks");
    assert_has(text, "| model | compression | memorization | average |\n|---|---|---|---|\n"
                     "| gla | 0.500 ± 0.011 (0.408) | 0.750 ± 0.011 (0.771) | 0.625 ± 0.011 (0.590) |\n"
                     "| rwkv7 | 0.400 ± 0.011 (0.462) | 0.650 ± 0.011 (0.886) | 0.525 ± 0.011 (0.674) |\n"
                     "| gsa | 0.900 ± 0.000 (0.397) | n/a (0.831) | n/a (0.614) |\n"
                     "| lstm | n/a | 1 of 2 settings | n/a |\n"
                     "| trivial | 0.125 | 0.125 | 0.125 |\n");
    assert_has(text, "with the 95 % interval of 6 seeds.");
    assert_has(text, "In brackets the published figure: github.com/");
    assert_has(text, "These are 3 of the 17 published settings");
    assert_has(text, "Made in float32 on a CPU by flame-c 0.2.0.\n");
    assert_lacks(text, "learning rates and weight decays, the best");
    assert_has(text, "| -1.00 of 3 models | n/a | n/a |\n"); /* gsa, gla, rwkv7; published the other way round */
    assert_has(text, "- compression, test, 3 pairs: not with 6 seeds; for so many pairs it takes 7\n");
    assert_has(text, "- memorization, test, 1 pair\n  - gla over rwkv7 (0.031)\n- average, 1 pair\n  - gla over rwkv7");
    assert_has(text, "## Deviations from the publication\n\n- initial matrices are fla's");
    free(text);
}

static void put_errors(FILE *file, const char *split, const char *model, int seed, const char *point, double error) {
    char names[128], scores[64];
    snprintf(names, sizeof names, "flipflop,flip_flop,,%s,%s", split, model);
    snprintf(scores, sizeof scores, "%g,,,%g,,,,0.6", 1 - error, error);
    put_result(file, names, seed, point, scores);
}

static void lower_errors_are_better(void **state) {
    (void)state;
    FILE *file = begin();
    for (int seed = 0; seed < 6; seed++) {
        put_errors(file, "sparse", "gla", seed, "0.001,0", 0.01 * seed);
        put_errors(file, "test", "gla", seed, "0.001,0", 0.001 * seed + 0.01);
        put_errors(file, "test", "gla", seed, "0.01,0", 0.4);
        put_errors(file, "test", "lstm", seed, "0.001,0", 0.00001);
    }
    char *text = report_of(file);
    assert_has(text, "| model | flip_flop, sparse | flip_flop |\n|---|---|---|\n"
                     "| lstm | n/a (0.000000) | 0.000010 ± 0.000000 (0.000000) |\n"
                     "| gla | 0.025000 ± 0.019633 | 0.012500 ± 0.001963 |\n"
                     "| trivial | 0.400000 | 0.400000 |\n");
    assert_has(text, "Of 2 learning rates and weight decays, the best of each seed on the test split counts.");
    assert_has(text, "- flip_flop, test, 1 pair\n  - lstm over gla (0.031)\n");
    assert_lacks(text, "published settings of these tasks");
    free(text);
}

static void figures_of_other_tests_are_published_too(void **state) {
    (void)state;
    FILE *file = begin();
    put_result(file, "tropical,quickselect,,test,tropical_attention", 0, "0.001,0", "0.9,,,,0.8,,,0.35");
    put_result(file, "tropical,quickselect,,length 8x,tropical_attention", 0, "0.001,0", "0.9,,,,0.7,,,0.2");
    put_result(file, "tropical,floyd_warshall,,values,transformer", 0, "0.001,0", ",,,,,90,,0.2");
    char *text = report_of(file);
    assert_has(text, "| tropical_attention | 0.800 | 0.700 (0.771) |");
    assert_has(text, "| transformer | n/a | n/a (0.047) | 90 (87.68) | n/a |");
    assert_lacks(text, "beside the published one"); /* three models would have an order */
    free(text);
}

/* Of 8000 positions: no errors, with one seed and with two; 80 errors of one seed, by Wilson; and of two seeds the
 * interval of these. */
static void errors_of_one_seed_have_an_interval(void **state) {
    (void)state;
    FILE *file = begin();
    for (int seed = 0; seed < 2; seed++) {
        if (seed == 0) put_errors(file, "test", "gla", seed, "0.001,0", 0.01);
        if (seed == 0) put_errors(file, "test", "kda", seed, "0.001,0", 0);
        put_errors(file, "test", "gsa", seed, "0.001,0", 0);
        put_errors(file, "test", "lstm", seed, "0.001,0", 0.3);
    }
    char *text = report_of(file);
    assert_has(text, "| gla | 0.010000 (0.008 to 0.012) |\n");
    assert_has(text, "| kda | 0 (< 0.00048) |\n");
    assert_has(text, "| gsa | 0 (< 0.00048) |\n");
    assert_has(text, "| lstm | 0.300000 ± 0.000000 (0.000000) |\n");
    assert_has(text, "; (a to b) or (< b) is Wilson's 95 % interval of one training's rate, as if");
    free(text);
}

static void few_seeds_are_not_tested(void **state) {
    (void)state;
    FILE *file = begin();
    for (int seed = 0; seed < 5; seed++) {
        put_macro(file, "compression", "", "rwkv7", seed, 0.4);
        put_macro(file, "compression", "", "gla", seed, 0.5);
    }
    char *text = report_of(file);
    assert_has(text, "Not tested: a paired test of 5 seeds reaches p = 0.0625 at best, and p < 0.05 takes 6 seeds; and "
                     "no two models");
    assert_has(text, "| model | compression |\n"); /* no average of one task */
    free(text);
}

/* The sizes of gla are models of their own, and no settings; lstm has one size. */
static void sizes_are_not_mixed(void **state) {
    (void)state;
    FILE *file = begin();
    put_sized(file, "mad,compression,model.hidden_size=64 x=1,test", "gla", "64,2,1", 0.3);
    put_sized(file, "mad,compression,x=1,test", "gla", "128,2,1", 0.5);
    put_sized(file, "mad,compression,x=1,test", "gla", "128,2,4", 0.4);
    put_sized(file, "mad,compression,x=1,test", "lstm", "128,2,1", 0.2);
    char *text = report_of(file);
    assert_has(text, "| model | compression |\n|---|---|\n| gla d_model=128 heads=1 | 0.500 |\n"
                     "| gla d_model=128 heads=4 | 0.400 |\n| gla d_model=64 heads=1 | 0.300 |\n| lstm | 0.200 |\n");
    assert_has(text, "Made in float32 on a CPU by flame-c");
    free(text);
}

/* Writes a run's answers to `examples` examples: from `from` on, `wrong` of them are wrong. */
static void put_answers(const char *run, int examples, int from, int wrong) {
    char name[64], *runs = temporary_path("runs");
    snprintf(name, sizeof name, "%s.right", run);
    assert_int_equal(folder_create_all(runs), 0);
    char *path = path_join(runs, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("test much longer 1100\ntest ", file);
    for (int i = 0; i < examples; i++) fputc(i >= from && i < from + wrong ? '0' : '1', file);
    fputs("\n", file);
    fclose(file);
    free(path);
    free(runs);
}

static void put_compared(FILE *file, const char *model, int seed, const char *crc, const char *run) {
    put_run(file, "mqar,mqar,,test", model, seed, "0.9,,,,,,,0.25", crc, run);
}

/* Three models of two seeds. gla has the same 10 wrong answers with each seed, delta_net and lstm one in all, each
 * another: 1 to 10 examples differ, which is p = 2 * (1 + 11) / 2^11, and of the three pairs 3 times that. The examples
 * of the two seeds are the same, so that they do not count twice. */
static void examples_are_compared_below_six_seeds(void **state) {
    (void)state;
    FILE *file = begin();
    for (int seed = 0; seed < 2; seed++) {
        static const char *const models[] = {"gla", "delta_net", "lstm"};
        static const int wrong[] = {10, 0, 0};
        for (int m = 0; m < 3; m++) {
            char run[32];
            snprintf(run, sizeof run, "%s-%d", models[m], seed);
            put_compared(file, models[m], seed, "0badcafe", run);
            put_answers(run, 40, m == 0 ? 0 : 20 + seed + m, wrong[m] + (m > 0 && seed == m - 1));
        }
    }
    char *text = report_of(file);
    assert_has(text, "So this says how these trained models would do on other such examples, not");
    assert_has(text, "corrected for the pairs of a task by Holm (p in brackets).");
    assert_has(text, "- mqar, test, 3 pairs\n");
    assert_has(text, "  - delta_net over gla (0.035)\n");
    assert_has(text, "  - lstm over gla (0.035)\n");
    assert_lacks(text, "Not tested");
    assert_lacks(text, "gla over");
    free(text);
}

/* gla answers all 13 examples right with one of three seeds, lstm 12 of them with two and one with none: 12 to 1
 * differ, p = 2 * (1 + 13) / 2^13. */
static void an_example_is_won_with_more_seeds(void **state) {
    (void)state;
    FILE *file = begin();
    for (int seed = 0; seed < 3; seed++) {
        char run[32];
        snprintf(run, sizeof run, "gla-%d", seed);
        put_compared(file, "gla", seed, "0badcafe", run);
        put_answers(run, 13, 0, seed == 0 ? 0 : 13);
        snprintf(run, sizeof run, "lstm-%d", seed);
        put_compared(file, "lstm", seed, "0badcafe", run);
        put_answers(run, 13, 0, seed == 0 ? 13 : 1);
    }
    char *text = report_of(file);
    assert_has(text, "  - lstm over gla (0.0034)\n");
    free(text);
}

/* Other examples, another number of them, another seed, or no file: nothing to compare. */
static void other_examples_are_not_compared(void **state) {
    (void)state;
    FILE *file = begin();
    put_compared(file, "gla", 0, "0badcafe", "some");
    put_compared(file, "lstm", 0, "0badcaff", "other");
    put_compared(file, "kda", 0, "0badcafe", "fewer");
    put_compared(file, "gsa", 1, "0badcafe", "other");
    put_compared(file, "abc", 0, "0badcafe", "missing");
    put_answers("some", 40, 0, 0);
    put_answers("other", 40, 0, 20);
    put_answers("fewer", 39, 0, 20);
    char *text = report_of(file);
    assert_has(text,
               "Not tested: a paired test of 1 seed reaches p = 1 at best, and p < 0.05 takes 6 seeds; and no two "
               "models have answers to the same examples");
    free(text);
}

/* Answers that cannot be read make no report. */
static void damaged_answers_are_refused(void **state) {
    (void)state;
    static const char *const damaged[] = {"test 01", "test\n", "test 0121\n", "\n"};
    for (int i = 0; i < LENGTH(damaged); i++) {
        FILE *file = begin();
        put_compared(file, "gla", 0, "0badcafe", "damaged");
        fclose(file);
        char *path = temporary_path("runs/damaged.right");
        put_answers("damaged", 1, 0, 0);
        write_file(path, damaged[i], (int64_t)strlen(damaged[i]));
        assert_int_equal(report_write(temporary_folder), BAD_INPUT);
        remove(path);
        free(path);
    }
}

/* Seeds 0 to 6 and 5 to 11: two in common, so that the 14 scores are permuted, of which C(14, 7) choices are as likely.
 */
static void models_of_other_seeds_are_compared(void **state) {
    (void)state;
    FILE *file = begin();
    for (int seed = 0; seed < 12; seed++) {
        if (seed < 7) put_macro(file, "compression", "", "gla", seed, 0.5 + 0.001 * seed);
        if (seed > 4) put_macro(file, "compression", "", "rwkv7", seed, 0.4 + 0.001 * seed);
    }
    char *text = report_of(file);
    assert_has(text, "- compression, test, 1 pair\n  - gla over rwkv7 (0.00058)\n"); /* 2 / 3432 */
    free(text);
}

static void several_suites_and_one_seed(void **state) {
    (void)state;
    FILE *file = begin();
    put_macro(file, "compression", "", "rwkv7", 0, 0.4);
    put_result(file, "mqar,mqar,,test,gla", 0, "0.001,0", "0.25,,,,,,,0.25");
    put_result(file, "mqar,mqar,,length 2x,gla", 0, "0.001,0", "0.125,,,,,,,0.25");
    char *text = report_of(file);
    assert_has(text, "| rwkv7 | 0.400 (0.462) |");
    assert_has(text, "| model | mqar | mqar, length 2x |\n|---|---|---|\n| gla | 0.250 | 0.125 |\n");
    assert_has(text, "There is only one model.");
    assert_lacks(text, "interval");
    free(text);
}

/* One with F1 and a regression, which does not count in the average. */
static void tasks_have_their_own_metrics(void **state) {
    (void)state;
    FILE *file = begin();
    put_result(file, "tropical,convex_hull,,test,gla", 0, "0.001,0", "0.9,,,0.1,0.75,,,0.5");
    put_result(file, "tropical,fractional_knapsack,,test,gla", 0, "0.001,0", ",,,,,0.00125,,0.0625");
    put_result(file, "tropical,fractional_knapsack,,length,gla", 0, "0.001,0", ",,,,,12.5,,0.0625");
    char *text = report_of(file);
    assert_has(text, "\n\nF1 (fractional_knapsack: mean squared error); the mean");
    assert_has(text, "| model | convex_hull | fractional_knapsack | fractional_knapsack, length | average |\n"
                     "|---|---|---|---|---|\n| gla | 0.750 | 0.00125 | 12.5 | 0.750 |\n"
                     "| trivial | 0.500 | 0.0625 | 0.0625 | 0.500 |\n");
    free(text);
}

static void a_damaged_file_makes_no_report(void **state) {
    (void)state;
    FILE *file = begin();
    fputs("mad,compression\n", file);
    fclose(file);
    char *path = temporary_path("table.md");
    remove(path);
    assert_int_equal(report_write(temporary_folder), BAD_INPUT);
    assert_false(file_exists(path));
    free(path);
    assert_int_equal(report_write("/nowhere"), BAD_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_compared),
        cmocka_unit_test(lower_errors_are_better),
        cmocka_unit_test(figures_of_other_tests_are_published_too),
        cmocka_unit_test(sizes_are_not_mixed),
        cmocka_unit_test(errors_of_one_seed_have_an_interval),
        cmocka_unit_test(few_seeds_are_not_tested),
        cmocka_unit_test(tasks_have_their_own_metrics),
        cmocka_unit_test(several_suites_and_one_seed),
        cmocka_unit_test(a_damaged_file_makes_no_report),
        cmocka_unit_test(examples_are_compared_below_six_seeds),
        cmocka_unit_test(an_example_is_won_with_more_seeds),
        cmocka_unit_test(other_examples_are_not_compared),
        cmocka_unit_test(damaged_answers_are_refused),
        cmocka_unit_test(models_of_other_seeds_are_compared),
    };
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
