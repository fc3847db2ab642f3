#include "suites/speed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "core/cpu_gemm.h"
#include "suites/settings.h"
#include "suites/speed_table.h"
#include "suites/speed_timer.h"
#include "suites/suites.h"
#include "suites/sweep.h"
#include "suites/trial_setup.h"

typedef struct SpeedConfig {
    IntegerList lengths;
    int64_t batch, heads, head_dim, repeats;
    char *dtype; /* float32 | bfloat16 */
} SpeedConfig;

static const Key keys[] = {
    KEY(SpeedConfig, lengths, KEY_INTEGER_LIST, "[128, 256, 512, 1024, 2048, 4096, 8192, 16384]", 1, 1 << 24, NULL,
        "tokens of a sequence (on a CPU up to 4096)"),
    KEY(SpeedConfig, batch, KEY_INTEGER, "8", 1, 1 << 20, NULL, "sequences (on a CPU 1)"),
    KEY(SpeedConfig, heads, KEY_INTEGER, "32", 1, 4096, NULL, "heads (on a CPU 4)"),
    KEY(SpeedConfig, head_dim, KEY_INTEGER, "128", 1, 4096, NULL, "hidden_size / heads (on a CPU 64)"),
    KEY(SpeedConfig, repeats, KEY_INTEGER, "20", 1, 1e6, NULL, "runs whose median counts (on a CPU 5)"),
    KEY(SpeedConfig, dtype, KEY_CHOICE, "bfloat16", 0, 0, "float32|bfloat16",
        "type of products and activations (on a CPU float32)"),
};

static const char on_cpu[] = "speed.lengths=[128,256,512,1024,2048,4096] speed.batch=1 speed.heads=4 speed.head_dim=64 "
                             "speed.repeats=5 speed.dtype=float32";

/* Keys that mixer_defaults choose for models of a few thousand parameters. Here they are as large as in fla. */
#define NSA_BLOCKS "model.block_size=64 model.block_counts=16 model.window_size=512"
enum { NSA_GROUP = 16 }; /* least number of query heads per key head */
static const MixerKeys speed_mixers[] = {
    {"nsa", "model.num_heads={heads} model.num_kv_heads=1 model.head_dim={head_dim} " NSA_BLOCKS},
    {"nsa", NSA_BLOCKS}, /* if there are fewer heads than NSA_GROUP */
    {"mamba2", "model.state_size=128"},
    {"rwkv6", "model.proj_low_rank_dim=32 model.gate_low_rank_dim=64"},
    {"rwkv7", "model.decay_low_rank_dim=64 model.gate_low_rank_dim=128 model.a_low_rank_dim=64 "
              "model.v_low_rank_dim=16 model.num_hidden_layers=2"}, /* fla divides by the number of layers - 1 */
    {"samba", "model.num_hidden_layers=2"},
    {"transformer_vq", "model.num_hidden_layers=2 model.n_code=512 model.block_len=512 model.mem_len=512"},
    {"transnormer", "model.num_hidden_layers=2"},
    {"two_simplicial", "model.window1=512 model.window2=32"},
    {NULL, NULL},
};

KeyTable speed_keys(void) { return (KeyTable){keys, LENGTH(keys), NULL, SPEED}; }

static Status refuse(const char *what) {
    log_error("%s", what);
    return USAGE;
}

static Status check_sections(const ConfigValue *root) {
    for (int i = 0; i < root->count; i++) {
        const char *section = root->item[i]->key;
        if (strcmp(section, SPEED) == 0 || strcmp(section, "model") == 0) continue;
        log_error("--set %.40s: the settings of " SPEED " are in the sections " SPEED " and model", section);
        return USAGE;
    }
    if (config_value_get(settings_section(root, "model"), "hidden_size"))
        return refuse("model.hidden_size follows from speed.heads and speed.head_dim: set these");
    return OK;
}

/* Reads the section "speed". The caller calls keys_free, also on failure. */
static Status read_config(const char *user, const Device *device, SpeedConfig *config) {
    const KeyTable table = {keys, LENGTH(keys), config, SPEED};
    ConfigValue *root = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
    keys_defaults(&table, 1);
    Status status = settings_apply(root, device->gpu ? NULL : on_cpu);
    if (status == OK) status = settings_apply(root, user);
    if (status == OK) status = check_sections(root);
    if (status == OK) status = keys_apply(&table, 1, settings_section(root, SPEED), SPEED, NULL);
    config_value_free(root);
    if (status != OK) return status;
    if (config->lengths.count == 0) return refuse("speed.lengths is empty");
    if (!device->host_memory || cpu_gemm_supports(dtype_named(config->dtype))) return OK;
    log_error("speed.dtype: there are no bfloat16 products on this processor; use float32");
    return BAD_INPUT;
}

