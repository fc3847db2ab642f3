#include "suites/trial_setup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "suites/ends.h"
#include "suites/settings.h"

static void set_plain(ConfigValue *mapping, const char *key, const char *text) {
    config_value_set(mapping, key, config_value_plain(text, COMMAND_LINE, 0));
}

int64_t trial_length(const Task *task, const TaskSizes *sizes, const Protocol *protocol) {
    return task->form == TASK_SET && !protocol->bidirectional ? 2 * sizes->T : sizes->T;
}

static ModelEnds ends_of(const Task *task, const TaskSizes *sizes, const Protocol *protocol) {
    ModelEnds ends = {.features = sizes->features, .regression = sizes->classes == 0, .head_bias = protocol->head_bias};
    ends.bidirectional = protocol->bidirectional;
    ends.fixed_embeddings = protocol->fixed_embeddings;
    if (task->form == TASK_AUTOENCODER) {
        ends.parameters = decoder_parameters;
        ends.read_out = decoder_read_out;
    }
    if (task->form == TASK_POOLED) ends.read_out = mean_read_out;
    if (protocol->base_conv) {
        ends.parameters = base_conv_parameters;
        ends.read_in = base_conv_read_in;
    }
    return ends;
}

Status trial_model(const Trial *trial, const ConfigValue *root, int64_t outputs, ModelEnds ends, Model **model) {
    const ConfigValue *keys = settings_section(root, "model");
    const Mixer *mixer = mixer_find(trial->mixer);
    CHECK(mixer, "mixer %s", trial->mixer);
    if (ends.bidirectional && mixer->hands_on) {
        log_error("mixer.bidirectional: not possible with %s, which hands a tensor of one direction on to later layers",
                  trial->mixer);
        return USAGE;
    }
    const ConfigValue *tied = config_value_get(keys, "tie_word_embeddings");
    if (ends.fixed_embeddings && (ends.features > 0 || !tied || tied->type != VALUE_BOOL || !tied->boolean)) {
        log_error("mixer.fixed_embeddings: %s has a head of its own, not the embeddings (model.tie_word_embeddings)",
                  trial->mixer);
        return USAGE;
    }
    ConfigValue *source = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)outputs);
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

static RunnerOptions options_of(const Trial *trial, const Protocol *protocol, const TaskSizes *sizes) {
    return (RunnerOptions){.type = dtype_named(protocol->dtype),
                           .recompute = RECOMPUTE_NONE,
                           .B = protocol->batch_size,
                           .T = trial_length(trial->task, sizes, protocol),
                           .training = true,
                           .replay = true};
}

enum { PARAMETER_BYTES = 16 }; /* value, gradient and two moments, in fp32 */

int trial_runner(const TrialSetup *s, int i) {
    int first = 0;
    while (s->segment[first].options.T != s->segment[i].options.T) first++;
    return first;
}

static void describe_cost(const TrialSetup *s, Model *model, bool gpu, TrialResult *result) {
    const int64_t steps = protocol_steps(&s->protocol, s->epoch_steps);
    double tokens = 0;
    result->steps = steps;
    result->peak_bytes = PARAMETER_BYTES * result->parameters;
    for (int i = 0; i < s->segments; i++) {
        const TrialSegment *segment = &s->segment[i];
        const RunnerPlan plan = runner_plan(model, segment->options, gpu);
        const double share = s->segments == 1 ? 1 : (double)segment->batches / (double)s->epoch_steps;
        if (trial_runner(s, i) == i) result->peak_bytes += plan.keep_bytes + plan.scratch_bytes;
        if ((int64_t)plan.state_bytes > result->state_bytes) result->state_bytes = (int64_t)plan.state_bytes;
        tokens += share * (double)(steps * segment->options.B * segment->options.T);
        result->flops += 3 * plan.forward_flops * share * (double)steps;
    }
    result->tokens = llround(tokens);
}

