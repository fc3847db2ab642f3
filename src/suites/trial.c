#include "suites/trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc.h"
#include "base/log.h"
#include "data/shuffle.h"
#include "parallel/optimizer.h"
#include "suites/read_out.h"
#include "suites/settings.h"
#include "training/schedule.h"
#include "training/session.h"

enum { LOGITS_MOST = 1 << 24, TEST_BATCH = 128, WARM_UP_STEPS = 10, WINDOWS = 5, FRESH_STRIDE = 1 << 30 };

/* A test with the same weights: its own setting of the task, and a runner of its shape. */
typedef struct Tester {
    void *config;
    TaskSizes sizes;
    RunnerOptions options;
    Runner *runner;
    float *logits; /* [B, T, vocab_size] */
} Tester;

typedef struct Training {
    const Trial *trial;
    Protocol protocol;
    Session session;
    RunnerOptions options;
    Schedule schedule;
    OptimizerOptions optimizer;
    int64_t vocabulary;
    void *config; /* of the task */
    TaskSizes sizes;
    Tester tester[TRIAL_TESTS];
    double *step_seconds; /* [steps] */
    double best_loss;
    bool *spare; /* [test_examples]: `right` of a test whose scores may not count */
    TrialResult *result;
} Training;

static char *replaced(const char *text, const char *name, int64_t value) {
    char *result = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&result, &bytes);
    CHECK(file, "out of memory");
    for (const char *found; (found = strstr(text, name)) != NULL; text = found + strlen(name))
        fprintf(file, "%.*s%lld", (int)(found - text), text, (long long)value);
    fputs(text, file);
    fclose(file);
    return result;
}

static const char *keys_of_mixer(const MixerKeys *rows, const char *mixer) {
    for (; rows->mixer; rows++)
        if (strcmp(rows->mixer, mixer) == 0) return rows->keys;
    return NULL;
}

static Status apply_mixer(ConfigValue *root, const char *text, int64_t heads, int64_t head_dim) {
    if (!text) return OK;
    char *once = replaced(text, "{heads}", heads), *twice = replaced(once, "{head_dim}", head_dim);
    const Status status = settings_apply(root, twice);
    free(once);
    free(twice);
    return status;
}

static Status apply_all(const Trial *trial, int64_t heads, int64_t head_dim, ConfigValue **root) {
    *root = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
    Status status = apply_mixer(*root, keys_of_mixer(mixer_defaults, trial->mixer), heads, head_dim);
    if (status == OK) status = settings_apply(*root, trial->suite->keys);
    if (status == OK) status = apply_mixer(*root, keys_of_mixer(trial->suite->mixers, trial->mixer), heads, head_dim);
    if (status == OK) status = settings_apply(*root, trial->quick ? trial->suite->quick : NULL);
    if (status == OK) status = settings_apply(*root, trial->setting);
    return status == OK ? settings_apply(*root, trial->user) : status;
}

static int64_t integer_in(const ConfigValue *root, const char *section, const char *key, int64_t otherwise) {
    const ConfigValue *value = config_value_get(settings_section(root, section), key);
    return value && value->type == VALUE_INTEGER ? value->integer : otherwise;
}

/* The mixer's keys depend on the heads and the width, which other settings decide: a first pass reads these. */
Status trial_settings(const Trial *trial, ConfigValue **root) {
    Status status = apply_all(trial, 1, 1, root);
    const int64_t heads = integer_in(*root, "mixer", "heads", 1), width = integer_in(*root, "model", "hidden_size", 64);
    config_value_free(*root);
    *root = NULL;
    if (status != OK) return status;
    if (heads < 1 || width % heads != 0) {
        log_error("model.hidden_size %lld is not a multiple of mixer.heads %lld", (long long)width, (long long)heads);
        return USAGE;
    }
    return apply_all(trial, heads, width / heads, root);
}

static void set_plain(ConfigValue *mapping, const char *key, const char *text) {
    config_value_set(mapping, key, config_value_plain(text, COMMAND_LINE, 0));
}

/* A causal model reads a set twice, so that every element of the second copy comes after all of them. */
static int64_t length_read(const Task *task, const TaskSizes *sizes) {
    return task->form == TASK_SET ? 2 * sizes->T : sizes->T;
}