/* A model whose first layer has the mixer and no MLP. */
static Status create_model(const SpeedConfig *config, const char *mixer, const char *user, Model **model) {
    char text[160];
    snprintf(text, sizeof text,
             "mixer.heads=%lld model.hidden_size=%lld model.num_hidden_layers=1 model.intermediate_size=0",
             (long long)config->heads, (long long)(config->heads * config->head_dim));
    const Suite suite = {.keys = text, .mixers = speed_mixers + (config->heads < NSA_GROUP)};
    const Trial trial = {
        .suite = &suite, .task = &(const Task){.name = SPEED}, .mixer = mixer, .setting = "", .user = user};
    ConfigValue *root = NULL;
    Status status = trial_settings(&trial, &root);
    if (status == OK) status = trial_model(&trial, root, 32, (ModelEnds){0}, model);
    config_value_free(root);
    return status;
}

/* Writes FOLDER/configs/MIXER.json, for other programs that time the same layer. */
static Status write_model(const Model *model, const char *folder) {
    char name[160], *text = model_config_json(model);
    snprintf(name, sizeof name, "configs/%s.json", model->config.model_type);
    char *path = path_join(folder, name);
    int error = folder_create_above(path);
    if (!error) error = file_replace(path, text, (int64_t)strlen(text));
    if (error) log_error("%s: %s", path, strerror(error));
    free(path);
    free(text);
    return error ? IO_ERROR : OK;
}

static void time_length(SpeedTimer *timer, const SpeedConfig *config, const char *mixer, int64_t length,
                        SpeedTable *table) {
    const SpeedTimes times = speed_timer_run(timer, config->batch, length, config->repeats);
    speed_table_append(table, (SpeedRow){mixer, length, times.forward, times.forward_backward});
    if (isnan(times.forward))
        log_info("%-24s %7lld tokens: does not fit into memory", mixer, (long long)length);
    else
        log_info("%-24s %7lld tokens: %12.3f ms forward, %12.3f ms with backward", mixer, (long long)length,
                 times.forward * 1e3, times.forward_backward * 1e3);
}

static Status time_mixer(const SpeedOptions *options, const Device *device, const SpeedConfig *config,
                         const char *mixer, SpeedTable *table) {
    Model *model = NULL;
    SpeedTimer *timer = NULL;
    if (create_model(config, mixer, options->user, &model) != OK) {
        log_warning("%s has no model of this size and is left out", mixer);
        return OK;
    }
    Status status = write_model(model, options->folder);
    if (status != OK) {
        model_destroy(model);
        return status;
    }
    status = speed_timer_open(model, device, dtype_named(config->dtype), &timer);
    for (int64_t i = 0; i < config->lengths.count && status == OK; i++)
        time_length(timer, config, mixer, config->lengths.item[i], table);
    speed_timer_close(timer);
    return status == OK ? speed_table_write(table, options->folder) : status;
}

Status speed_run(const SpeedOptions *options, const Device *device) {
    SpeedConfig config = {0};
    const KeyTable keys_of_config = {keys, LENGTH(keys), &config, SPEED};
    Status status = sweep_check_mixers(options->mixers, options->mixer_count);
    if (status == OK) status = read_config(options->user, device, &config);
    SpeedTable table = {.device = device->name,
                        .dtype = config.dtype,
                        .batch = config.batch,
                        .heads = config.heads,
                        .head_dim = config.head_dim,
                        .lengths = &config.lengths};
    for (int m = 0; mixer_at(m) && status == OK; m++) {
        const char *mixer = mixer_at(m)->model_type;
        if (sweep_wants_mixer(options->mixers, options->mixer_count, mixer))
            status = time_mixer(options, device, &config, mixer, &table);
    }
    if (status == OK && table.rows == 0) {
        log_error("none of the mixers has a model of this size");
        status = BAD_INPUT;
    }
    if (status == OK) log_info("wrote %s/speed.csv and %s/speed.md", options->folder, options->folder);
    speed_table_free(&table);
    keys_free(&keys_of_config, 1);
    return status;
}
