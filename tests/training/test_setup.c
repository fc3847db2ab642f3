/* The mode that activation_checkpoint.mode: auto chooses on a device with little memory, and the size of models'
 * states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/config.h"
#include "training/setup.h"

static int64_t free_bytes;

static int64_t available(int sharers) { return free_bytes / sharers; }

static int64_t planned(const TrainConfig *config, Model *model, Recompute recompute) {
    RunnerOptions options = setup_runner(config, NULL);
    options.recompute = recompute;
    return setup_memory(config, &options, model, 1, 1).device_bytes;
}

static Recompute chosen(const TrainConfig *config, Model *model, int64_t bytes) {
    Device device = *device_cpu();
    device.available = available;
    free_bytes = bytes;
    RunnerOptions options = setup_runner(config, NULL);
    Comm *self = comm_self_create();
    setup_recompute(config, model, self, &device, &options);
    comm_destroy(self);
    return options.recompute;
}

static void with_model(const char *mode, void (*use)(const TrainConfig *config, Model *model)) {
    char argument[64];
    snprintf(argument, sizeof argument, "--activation_checkpoint.mode=%s", mode);
    char *arguments[] = {"--model.model_type=gla", "--model.hidden_size=64", "--model.vocab_size=320",
                         "--data.files=[a.h5]",    "--device=cpu",           argument};
    TrainConfig config;
    Model *model = NULL;
    assert_int_equal(config_load(LENGTH(arguments), arguments, &config), OK);
    config_set_device(&config, "cpu");
    assert_int_equal(model_create(config.model, &model), OK);
    use(&config, model);
    model_destroy(model);
    config_free(&config);
}

static void least_that_fits(const TrainConfig *config, Model *model) {
    const int64_t none = planned(config, model, RECOMPUTE_NONE), some = planned(config, model, RECOMPUTE_SELECTIVE);
    assert_true(none > some && some > planned(config, model, RECOMPUTE_FULL));
    assert_int_equal(chosen(config, model, none), RECOMPUTE_NONE);
    assert_int_equal(chosen(config, model, none - 1), RECOMPUTE_SELECTIVE);
    assert_int_equal(chosen(config, model, some), RECOMPUTE_SELECTIVE);
    assert_int_equal(chosen(config, model, some - 1), RECOMPUTE_FULL);
    assert_int_equal(chosen(config, model, 0), RECOMPUTE_FULL); /* setup_check_memory refuses it afterwards */
}

static void as_named(const TrainConfig *config, Model *model) {
    assert_int_equal(chosen(config, model, 0), RECOMPUTE_SELECTIVE);
    assert_int_equal(chosen(config, model, INT64_MAX), RECOMPUTE_SELECTIVE);
}

static void test_recompute(void **state) {
    (void)state;
    with_model("auto", least_that_fits);
    with_model("selective", as_named);
}

/* Two layers of width d on sequences of T tokens; numbers of a state have 4 bytes, elements 2. */
enum { LAYERS = 2, D = 64, T = 128, HEADS = 2, NUMBER = 4, ELEMENT = 2 };

typedef struct StateCase {
    const char *model, *keys[4];
    int64_t bytes; /* of one layer */
} StateCase;

enum { CONV = 3 * ELEMENT }; /* rows before a token that a convolution of width 4 reads, for each channel */