static ModelEnds ends_of(const Task *task, const TaskSizes *sizes) {
    ModelEnds ends = {.features = sizes->features, .regression = sizes->classes == 0};
    if (task->form == TASK_AUTOENCODER) {
        ends.parameters = decoder_parameters;
        ends.read_out = decoder_read_out;
    }
    if (task->form == TASK_POOLED) ends.read_out = mean_read_out;
    return ends;
}

/* config.json of the trial's model. */
static Status create_model(const Trial *trial, const ConfigValue *root, int64_t vocabulary, ModelEnds ends,
                           Model **model) {
    const ConfigValue *keys = settings_section(root, "model");
    const Mixer *mixer = mixer_find(trial->mixer);
    CHECK(mixer, "mixer %s", trial->mixer);
    ConfigValue *source = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)vocabulary);
    set_plain(source, "vocab_size", text);
    set_plain(source, "pad_token_id", "null");
    set_plain(source, "bos_token_id", "null");
    set_plain(source, "eos_token_id", "null");
    for (int i = 0; keys && i < keys->count; i++)
        if (!mixer->inner_size || strcmp(keys->item[i]->key, "intermediate_size") != 0)
            config_value_set(source, keys->item[i]->key, config_value_copy(keys->item[i]));
    config_value_set(source, "model_type", config_value_string(trial->mixer, COMMAND_LINE, 0));
    const Status status = model_create_with(source, ends, model);
    config_value_free(source);
    return status;
}

static void describe_model(const Model *model, const Protocol *protocol, TrialResult *result) {
    result->hidden_size = model->config.hidden_size;
    result->layers = model->layers;
    result->heads = protocol->heads;
    result->parameters = model_parameter_count(model);
    result->dtype = dtype_named(protocol->dtype) == BF16 ? "bfloat16" : "float32";
}

static RunnerOptions training_options(const Training *t) {
    return (RunnerOptions){.type = dtype_named(t->protocol.dtype),
                           .recompute = RECOMPUTE_NONE,
                           .B = t->protocol.batch_size,
                           .T = length_read(t->trial->task, &t->sizes),
                           .training = true,
                           .replay = true};
}

/* Reads the settings and builds the model. */
static Status prepare_model(Training *t, Model **model) {
    ConfigValue *root = NULL;
    Status status = trial_settings(t->trial, &root);
    if (status == OK) status = protocol_read(root, &t->protocol);
    if (status == OK) status = task_config_read(t->trial->task, settings_section(root, "task"), &t->config);
    if (status == OK) {
        t->sizes = t->trial->task->sizes(t->config);
        t->vocabulary = t->sizes.tokens > t->sizes.classes ? t->sizes.tokens : t->sizes.classes;
        if (t->vocabulary == 0) t->vocabulary = 1;
        status = create_model(t->trial, root, t->vocabulary, ends_of(t->trial->task, &t->sizes), model);
    }
    config_value_free(root);
    if (status != OK) return status;
    t->options = training_options(t);
    describe_model(*model, &t->protocol, t->result);
    return OK;
}

enum { PARAMETER_BYTES = 16 }; /* value, gradient and two moments, in fp32 */

static void describe_cost(const Training *t, Model *model, bool gpu) {
    const RunnerPlan plan = runner_plan(model, t->options, gpu);
    const int64_t steps = protocol_steps(&t->protocol);
    t->result->peak_bytes = plan.keep_bytes + plan.scratch_bytes + PARAMETER_BYTES * t->result->parameters;
    t->result->steps = steps;
    t->result->tokens = steps * t->protocol.batch_size * t->options.T;
    t->result->flops = 3 * plan.forward_flops * (double)steps;
}

Status trial_plan(const Trial *trial, bool gpu, TrialResult *result) {
    *result = (TrialResult){0};
    Training t = {.trial = trial, .result = result};
    Model *model = NULL;
    const Status status = prepare_model(&t, &model);
    if (status == OK) describe_cost(&t, model, gpu);
    model_destroy(model);
    task_config_free(trial->task, t.config);
    protocol_free(&t.protocol);
    return status;
}