Status trial_protocol(const Trial *trial, Protocol *protocol) {
    ConfigValue *root = NULL;
    *protocol = (Protocol){0};
    Status status = trial_settings(trial, &root);
    if (status == OK) status = protocol_read(root, protocol);
    config_value_free(root);
    return status;
}

Status trial_task(const Trial *trial, const char *keys, void **config) {
    ConfigValue *root = NULL;
    void *training = NULL;
    Status status = trial_settings(trial, &root);
    if (status == OK) status = task_config_read(trial->task, settings_section(root, "task"), &training);
    if (status == OK && keys) {
        task_config_complete(trial->task, training, root);
        status = settings_apply(root, keys);
    }
    if (status == OK) status = task_config_read(trial->task, settings_section(root, "task"), config);
    task_config_free(trial->task, training);
    config_value_free(root);
    return status;
}

int trial_tests(const Task *task, const void *config, Segment test[TRIAL_TESTS], bool *pooled) {
    test[0] = (Segment){.name = "test"};
    int count = 1 + (task->segments ? task->segments(config, true, test + 1) : 0);
    *pooled = count > 1;
    for (const Split *split = task->splits; split && split->name && !*pooled; split++) {
        if (task->has_split && !task->has_split(config, split->name)) continue;
        CHECK(count < TRIAL_TESTS, "%s has too many splits", task->name);
        Segment *s = &test[count++];
        *s = (Segment){0};
        const int name = snprintf(s->name, sizeof s->name, "%s", split->name);
        const int keys = snprintf(s->keys, sizeof s->keys, "%s", split->keys);
        CHECK(name < (int)sizeof s->name && keys < (int)sizeof s->keys, "split %s of %s", split->name, task->name);
    }
    return count;
}

/* Appends a segment of the training. `listed` is one that the setting lists, or NULL. */
static Status add_segment(const Trial *trial, const Segment *listed, TrialSetup *s) {
    TrialSegment *segment = &s->segment[s->segments];
    const Status status = trial_task(trial, listed ? listed->keys : NULL, &segment->config);
    if (status != OK) return status;
    const int64_t B = s->protocol.batch_size;
    if (listed)
        task_training_split(listed, segment->split);
    else
        snprintf(segment->split, sizeof segment->split, "train");
    segment->sizes = trial->task->sizes(segment->config);
    segment->examples = listed ? listed->examples : s->protocol.examples;
    segment->batches = (segment->examples + B - 1) / B;
    segment->options = options_of(trial, &s->protocol, &segment->sizes);
    s->segments++;
    s->epoch_steps += segment->batches;
    return OK;
}

static Status add_segments(const Trial *trial, TrialSetup *s) {
    Segment listed[SEGMENTS_MOST];
    void *config = NULL;
    Status status = trial_task(trial, NULL, &config);
    if (status != OK) return status;
    const int count = trial->task->segments ? trial->task->segments(config, false, listed) : 0;
    task_config_free(trial->task, config);
    for (int i = 0; i < count && status == OK; i++) status = add_segment(trial, &listed[i], s);
    return count > 0 ? status : add_segment(trial, NULL, s);
}

/* Adds the cost of the tests: "test" runs at every evaluation, and the others at most as often. */
static Status describe_tests(const Trial *trial, const TrialSetup *s, Model *model, bool gpu, TrialResult *result) {
    const Protocol *p = &s->protocol;
    const int64_t steps = protocol_steps(p, s->epoch_steps), between = protocol_steps_between(p, s->epoch_steps);
    const int64_t times = (steps + between - 1) / between;
    Segment test[TRIAL_TESTS];
    bool pooled;
    const int count = trial_tests(trial->task, s->segment[0].config, test, &pooled);
    Status status = OK;
    for (int i = pooled; i < count && status == OK; i++) {
        void *config = NULL;
        if (trial->left_out >> i & 1) continue;
        status = trial_task(trial, test[i].keys, &config);
        if (status != OK) break;
        const TaskSizes sizes = trial->task->sizes(config);
        RunnerOptions options = options_of(trial, p, &sizes);
        options.training = false;
        const RunnerPlan plan = runner_plan(model, options, gpu);
        const bool always = i == 0 || pooled || strcmp(p->select, "best") == 0;
        result->flops +=
            plan.forward_flops / (double)options.B * (double)p->test_examples * (double)(always ? times : 1);
        task_config_free(trial->task, config);
    }
    return status;
}

