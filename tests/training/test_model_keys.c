/* Keys of a model that may change between a checkpoint and the run that continues from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/model_keys.h"
#include "support/capture.h"
#include "training/session.h"

static const char *const goldens[] = {"abc",
                                      "comba",
                                      "delta_net",
                                      "deltaformer",
                                      "gated_deltanet",
                                      "gated_deltaproduct",
                                      "gla",
                                      "gsa",
                                      "hgrn",
                                      "hgrn2",
                                      "kda",
                                      "lightnet",
                                      "linear_attn",
                                      "mamba",
                                      "mamba2",
                                      "mesa_net",
                                      "rebased",
                                      "retnet",
                                      "rwkv6",
                                      "rwkv7",
                                      "samba",
                                      "transnormer",
                                      "xlstm"};

static ConfigValue *golden_keys(const char *name) {
    char path[128];
    ConfigValue *keys = NULL;
    snprintf(path, sizeof path, "tests/golden/%s/config.json", name);
    assert_int_equal(config_value_read(path, &keys), OK);
    return keys;
}

/* A model of the keys with one of them set to a text of YAML; NULL if it is refused. */
static Model *model_with(const ConfigValue *keys, const char *key, const char *text) {
    ConfigValue *changed = config_value_copy(keys), *mapping = NULL;
    char line[256], message[4096];
    snprintf(line, sizeof line, "%s: %s", key, text);
    assert_int_equal(config_value_read_yaml("test", line, strlen(line), &mapping), OK);
    config_value_set(changed, key, config_value_copy(config_value_get(mapping, key)));
    Model *model = NULL;
    Capture capture = capture_begin(2);
    const Status status = model_create(changed, &model);
    capture_end(&capture, message, sizeof message);
    config_value_free(changed);
    config_value_free(mapping);
    return status == OK ? model : NULL;
}

/* The names that differ, as "a b ". */
static void differing(const Model *old, const Model *now, char names[512]) {
    KeyDifferences differences = {0};
    model_compare(old, now, &differences);
    names[0] = 0;
    for (int64_t i = 0; i < differences.count; i++)
        snprintf(names + strlen(names), 512 - strlen(names), "%s ", differences.item[i].name);
    key_differences_free(&differences);
}