static Status open_tester(Training *t, const Split *split, Tester *tester) {
    ConfigValue *root = NULL;
    Status status = trial_settings(t->trial, &root);
    if (status == OK && split) task_config_complete(t->trial->task, t->config, root);
    if (status == OK && split) status = settings_apply(root, split->keys);
    if (status == OK) status = task_config_read(t->trial->task, settings_section(root, "task"), &tester->config);
    config_value_free(root);
    if (status != OK) return status;
    tester->sizes = t->trial->task->sizes(tester->config);
    const int64_t T = length_read(t->trial->task, &tester->sizes), most = LOGITS_MOST / (T * t->vocabulary);
    tester->options = t->options;
    tester->options.training = false;
    tester->options.logits = true;
    tester->options.T = T;
    tester->options.B = most < 1 ? 1 : most < TEST_BATCH ? most : TEST_BATCH;
    tester->logits = malloc((size_t)(tester->options.B * tester->options.T * t->vocabulary) * sizeof(float));
    CHECK(tester->logits, "out of memory");
    tester->runner = runner_create(t->session.model, t->session.fsdp, t->session.device, tester->options);
    return OK;
}

/* "test" has the training's setting. */
static Status open_testers(Training *t) {
    TrialResult *result = t->result;
    const Split *split = t->trial->task->splits;
    Status status = open_tester(t, NULL, &t->tester[0]);
    result->test[result->tests++].split = "test";
    for (; status == OK && split && split->name; split++) {
        CHECK(result->tests < TRIAL_TESTS, "%s has too many splits", t->trial->task->name);
        status = open_tester(t, split, &t->tester[result->tests]);
        result->test[result->tests++].split = split->name;
    }
    for (int i = 0; i < result->tests && status == OK; i++) {
        TrialTest *test = &result->test[i];
        test->examples = t->protocol.test_examples;
        test->trivial = t->trial->task->trivial(t->tester[i].config);
        test->right = calloc((size_t)test->examples, sizeof *test->right);
        CHECK(test->right, "out of memory");
    }
    return status;
}

static Status open_training(Training *t, const Device *device) {
    Model *model = NULL;
    const Status status = prepare_model(t, &model);
    if (status != OK) return status;
    describe_cost(t, model, device->gpu);
    const Protocol *p = &t->protocol;
    const Status opened =
        session_open(&t->session, comm_self_create(), device, model, t->options, session_sharding(&t->options));
    if (opened != OK) return opened;
    fsdp_initialise(t->session.fsdp, (uint64_t)t->trial->seed);
    const LrSchedulerConfig schedule = {
        .warmup_steps = p->warmup_steps, .decay_ratio = NAN, .decay_type = p->decay, .lr_min = 0};
    t->schedule = schedule_create(&schedule, t->result->steps);
    t->optimizer = (OptimizerOptions){.beta1 = p->beta1,
                                      .beta2 = p->beta2,
                                      .eps = p->eps,
                                      .weight_decay = t->trial->weight_decay,
                                      .max_norm = p->max_norm,
                                      .decay_all = true};
    t->step_seconds = calloc((size_t)t->result->steps, sizeof *t->step_seconds);
    CHECK(t->step_seconds, "out of memory");
    t->spare = calloc((size_t)p->test_examples, sizeof *t->spare);
    CHECK(t->spare, "out of memory");
    t->best_loss = INFINITY;
    return open_testers(t);
}

static void close_training(Training *t) {
    for (int i = 0; i < TRIAL_TESTS; i++) {
        runner_destroy(t->tester[i].runner);
        task_config_free(t->trial->task, t->tester[i].config);
        free(t->tester[i].logits);
    }
    session_close(&t->session);
    task_config_free(t->trial->task, t->config);
    protocol_free(&t->protocol);
    free(t->step_seconds);
    free(t->spare);
}

/* The places of an example whose first position is `first` in a batch. */
static Example example_at(HostBatch batch, int64_t first, const TaskSizes *sizes) {
    return (Example){.inputs = batch.tokens + first,
                     .labels = batch.labels + first,
                     .features = batch.features ? batch.features + first * sizes->features : NULL,
                     .values = batch.values ? batch.values + first : NULL};
}

