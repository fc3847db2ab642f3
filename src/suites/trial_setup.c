#include "suites/trial_setup.h"

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
        log_error("mixer.bidirectional: %s hands a tensor of one direction on to later layers", trial->mixer);
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

static RunnerOptions options_of(const Trial *trial, const TrialSetup *s) {
    return (RunnerOptions){.type = dtype_named(s->protocol.dtype),
                           .recompute = RECOMPUTE_NONE,
                           .B = s->protocol.batch_size,
                           .T = trial_length(trial->task, &s->sizes, &s->protocol),
                           .training = true,
                           .replay = true};
}

enum { PARAMETER_BYTES = 16 }; /* value, gradient and two moments, in fp32 */

static void describe_cost(const TrialSetup *s, Model *model, bool gpu, TrialResult *result) {
    const RunnerPlan plan = runner_plan(model, s->options, gpu);
    const int64_t steps = protocol_steps(&s->protocol);
    result->peak_bytes = plan.keep_bytes + plan.scratch_bytes + PARAMETER_BYTES * result->parameters;
    result->state_bytes = (int64_t)plan.state_bytes;
    result->steps = steps;
    result->tokens = steps * s->protocol.batch_size * s->options.T;
    result->flops = 3 * plan.forward_flops * (double)steps;
}

Status trial_task(const Trial *trial, const Split *split, void **config) {
    ConfigValue *root = NULL;
    void *training = NULL;
    Status status = trial_settings(trial, &root);
    if (status == OK) status = task_config_read(trial->task, settings_section(root, "task"), &training);
    if (status == OK && split) {
        task_config_complete(trial->task, training, root);
        status = settings_apply(root, split->keys);
    }
    if (status == OK) status = task_config_read(trial->task, settings_section(root, "task"), config);
    task_config_free(trial->task, training);
    config_value_free(root);
    return status;
}

Status trial_setup(const Trial *trial, bool gpu, TrialSetup *s, Model **model, TrialResult *result) {
    ConfigValue *root = NULL;
    *s = (TrialSetup){0};
    Status status = trial_settings(trial, &root);
    if (status == OK) status = protocol_read(root, &s->protocol);
    if (status == OK) status = task_config_read(trial->task, settings_section(root, "task"), &s->config);
    if (status == OK) {
        s->sizes = trial->task->sizes(s->config);
        s->outputs = s->sizes.tokens > s->sizes.classes ? s->sizes.tokens : s->sizes.classes;
        if (s->outputs == 0) s->outputs = 1;
        status = trial_model(trial, root, s->outputs, ends_of(trial->task, &s->sizes, &s->protocol), model);
    }
    config_value_free(root);
    if (status != OK) return status;
    s->options = options_of(trial, s);
    describe_model(*model, &s->protocol, result);
    describe_cost(s, *model, gpu, result);
    return OK;
}

void trial_setup_free(const Trial *trial, TrialSetup *s) {
    task_config_free(trial->task, s->config);
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
