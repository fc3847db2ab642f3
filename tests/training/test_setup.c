/* What activation_checkpoint.mode: auto comes to on a device with little memory. */
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
    RunnerOptions options = setup_runner(config);
    options.recompute = recompute;
    return setup_memory(config, &options, model, 1, 1).device_bytes;
}

static Recompute chosen(const TrainConfig *config, Model *model, int64_t bytes) {
    Device device = *device_cpu();
    device.available = available;
    free_bytes = bytes;
    RunnerOptions options = setup_runner(config);
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recompute)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