/* A set's second copy is the example; the first one has no labels. */
static void copy_inputs(Example from, Example to, const TaskSizes *sizes) {
    memcpy(to.inputs, from.inputs, (size_t)sizes->T * sizeof *to.inputs);
    if (to.features) memcpy(to.features, from.features, (size_t)(sizes->T * sizes->features) * sizeof *to.features);
    for (int64_t t = 0; t < sizes->T; t++) to.labels[t] = IGNORED_LABEL;
}

/* Example `number` of a split as sequence b of a batch. */
static void make_example(const Training *t, const void *config, const TaskSizes *sizes, const char *split,
                         int64_t number, HostBatch batch, int64_t b) {
    const Task *task = t->trial->task;
    const int64_t T = length_read(task, sizes);
    const Example example = example_at(batch, (b + 1) * T - sizes->T, sizes);
    if (sizes->features) memset(example.inputs, 0, (size_t)sizes->T * sizeof *example.inputs);
    task_example(task, config, (uint64_t)t->protocol.data_seed, split, number, example);
    if (T > sizes->T) copy_inputs(example, example_at(batch, b * T, sizes), sizes);
}

static void fill_positions(HostBatch batch, int64_t B, int64_t T) {
    for (int64_t i = 0; i < B * T; i++) {
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)(i % T);
    }
}

static void fill_empty(HostBatch batch, int64_t b, int64_t T) {
    for (int64_t i = b * T; i < (b + 1) * T; i++) {
        batch.tokens[i] = 0;
        batch.labels[i] = IGNORED_LABEL;
    }
}

/* Which example is place b of a step's batch; -1: none, behind the end of an epoch. */
static int64_t number_of(const Training *t, int64_t step, int64_t b) {
    const Protocol *p = &t->protocol;
    if (p->examples == 0) return t->trial->seed * FRESH_STRIDE + step * p->batch_size + b;
    const int64_t steps = (p->examples + p->batch_size - 1) / p->batch_size;
    const int64_t epoch = step / steps, place = step % steps * p->batch_size + b;
    if (place >= p->examples) return -1;
    const uint64_t key = hash_mix((uint64_t)t->trial->seed, (uint64_t)epoch);
    const Permutation order = permutation_make((uint64_t)p->examples, key);
    return (int64_t)permutation_apply(&order, (uint64_t)place);
}

static void fill_step(Training *t, int64_t step) {
    const int64_t T = t->options.T;
    const HostBatch batch = runner_batch(t->session.runner);
    fill_positions(batch, t->options.B, T);
    for (int64_t b = 0; b < t->options.B; b++) {
        const int64_t number = number_of(t, step, b);
        if (number < 0)
            fill_empty(batch, b, T);
        else
            make_example(t, t->config, &t->sizes, "train", number, batch, b);
    }
}

static Status take_step(Training *t, int64_t step) {
    const double start = seconds_now();
    double loss = 0;
    int64_t targets = 0;
    fill_step(t, step);
    runner_train(t->session.runner, true);
    runner_losses(t->session.runner, &loss, &targets);
    const double lr = t->trial->lr * schedule_factor(&t->schedule, step);
    const OptimizerResult update =
        optimizer_step(t->session.fsdp, &t->optimizer, step + 1, lr, targets > 0 ? 1 / (double)targets : 0);
    fsdp_end_step(t->session.fsdp);
    t->step_seconds[step] = seconds_now() - start;
    if (isfinite(loss) && !update.skipped) return OK;
    log_warning("%s, %s: the loss of step %lld is %g, the norm of its gradient %g", t->trial->task->name,
                t->trial->mixer, (long long)step + 1, loss / (double)targets, update.gradient_norm);
    return NUMERIC_STOP;
}

/* Fills the tester's batch with examples first, first + 1, ... and returns how many there are. */
static int64_t fill_test(Training *t, const Tester *tester, const TrialTest *test, int64_t first) {
    const int64_t B = tester->options.B, T = tester->options.T;
    const int64_t count = test->examples - first < B ? test->examples - first : B;
    const HostBatch batch = runner_batch(tester->runner);
    fill_positions(batch, B, T);
    for (int64_t b = 0; b < B; b++)
        if (b < count)
            make_example(t, tester->config, &tester->sizes, test->split, first + b, batch, b);
        else
            fill_empty(batch, b, T);
    if (first == 0 && strcmp(test->split, "test") == 0)
        t->result->examples_crc = crc_update(0, batch.tokens, count * T * (int64_t)sizeof(int32_t));
    return count;
}

