/* Reading results.csv, selecting rows of it, and aggregate.csv, with values that are easy to verify by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/temporary.h"
#include "suites/invented.h"
#include "suites/summary.h"
#include "support/capture.h"

static char *text;
static size_t text_bytes;

static FILE *begin(void) {
    free(text);
    text = NULL;
    FILE *file = open_memstream(&text, &text_bytes);
    assert_non_null(file);
    fputs(RESULT_COLUMNS, file);
    return file;
}

static Status read_text(const char *bytes, size_t count, Results *results) {
    char *path = temporary_path("results.csv");
    write_file(path, bytes, (int64_t)count);
    const Status status = results_read(path, results);
    free(path);
    return status;
}

static Results read_all(FILE *file) {
    Results results;
    fclose(file);
    assert_int_equal(read_text(text, text_bytes, &results), OK);
    return results;
}

static void rows_are_read(void **state) {
    (void)state;
    FILE *file = begin();
    put_result(file, "mad,compression,,test,gla", 3, "0.0001,0", "0.5,0.25,0,0.5,,,inf,0.125");
    put_result(file, "mad,compression,task.seq_len=64 x=1,test,gla", 3, ",0.1", "1,1e-05,0,0.5,,,2.5,0.125");
    Results results = read_all(file);
    assert_int_equal(results.count, 2);
    const Result *a = &results.row[0], *b = &results.row[1];
    assert_string_equal(a->name[NAME_SETTING], "");
    assert_string_equal(b->name[NAME_SETTING], "task.seq_len=64 x=1");
    assert_ptr_equal(a->name[NAME_MODEL], b->name[NAME_MODEL]);
    assert_true(a->seed == 3 && a->lr == 1e-4 && a->wd == 0 && a->params == 405632 && a->state_bytes == 65536);
    assert_true(a->score[METRIC_ACCURACY] == 0.5 && a->score[METRIC_MACRO] == 0.25 && isnan(a->score[METRIC_F1]));
    assert_true(isinf(a->perplexity) && a->trivial == 0.125 && a->tokens_per_s == 1300 && a->seconds == 12.5);
    assert_true(a->decode_tokens_per_s == 360);
    assert_true(isnan(b->lr) && b->wd == 0.1 && b->score[METRIC_MACRO] == 1e-5);
    assert_string_equal(b->version, "0.2.0");
    assert_true(b->scored == 8000);
    assert_string_equal(b->run, "run-3");
    results_free(&results);
}

static void assert_refused(const char *csv, const char *message) {
    Results results;
    char said[2048];
    Capture capture = capture_begin(2);
    const Status status = read_text(csv, strlen(csv), &results);
    capture_end(&capture, said, sizeof said);
    assert_int_equal(status, BAD_INPUT);
    if (!strstr(said, message)) fail_msg("\"%s\" does not say \"%s\"", said, message);
    results_free(&results);
}

static void damaged_files_are_refused(void **state) {
    (void)state;
#define NUMBERS ",0,0.1,0,128,2,1,1,1,1,1,0.5,0.5,,,,,,,10,,1,1,cpu,float32,0,0.2.0,8000,mad-compression-gla-01234567"
    static const char good[] = "mad,compression,,test,gla" NUMBERS "\n";
    static const char *const rows[][2] = {
        {"mad,compression,,test" NUMBERS "\n", "results.csv, line 3: it has 32 fields instead of 33"},
        {"mad,compression,,,gla" NUMBERS "\n", "results.csv, line 3: split is \"\", but must be given"},
        {"mad,compression,,test,\"gla" NUMBERS "\n", "line 3: model is \"\"gla\", but must be text without quotes"},
        {"mad,compression,,test,gla\r" NUMBERS "\n", "line 3: model is \"gla\r\""},
        {"bad,compression,,test,gla" NUMBERS "\n", "line 3: suite is \"bad\", but must be a suite of this version"},
        {"mad,flip_flop,,test,gla" NUMBERS "\n", "line 3: task is \"flip_flop\", but must be a task of its suite"},
        {"mad,compression,,test,gla,1.5,0.1,0,128,2,1,1,1,1,1,0.5,,,,,,,,,,,,,,,,,\n",
         "line 3: seed is \"1.5\", but must be an integer"},
        {"mad,compression,,test,gla,1,0x1,0,128,2,1,1,1,1,1,0.5,,,,,,,,,,,,,,,,,\n",
         "line 3: lr is \"0x1\", but must be a number"},
        {"mad,compression,,test,gla,1,1,0,128,2,1,1,1,1,1,nan,,,,,,,,,,,,,,,,,\n",
         "line 3: accuracy is \"nan\", but must be a number"},
        {"mad,compression,,test,gla" NUMBERS, "line 3 is not complete"},
        {"\n", "line 3: it has 1 fields"},
    };
    char csv[4096];
    for (int i = 0; i < LENGTH(rows); i++) {
        snprintf(csv, sizeof csv, RESULT_COLUMNS "%s%s", good, rows[i][0]);
        assert_refused(csv, rows[i][1]);
    }
    assert_refused(RESULT_COLUMNS, "results.csv has no results");
    assert_refused("", "results.csv has no results");
    assert_refused("suite,task,split\n", "line 1: column 3 is not setting; the file was made by another version");
    snprintf(csv, sizeof csv, RESULT_COLUMNS);
    memcpy(strstr(csv, "version"), "wersion", 7);
    assert_refused(csv, "line 1: column 31 is not version");
    Results results;
    assert_int_equal(read_text("suite\0\n", 7, &results), BAD_INPUT);
    results_free(&results);
    assert_int_equal(results_read("/nowhere/results.csv", &results), BAD_INPUT);
}

/* For any change of a byte, the result is rows or one error message. */
static void changed_bytes_do_no_harm(void **state) {
    (void)state;
    FILE *file = begin();
    put_result(file, "mad,compression,,test,gla", 3, "0.0001,0", "0.5,0.25,0,0.5,,,inf,0.125");
    fclose(file);
    static const char others[] = {',', '\n', '\0', '"', '-', '9', '\xff'};
    Capture capture = capture_begin(2);
    for (size_t at = 0; at < text_bytes; at++)
        for (int i = 0; i < LENGTH(others); i++) {
            Results results;
            const char before = text[at];
            text[at] = others[i];
            const Status status = read_text(text, text_bytes, &results);
            text[at] = before;
            if (status == OK) results_select(&results);
            results_free(&results);
            if (status != OK && status != BAD_INPUT) fail_msg("byte %zu", at);
        }
    char said[16];
    capture_end(&capture, said, sizeof said);
}

