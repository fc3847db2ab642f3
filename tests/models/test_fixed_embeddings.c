/* Fixed embeddings: an update with weight decay does not change a bit of them, and changes all other parameters. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "parallel/optimizer.h"
#include "training/session.h"

enum { T = 12, V = 40, H = 32 };

/* The caller owns the session, because the opened objects point into it. */
static void open_model(ModelEnds ends, Session *session) {
    static const char keys[] = "{model_type: delta_net, hidden_size: 32, num_hidden_layers: 1, num_heads: 2, "
                               "vocab_size: 40, tie_word_embeddings: true}";
    ConfigValue *source = NULL;
    Model *model = NULL;
    assert_int_equal(config_value_read_yaml("model", keys, sizeof keys - 1, &source), OK);
    assert_int_equal(model_create_with(source, ends, &model), OK);
    config_value_free(source);
    const RunnerOptions options = {.type = F32, .B = 1, .T = T, .training = true};
    assert_int_equal(
        session_open(session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(session->fsdp, 3);
}

static void update(Session *s) {
    const HostBatch batch = runner_batch(s->runner);
    for (int t = 0; t < T; t++) {
        batch.tokens[t] = (7 * t + 1) % V;
        batch.labels[t] = (5 * t + 2) % V;
        batch.segment[t] = 0;
        batch.position[t] = t;
    }
    const OptimizerOptions options = {
        .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .max_norm = 0, .decay_all = true, .copies = 1};
    double loss;
    int64_t targets;
    runner_train(s->runner, true);
    runner_losses(s->runner, &loss, &targets);
    optimizer_step(s->fsdp, &options, 1, 0.01, 1.0 / (double)targets);
    fsdp_end_step(s->fsdp);
}

/* How many elements of the embeddings, and of all others, an update changes. */
static void count_changes(ModelEnds ends, int64_t changed[2], double *deviation) {
    Session s = {0};
    double squares = 0;
    changed[0] = changed[1] = 0;
    float *before[2];
    open_model(ends, &s);
    assert_int_equal(s.model->units, 2);
    for (int u = 0; u < 2; u++) {
        const size_t bytes = (size_t)s.model->unit[u].shard * sizeof(float);
        before[u] = malloc(bytes);
        assert_non_null(before[u]);
        memcpy(before[u], s.model->unit[u].master, bytes);
    }
    update(&s);
    for (int u = 0; u < 2; u++) {
        const Unit *unit = &s.model->unit[u];
        for (int i = 0; i < unit->parameters; i++)
            for (int64_t e = unit->parameter[i].offset; e < unit->parameter[i].offset + unit->parameter[i].elements;
                 e++) {
                const bool embeddings = &unit->parameter[i].tensor == s.model->embeddings;
                changed[!embeddings] += before[u][e] != unit->master[e];
                if (embeddings) squares += (double)before[u][e] * (double)before[u][e];
            }
        free(before[u]);
    }
    *deviation = sqrt(squares / (V * H));
    session_close(&s);
}

static void fixed_embeddings_keep_their_values(void **state) {
    (void)state;
    int64_t changed[2];
    double deviation;
    count_changes((ModelEnds){0}, changed, &deviation);
    assert_true(changed[0] == V * H && changed[1] > 0 && deviation < 0.03);
    const int64_t others = changed[1];
    count_changes((ModelEnds){.fixed_embeddings = true}, changed, &deviation);
    assert_true(changed[0] == 0 && changed[1] == others);
    assert_true(fabs(deviation * sqrt((double)H) - 1) < 0.1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fixed_embeddings_keep_their_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