/* All segments have the same tokens and classes. */
static int64_t outputs_of(const TaskSizes *sizes) {
    const int64_t outputs = sizes->tokens > sizes->classes ? sizes->tokens : sizes->classes;
    return outputs > 0 ? outputs : 1;
}

static bool is_left_out(const Trial *trial, const Segment *test, int64_t outputs) {
    const char *name = trial->task->name;
    void *config = NULL;
    if (trial_task(trial, test->keys, &config) != OK) {
        log_warning("%s: the split %s is not possible with this setting, and is left out", name, test->name);
        return true;
    }
    const TaskSizes sizes = trial->task->sizes(config);
    task_config_free(trial->task, config);
    if (sizes.classes <= outputs && sizes.tokens <= outputs) return false;
    log_warning("%s: the split %s has more answers than the model, and is left out", name, test->name);
    return true;
}

/* Whether the examples of the split would be generated, with another map than the training's files have. */
static bool is_foreign(const Trial *trial, const Protocol *protocol, const Segment *test) {
    const Task *task = trial->task;
    if (!protocol->data || !task->seeded || task->files->has(protocol->data, test->name)) return false;
    log_warning("%s: the split %s is not in %s, and generated examples would be of another map: it is left out",
                task->name, test->name, protocol->data);
    return true;
}

static uint32_t splits_left_out(const Trial *trial, const Protocol *protocol, const void *config) {
    Segment test[TRIAL_TESTS];
    bool pooled;
    uint32_t bits = 0;
    const TaskSizes sizes = trial->task->sizes(config);
    const int count = trial_tests(trial->task, config, test, &pooled);
    for (int i = 1; i < count && !pooled; i++)
        if (!protocol->splits || is_foreign(trial, protocol, &test[i]) ||
            is_left_out(trial, &test[i], outputs_of(&sizes)))
            bits |= 1u << i;
    return bits;
}

Status trial_left_out(const Trial *trial, uint32_t *bits) {
    Protocol protocol;
    void *config = NULL;
    Status status = trial_protocol(trial, &protocol);
    if (status == OK) status = trial_task(trial, NULL, &config);
    *bits = status == OK ? splits_left_out(trial, &protocol, config) : 0;
    task_config_free(trial->task, config);
    protocol_free(&protocol);
    return status;
}

Status trial_setup(const Trial *trial, bool gpu, TrialSetup *s, Model **model, TrialResult *result) {
    ConfigValue *root = NULL;
    *s = (TrialSetup){0};
    Status status = trial_settings(trial, &root);
    if (status == OK) status = protocol_read(root, &s->protocol);
    if (status == OK) status = add_segments(trial, s);
    if (status == OK) {
        const TaskSizes *sizes = &s->segment[0].sizes;
        s->outputs = outputs_of(sizes);
        status = trial_model(trial, root, s->outputs, ends_of(trial->task, sizes, &s->protocol), model);
    }
    config_value_free(root);
    if (status != OK) return status;
    describe_model(*model, &s->protocol, result);
    describe_cost(s, *model, gpu, result);
    return describe_tests(trial, s, *model, gpu, result);
}

void trial_setup_free(const Trial *trial, TrialSetup *s) {
    for (int i = 0; i < s->segments; i++) task_config_free(trial->task, s->segment[i].config);
    protocol_free(&s->protocol);
    *s = (TrialSetup){0};
}

Status trial_plan(const Trial *trial, bool gpu, TrialResult *result) {
    *result = (TrialResult){0};
    TrialSetup setup;
    Model *model = NULL;
    const Status status = trial_setup(trial, gpu, &setup, &model, result);
    model_destroy(model);
    trial_setup_free(trial, &setup);
    return status;
}