static const Result *row_of(const Results *results, const char *split, const char *model, int seed) {
    const Result *found = NULL;
    for (int64_t i = 0; i < results->count; i++) {
        const Result *row = &results->row[i];
        if (strcmp(row->name[NAME_SPLIT], split) != 0 || strcmp(row->name[NAME_MODEL], model) != 0) continue;
        if (row->seed != seed) continue;
        assert_null(found);
        found = row;
    }
    assert_non_null(found);
    return found;
}

static void the_best_point_is_selected(void **state) {
    (void)state;
    FILE *file = begin();
    put_result(file, "flipflop,flip_flop,,test,gla", 0, "0.001,0", ",,,,,,,");
    put_result(file, "flipflop,flip_flop,,test,gla", 0, "0.01,0", "0.9,,,0.1,,,,0.5");
    put_result(file, "flipflop,flip_flop,,sparse,gla", 0, "0.01,0", "0.7,,,0.3,,,,0.5");
    put_result(file, "flipflop,flip_flop,,sparse,gla", 0, "0.01,0", "0.6,,,0.4,,,,0.5"); /* made again */
    put_result(file, "flipflop,flip_flop,,test,gla", 0, "0.1,0", "0.8,,,0.2,,,,0.5");
    put_result(file, "flipflop,flip_flop,,sparse,gla", 0, "0.1,0", "0.9,,,0.1,,,,0.5");
    put_result(file, "flipflop,flip_flop,,test,gla", 1, "0.1,0", "0.7,,,0.3,,,,0.5");
    put_result(file, "flipflop,flip_flop,,test,gla", 1, "0.1,0", "0.6,,,0.4,,,,0.5"); /* made again */
    put_result(file, "flipflop,flip_flop,,test,gla", 1, "0.01,0", "0.65,,,0.35,,,,0.5");
    put_result(file, "flipflop,flip_flop,,test,lstm", 1, "0.1,0", ",,,,,,,");
    Results results = read_all(file);
    results_select(&results);
    assert_int_equal(results.count, 4);
    assert_int_equal(results.points, 3);
    assert_int_equal(results.seeds, 2);
    assert_true(results.seed[0] == 0 && results.seed[1] == 1);
    assert_true(row_of(&results, "test", "gla", 0)->score[METRIC_ERROR] == 0.1);
    assert_true(row_of(&results, "sparse", "gla", 0)->score[METRIC_ERROR] == 0.4);
    assert_true(row_of(&results, "test", "gla", 1)->score[METRIC_ERROR] == 0.35);
    assert_true(isnan(row_of(&results, "test", "lstm", 1)->score[METRIC_ERROR]));
    results_free(&results);
}