static const StateCase state_cases[] = {
    {"delta_net", {"num_heads=2"}, NUMBER *D * 32 + CONV * 3 * D},
    {"gla", {"num_heads=2"}, NUMBER *D / 2 * 32},
    {"mamba2", {"head_dim=16", "num_heads=8", "state_size=16"}, NUMBER * 2 * D * 16 + CONV *(2 * D + 2 * 16)},
    {"rwkv7", {"head_dim=32"}, NUMBER *HEADS * 32 * 32 + ELEMENT * 2 * D},
    {"rwkv6", {"num_heads=2", "expand_k=1.0"}, NUMBER *D * 32 + ELEMENT * 2 * D}, /* two mixes read one row */
    {"based", {"num_heads=2", "feature_dim=14"}, NUMBER *HEADS *(32 + 1) * (14 * 15 / 2 + 14 + 1)},
    {"based", {"num_heads=2", "feature_dim=16"}, NUMBER *HEADS *(32 + 1) * 160}, /* 153, rounded up to 8 */
    {"gsa", {"num_heads=2", "num_slots=16"}, NUMBER * 16 * (D + D)},
    {"xlstm", {"num_heads=2"}, NUMBER *HEADS *(16 * 32 + 16 + 1)},
    {"mesa_net", {"num_heads=2", "head_dim=32"}, NUMBER * 2 * HEADS * 32 * 32 + CONV * 2 * D},
    {"mamba", {"state_size=16"}, NUMBER * 2 * D * 16 + CONV * 2 * D},
    {"hgrn", {"expand_ratio=1"}, NUMBER *D},
    {"lstm", {NULL}, NUMBER * 2 * D},
    {"gru", {NULL}, NUMBER *D},
    {"transformer", {"num_heads=2"}, ELEMENT * 2 * D *T},
    {"transformer", {"num_heads=2", "num_kv_heads=1"}, ELEMENT * 2 * 32 * T},
    {"transformer", {"num_heads=2", "window_size=32"}, ELEMENT * 2 * D * 31},
    {"transformer", {"num_heads=2", "window_size=1000"}, ELEMENT * 2 * D *T},
    {"forgetting_transformer", {"num_heads=2"}, (ELEMENT * 2 * D + NUMBER * HEADS) * T},
    {"path_attn",
     {"num_heads=2", "use_w_shortconv=false"},
     (NUMBER + ELEMENT) * D *T},                          /* keys are updated for each later token */
    {"deltaformer", {"num_heads=2"}, ELEMENT * 2 * D *T}, /* two ops read the same keys and values */
    {"nsa",
     {"num_heads=16", "num_kv_heads=1", "head_dim=8", "block_size=16"},
     ELEMENT * 2 * 8 * (T + T / 16)}, /* the window branch reads tokens that the selected branch keeps */
    {"tropical_attention", {"num_heads=2"}, ELEMENT * 2 * D *T},
    {"two_simplicial", {"num_heads=2", "num_kv_heads=2", "window1=64", "window2=8"}, ELEMENT * 2 * D *(64 + 8)},
};

static double planned_state(const StateCase *c) {
    char text[5][64];
    char *arguments[12] = {"--model.hidden_size=64",
                           "--model.num_hidden_layers=2",
                           "--model.vocab_size=320",
                           "--training.seq_len=128",
                           "--training.batch_size=3",
                           "--data.files=[a.h5]",
                           "--device=cpu"};
    int count = 7;
    snprintf(text[0], sizeof text[0], "--model.model_type=%s", c->model);
    arguments[count++] = text[0];
    for (int i = 0; i < 4 && c->keys[i]; i++) {
        snprintf(text[i + 1], sizeof text[i + 1], "--model.%s", c->keys[i]);
        arguments[count++] = text[i + 1];
    }
    TrainConfig config;
    Model *model = NULL;
    assert_int_equal(config_load(count, arguments, &config), OK);
    config_set_device(&config, "cpu");
    assert_int_equal(model_create(config.model, &model), OK);
    RunnerOptions options = setup_runner(&config, NULL);
    options.type = BF16;
    const double bytes = runner_plan(model, options, false).state_bytes;
    options.training = false;
    options.logits = true;
    assert_true(runner_plan(model, options, false).state_bytes == bytes);
    model_destroy(model);
    config_free(&config);
    return bytes;
}

static void test_state(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(state_cases); i++) {
        const StateCase *c = &state_cases[i];
        const double bytes = planned_state(c), expected = (double)(LAYERS * c->bytes);
        if (bytes != expected) fail_msg("%s, %s: %.0f bytes, not %.0f", c->model, c->keys[0], bytes, expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recompute), cmocka_unit_test(test_state)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
