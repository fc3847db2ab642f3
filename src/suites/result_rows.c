#include "suites/result_rows.h"

#include <inttypes.h>
#include <math.h>

const char result_columns[] =
    "suite,task,setting,split,model,seed,lr,wd,d_model,layers,heads,params,state_bytes,train_tokens,steps,accuracy,"
    "accuracy_macro,exact,error,f1,mse,perplexity,trivial,tokens_per_s,decode_tokens_per_s,peak_bytes,seconds,"
    "device,precision,examples_crc,version,scored,run";

/* Writes a text as a field. Commas, which would end the field, become semicolons. */
static void put_text(FILE *file, const char *text) {
    for (; text && *text; text++) fputc(*text == ',' ? ';' : *text, file);
}

static void put_integer(FILE *file, int64_t value) { fprintf(file, ",%lld", (long long)value); }

/* Writes six digits, which do not depend on the number of ranks and threads; nothing for NaN. */
static void put_real(FILE *file, double value) {
    if (isnan(value))
        fputc(',', file);
    else
        fprintf(file, ",%.6g", value);
}

static void put_scores(FILE *file, const Scores *s) {
    const double scores[] = {s->accuracy, s->macro, s->exact, s->error, s->f1, s->mse, s->perplexity};
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) put_real(file, scores[i]);
}

/* Writes the columns from suite to seed. */
static void put_names(FILE *file, const Trial *trial, const char *split) {
    fprintf(file, "%s,%s,", trial->suite->name, trial->task->name);
    put_text(file, trial_variant(trial));
    if (trial->user && trial->user[0] && trial_variant(trial)[0]) fputc(' ', file);
    put_text(file, trial->user);
    fprintf(file, ",%s,%s", split, trial->mixer);
    put_integer(file, trial->seed);
}

static void put_row(FILE *file, const char *run, const Trial *trial, const TrialResult *r, const TrialTest *test,
                    const Device *device) {
    put_names(file, trial, test->split);
    put_real(file, trial->lr);
    put_real(file, trial->weight_decay);
    put_integer(file, r->hidden_size);
    put_integer(file, r->layers);
    put_integer(file, r->heads);
    put_integer(file, r->parameters);
    put_integer(file, r->state_bytes);
    put_integer(file, r->tokens);
    put_integer(file, r->steps);
    put_scores(file, &test->scores);
    put_real(file, test->trivial);
    put_real(file, r->tokens_per_second);
    put_real(file, r->decode_tokens_per_second);
    put_integer(file, r->peak_bytes);
    fprintf(file, ",%.1f,", r->seconds);
    put_text(file, device->name);
    fprintf(file, ",%s,%08" PRIx32 "," FLAME_VERSION, r->dtype, r->examples_crc);
    if (test->scores.scored > 0)
        put_integer(file, test->scores.scored);
    else
        fputc(',', file);
    fprintf(file, ",%s\n", run);
}

void result_rows_write(FILE *file, const char *run, const Trial *trial, const TrialResult *result, const Device *device,
                       bool failed) {
    const TrialTest none = {.split = "test", .scores = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0}, .trivial = NAN};
    if (failed) put_row(file, run, trial, result, &none, device);
    for (int i = 0; i < result->tests && !failed; i++) put_row(file, run, trial, result, &result->test[i], device);
}

void unable_row_write(FILE *file, const Trial *trial) {
    enum { SEED = 6, VERSION = 31, COLUMNS = 33 };
    put_names(file, trial, "test");
    for (int column = SEED + 1; column <= COLUMNS; column++) fputs(column == VERSION ? "," FLAME_VERSION : ",", file);
    fputc('\n', file);
}

void right_answers_write(FILE *file, const TrialResult *result, bool failed) {
    for (int i = 0; i < result->tests && !failed; i++) {
        const TrialTest *test = &result->test[i];
        if (isnan(test->scores.accuracy)) continue;
        fprintf(file, "%s ", test->split);
        for (int64_t e = 0; e < test->examples; e++) fputc(test->right[e] ? '1' : '0', file);
        fputc('\n', file);
    }
}