static Results two_settings(void) {
    FILE *file = begin();
    put_result(file, "mad,compression,,test,gla", 0, "0.001,0", "0,0.5,,,,,,0.2");
    put_result(file, "mad,compression,,test,gla", 1, "0.001,0.1", "0,0.7,,,,,,0.2");
    put_result(file, "mad,compression,long,test,gla", 0, "0.01,0", "0,0.3,,,,,,0.1");
    put_result(file, "mad,compression,long,test,gla", 1, "0.001,0", "0,0.4,,,,,,0.1");
    put_result(file, "mad,compression,,test,lstm", 0, "0.001,0", "0,0.9,,,,,,0.2");
    put_result(file, "mad,compression,long,test,lstm", 0, "0.001,0", ",,,,,,,");
    put_result(file, "mad,compression,,test,gsa", 0, "0.001,0", "0,0.8,,,,,,0.2");
    put_result(file, "mqar,mqar,,test,gla", 0, "0.001,0", "0.25,,,,,,,0.25");
    Results results = read_all(file);
    results_select(&results);
    return results;
}

static Summary summary_of(const Results *results, const char *model, bool all_settings) {
    Group group = {.name = {results->row[0].name[NAME_SUITE], results->row[0].name[NAME_TASK],
                            all_settings ? NULL : results->row[0].name[NAME_SETTING],
                            results->row[0].name[NAME_SPLIT]}};
    const char **models = group_names(results, &group, NAME_MODEL);
    for (int i = 0; models[i]; i++)
        if (strcmp(models[i], model) == 0) group.name[NAME_MODEL] = models[i];
    free(models);
    return summarize(results, &group);
}

static void assert_near(double value, double expected) {
    if (!(fabs(value - expected) < 1e-9)) fail_msg("%.17g, but it is %.17g", value, expected);
}

static void a_task_is_the_mean_of_its_settings(void **state) {
    (void)state;
    Results results = two_settings();
    Summary gla = summary_of(&results, "gla", true), lstm = summary_of(&results, "lstm", true);
    Summary gsa = summary_of(&results, "gsa", true), one = summary_of(&results, "gla", false);
    assert_int_equal(gla.metric, METRIC_MACRO);
    assert_int_equal(gla.n, 2);
    assert_int_equal(gla.settings, 2);
    assert_near(gla.score[0], 0.4);
    assert_near(gla.score[1], 0.55);
    assert_near(gla.mean, 0.475);
    assert_near(gla.deviation, 0.15 / sqrt(2));
    assert_near(gla.interval.high - gla.mean, 12.706204736174694 * 0.075);
    assert_near(gla.trivial, 0.15);
    assert_near(gla.skill, 0.325 / 0.85);
    assert_near(gla.tokens_per_s, 1050);
    assert_near(gla.decode_tokens_per_s, 310);
    assert_near(gla.peak_bytes, 5000001);
    assert_near(one.mean, 0.6);
    assert_int_equal(one.settings_done, 1);
    assert_int_equal(lstm.n, 0);
    assert_int_equal(lstm.settings_done, 1);
    assert_true(isnan(lstm.mean) && isnan(lstm.skill) && isnan(lstm.score[0]));
    assert_int_equal(gsa.n, 0);
    assert_int_equal(gsa.settings, 2);
    assert_int_equal(gsa.settings_done, 1);
    free(gla.score);
    free(gsa.score);
    free(lstm.score);
    free(one.score);
    results_free(&results);
}