static void test_values_in_effect(void **state) {
    (void)state;
    static const struct {
        const char *golden, *key, *one, *other, *names;
    } cases[] = {
        {"gla", "num_kv_heads", "null", "2", ""},
        {"retnet", "num_kv_heads", "null", "2", ""},
        {"linear_attn", "num_kv_heads", "null", "2", ""},
        {"transformer", "num_kv_heads", "null", "2", ""},
        {"gla", "intermediate_size", "null", "256", ""},    /* by hidden_ratio */
        {"mamba2", "intermediate_size", "null", "999", ""}, /* has no MLP */
        {"samba", "intermediate_size", "null", "64", ""},   /* the mixer's width */
        {"samba", "hidden_ratio", "4", "16", "intermediate_size "},
        {"mamba", "dt_rank", "auto", "2", ""},
        {"gla", "attn", "{layers: [0, 1], num_heads: 2}", "{layers: [1, 0], num_heads: 2, rope_theta: 10000}", ""},
        {"gla", "attn", "{layers: [0, 1], num_heads: 2}", "{layers: [0], num_heads: 2}", "attn.layers "},
        {"gla", "attn", "null", "{layers: [0], num_heads: 2}", "attn.layers "},
        {"gla", "attn", "{layers: [0], num_heads: 2}", "{layers: [0], num_heads: 2, window_size: 9}",
         "attn.window_size "},
        {"gla", "clamp_min", "null", "-1.0", "clamp_min "},
        {"transformer", "rope_theta", "10000", "5000.0", "rope_theta "},
        {"transformer", "rope_theta", "10000", "10000.0", ""},
        {"hgrn", "norm_eps", "1e-6", "1e-5", "norm_eps "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ConfigValue *keys = golden_keys(cases[i].golden);
        Model *one = model_with(keys, cases[i].key, cases[i].one),
              *other = model_with(keys, cases[i].key, cases[i].other);
        assert_non_null(one);
        assert_non_null(other);
        char names[512];
        differing(one, other, names);
        if (strcmp(names, cases[i].names) != 0) fail_msg("%s.%s: differ in %s", cases[i].golden, cases[i].key, names);
        model_destroy(one);
        model_destroy(other);
        config_value_free(keys);
    }
}

enum { B = 1, T = 70 };

static void open_session(Model *model, Session *session) {
    const RunnerOptions options = {.type = F32, .recompute = RECOMPUTE_NONE, .B = B, .T = T, .training = true};
    *session = (Session){0};
    assert_int_equal(
        session_open(session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(session->fsdp, 5);
}

static double train_step(Session *session) {
    const HostBatch batch = runner_batch(session->runner);
    for (int64_t i = 0; i < B * T; i++) {
        batch.tokens[i] = (int32_t)((i * 37 + 11) % 64);
        batch.labels[i] = (int32_t)((i * 53 + 5) % 64);
        batch.segment[i] = (int32_t)(i / 40);
        batch.position[i] = (int32_t)(i % 40);
    }
    runner_train(session->runner, true);
    double loss = 0;
    int64_t targets = 0;
    runner_losses(session->runner, &loss, &targets);
    return loss;
}

/* Loss and gradients from the same weights are the same bits. */
static bool trains_alike(const ConfigValue *keys, Model *changed) {
    Model *model = NULL;
    Session one, other;
    assert_int_equal(model_create(keys, &model), OK);
    open_session(model, &one);
    open_session(changed, &other);
    bool same = model->units == changed->units;
    for (int u = 0; same && u < model->units; u++)
        memcpy(changed->unit[u].master, model->unit[u].master, (size_t)model->unit[u].elements * sizeof(float));
    const double loss = train_step(&one);
    same = same && loss == train_step(&other);
    for (int u = 0; same && u < model->units; u++)
        same = memcmp(model->unit[u].gradient_shard, changed->unit[u].gradient_shard,
                      (size_t)model->unit[u].elements * sizeof(float)) == 0;
    session_close(&one);
    session_close(&other);
    return same;
}

static void try_value(const ConfigValue *keys, const char *golden, const Key *key, const char *text, int *tried) {
    Model *changed = model_with(keys, key->name, text);
    if (!changed) return;
    if (!trains_alike(keys, changed)) fail_msg("%s trains otherwise with %s: %s", golden, key->name, text);
    ++*tried;
}

/* Tries values of each key. Values that are refused are skipped. */
static int try_key(const ConfigValue *keys, const char *golden, const Key *key) {
    static const char *const values[] = {"true", "false", "0", "1", "3", "0.05", "[2, 4]", "null"};
    int tried = 0;
    for (int i = 0; i < LENGTH(values); i++) try_value(keys, golden, key, values[i], &tried);
    char choices[256];
    snprintf(choices, sizeof choices, "%s", key->choices ? key->choices : "");
    for (char *choice = strtok(choices, "|"); choice; choice = strtok(NULL, "|"))
        try_value(keys, golden, key, choice, &tried);
    return tried;
}

static void test_inert_keys_are(void **state) {
    (void)state;
    for (int g = 0; g < LENGTH(goldens); g++) {
        ConfigValue *keys = golden_keys(goldens[g]);
        Model *model = NULL;
        assert_int_equal(model_create(keys, &model), OK);
        KeyTable tables[MODEL_TABLES];
        model_config_tables(&model->config, tables);
        int count = 0;
        for (int t = g == 0 ? 0 : 1; t < 2; t++) /* the shared keys once */
            for (int k = 0; k < tables[t].count; k++)
                if (tables[t].keys[k].type & KEY_INERT) count += try_key(keys, goldens[g], &tables[t].keys[k]) > 0;
        assert_true(count > 0);
        model_destroy(model);
        config_value_free(keys);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values_in_effect), cmocka_unit_test(test_inert_keys_are)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
