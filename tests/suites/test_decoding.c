/* MQAR's model has a convolution before its blocks. Token by token, it must give the answers that it gives for the
 * whole sequence. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "suites/ends.h"
#include "training/session.h"

enum { B = 2, T = 12, VOCABULARY = 24 };

static const struct {
    const char *key, *value;
} keys[] = {{"model_type", "linear_attn"}, {"hidden_size", "16"},   {"num_heads", "1"},
            {"num_hidden_layers", "1"},    {"vocab_size", "24"},    {"pad_token_id", "null"},
            {"bos_token_id", "null"},      {"eos_token_id", "null"}};

static void open_session(int64_t tokens, Session *session) {
    const ModelEnds ends = {.parameters = base_conv_parameters, .read_in = base_conv_read_in};
    const RunnerOptions options = {.type = F32, .B = B, .T = T, .logits = true, .tokens = tokens};
    ConfigValue *source = config_value_new(VALUE_MAPPING, "test", 0);
    Model *model = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        config_value_set(source, keys[i].key, config_value_plain(keys[i].value, "test", 0));
    assert_int_equal(model_create_with(source, ends, &model), OK);
    config_value_free(source);
    assert_int_equal(
        session_open(session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(session->fsdp, 3);
}

/* The next `count` tokens of both sequences. */
static void fill(HostBatch batch, int64_t first, int64_t count) {
    for (int64_t i = 0; i < B * count; i++) {
        const int64_t b = i / count, t = first + i % count;
        batch.tokens[i] = (int32_t)(((b * T + t) * 7 + 3) % VOCABULARY);
        batch.labels[i] = -100;
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)t;
    }
}

static void the_convolution_before_the_blocks_goes_on(void **state) {
    (void)state;
    static float whole[B * T * VOCABULARY], next[B * VOCABULARY];
    Session reading = {0}, going_on = {0};
    open_session(0, &reading);
    open_session(T, &going_on);
    fill(runner_batch(reading.runner), 0, T);
    runner_logits(reading.runner, whole);
    runner_restart(going_on.runner);
    for (int64_t t = 0; t < T; t++) {
        runner_set_tokens(going_on.runner, 1);
        fill(runner_batch(going_on.runner), t, 1);
        runner_continue(going_on.runner, next);
        for (int64_t b = 0; b < B; b++)
            for (int64_t i = 0; i < VOCABULARY; i++) {
                const float expected = whole[(b * T + t) * VOCABULARY + i];
                if (!(fabsf(next[b * VOCABULARY + i] - expected) < 1e-6f))
                    fail_msg("token %d: %g instead of %g", (int)t, (double)next[b * VOCABULARY + i], (double)expected);
            }
    }
    session_close(&reading);
    session_close(&going_on);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_convolution_before_the_blocks_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