static void run_test(Training *t, int index) {
    const Tester *tester = &t->tester[index];
    TrialTest *test = &t->result->test[index];
    const int64_t T = tester->options.T, row = T * t->vocabulary;
    Scoring *scoring = scoring_begin(test->examples, T, tester->sizes.classes);
    for (int64_t first = 0; first < test->examples; first += tester->options.B) {
        const int64_t count = fill_test(t, tester, test, first);
        const HostBatch batch = runner_batch(tester->runner);
        runner_logits(tester->runner, tester->logits);
        for (int64_t b = 0; b < count; b++)
            scoring_add(scoring, batch.labels + b * T, batch.values ? batch.values + b * T : NULL,
                        tester->logits + b * row, t->vocabulary);
    }
    test->scores = scoring_end(scoring, test->right);
}

static double score_of(const Training *t, const Scores *scores) {
    return t->trial->suite->metric == METRIC_MACRO ? scores->macro : scores->accuracy;
}

/* What the best test has least of. */
static double loss_of(const Scores *scores) { return isnan(scores->mse) ? log(scores->perplexity) : scores->mse; }

static bool reaches_goal(const Training *t, double score) {
    return t->protocol.stop_at > 0 && score >= t->protocol.stop_at;
}

/* Runs the first test, and the others if its scores are those that count so far. Returns its score. */
static double evaluate_training(Training *t, bool last) {
    TrialTest *first = &t->result->test[0];
    const TrialTest before = *first;
    const bool best = strcmp(t->protocol.select, "best") == 0;
    first->right = t->spare;
    run_test(t, 0);
    const double score = score_of(t, &first->scores), loss = loss_of(&first->scores);
    const bool counts = best ? loss < t->best_loss : last || reaches_goal(t, score);
    if (best && !counts) {
        *first = before;
        return score;
    }
    t->best_loss = loss;
    t->spare = before.right;
    for (int i = 1; i < t->result->tests && counts; i++) run_test(t, i);
    return score;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median over windows of the steps after the first ones; NaN if there are too few. */
static double tokens_per_second(const Training *t, int64_t steps) {
    double rate[WINDOWS];
    const int64_t measured = (steps - WARM_UP_STEPS) / WINDOWS;
    if (measured < 1) return NAN;
    for (int w = 0; w < WINDOWS; w++) {
        double seconds = 0;
        for (int64_t i = 0; i < measured; i++) seconds += t->step_seconds[WARM_UP_STEPS + w * measured + i];
        rate[w] = (double)(measured * t->options.B * t->options.T) / seconds;
    }
    qsort(rate, WINDOWS, sizeof rate[0], by_value);
    return rate[WINDOWS / 2];
}

static Status run_steps(Training *t, TrialProgress *progress, void *context) {
    const int64_t steps = t->result->steps, between = protocol_steps_between(&t->protocol);
    Status status = OK;
    int64_t step = 0;
    for (bool done = false; step < steps && !done && status == OK;) {
        status = take_step(t, step++);
        if (status != OK || (step % between != 0 && step != steps)) continue;
        const double score = evaluate_training(t, step == steps);
        done = reaches_goal(t, score);
        if (progress) progress(context, step, steps, score);
    }
    t->result->steps = step;
    t->result->tokens = step * t->options.B * t->options.T;
    t->result->tokens_per_second = tokens_per_second(t, step);
    return status;
}

Status trial_run(const Trial *trial, const Device *device, TrialProgress *progress, void *context,
                 TrialResult *result) {
    *result = (TrialResult){0};
    Training t = {.trial = trial, .result = result};
    const double start = seconds_now();
    Status status = open_training(&t, device);
    if (status == OK) status = run_steps(&t, progress, context);
    result->seconds = seconds_now() - start;
    close_training(&t);
    return status;
}

void trial_result_free(TrialResult *result) {
    for (int i = 0; i < result->tests; i++) free(result->test[i].right);
    *result = (TrialResult){0};
}