static void errors_have_a_skill_too(void **state) {
    (void)state;
    FILE *file = begin();
    put_result(file, "flipflop,flip_flop,,test,gla", 0, "0.01,0", "0.9,,,0.1,,,,0.6");
    Results results = read_all(file);
    results_select(&results);
    Summary summary = summary_of(&results, "gla", true);
    assert_near(summary.trivial, 0.4);
    assert_near(summary.skill, 0.75);
    free(summary.score);
    results_free(&results);
}

static void the_aggregate_is_written(void **state) {
    (void)state;
    Results results = two_settings();
    char *path = temporary_path("aggregate.csv"), *written = NULL;
    int64_t bytes = 0;
    assert_int_equal(aggregate_write(&results, path), OK);
    assert_int_equal(file_read_all(path, 1 << 20, &written, &bytes), 0);
    static const char expected[] =
        "suite,task,setting,split,model,lr,wd,n,metric,mean,sd,ci_low,ci_high,trivial,skill,tokens_per_s,"
        "decode_tokens_per_s,peak_bytes,state_bytes,params\n"
        "mad,compression,,test,gla,0.001,0 0.1,2,accuracy_macro,0.6,0.1414213562,-0.6706204736,1.870620474,0.2,0.5,"
        "1050,310,5000001,65536,405632\n"
        "mad,compression,long,test,gla,0.01 0.001,0,2,accuracy_macro,0.35,0.07071067812,-0.2853102368,0.9853102368,0.1,"
        "0.2777777778,1050,310,5000001,65536,405632\n"
        "mad,compression,all,test,gla,0.001 0.01,0 0.1,2,accuracy_macro,0.475,0.1060660172,-0.4779653552,1.427965355,"
        "0.15,0.3823529412,1050,310,5000001,65536,405632\n"
        "mad,compression,,test,lstm,0.001,0,1,accuracy_macro,0.9,,,,0.2,0.875,1000,300,5000000,65536,405632\n"
        "mad,compression,long,test,lstm,0.001,0,0,accuracy_macro,,,,,,,1000,300,5000000,65536,405632\n"
        "mad,compression,all,test,lstm,0.001,0,0,accuracy_macro,,,,,0.2,,1000,300,5000000,65536,405632\n"
        "mad,compression,,test,gsa,0.001,0,1,accuracy_macro,0.8,,,,0.2,0.75,1000,300,5000000,65536,405632\n"
        "mad,compression,all,test,gsa,0.001,0,0,accuracy_macro,,,,,0.2,,1000,300,5000000,65536,405632\n"
        "mqar,mqar,,test,gla,0.001,0,1,accuracy,0.25,,,,0.25,0,1000,300,5000000,65536,405632\n"
        "mqar,mqar,all,test,gla,0.001,0,1,accuracy,0.25,,,,0.25,0,1000,300,5000000,65536,405632\n";
    assert_string_equal(written, expected);
    free(written);
    free(path);
    assert_int_equal(aggregate_write(&results, "/nowhere/aggregate.csv"), IO_ERROR);
    results_free(&results);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(changed_bytes_do_no_harm),
        cmocka_unit_test(the_best_point_is_selected),
        cmocka_unit_test(a_task_is_the_mean_of_its_settings),
        cmocka_unit_test(errors_have_a_skill_too),
        cmocka_unit_test(the_aggregate_is_written),
    };
    const int failed = cmocka_run_group_tests(tests, temporary_create, temporary_remove);
    free(text);
    return failed;
}
