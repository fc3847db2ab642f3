/* Without positions, the output of attention at the last token does not depend on the order of the tokens before it.
 * With rotary positions it does. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "training/session.h"

enum { T = 12, V = 16 };

/* The logits at the last token, with the two tokens before it at these places. */
static void last_logits(const char *keys, int first, int second, float last[V]) {
    ConfigValue *source = NULL;
    Model *model = NULL;
    Session session = {0};
    float logits[T * V];
    assert_int_equal(config_value_read_yaml("model", keys, strlen(keys), &source), OK);
    assert_int_equal(model_create(source, &model), OK);
    config_value_free(source);
    const RunnerOptions options = {.type = F32, .B = 1, .T = T, .logits = true};
    assert_int_equal(
        session_open(&session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(session.fsdp, 3);
    const HostBatch batch = runner_batch(session.runner);
    for (int t = 0; t < T; t++) {
        batch.tokens[t] = t == first ? 7 : t == second ? 9 : 3;
        batch.labels[t] = -100;
        batch.segment[t] = 0;
        batch.position[t] = t;
    }
    runner_logits(session.runner, logits);
    memcpy(last, logits + (T - 1) * V, V * sizeof *last);
    session_close(&session);
}

/* The largest difference of the logits when two tokens change places. */
static double effect_of_places(const char *keys) {
    float a[V], b[V];
    double most = 0;
    last_logits(keys, 1, 8, a);
    last_logits(keys, 9, 4, b);
    for (int i = 0; i < V; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

#define KEYS                                                                                                           \
    "{model_type: transformer, hidden_size: 32, num_hidden_layers: 1, num_heads: 2, vocab_size: 16, "                  \
    "initializer_range: 0.5"

static void places_matter_with_positions_only(void **state) {
    (void)state;
    assert_true(effect_of_places(KEYS ", rope_theta: null}") < 1e-5);
    assert_true(effect_of_places(KEYS "}") > 1e-2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(places_matter_with_positions_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
