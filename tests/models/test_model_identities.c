/* Models that are equivalent when the gates of one are open and its corrections are zero. Initial values depend only on
 * a parameter's name, so both models start with the same ones. The test compares the losses of the tokens and the
 * gradients of the parameters that both models have. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "training/session.h"

enum { T = 90, V = 40, SETS = 2, KEYS = 512 };

/* All parameters whose names end with `end` get the value. */
typedef struct Set {
    const char *end;
    float value;
} Set;

typedef struct Side {
    const char *keys;
    Set set[SETS];
} Side;

typedef struct ModelIdentity {
    const char *what;
    Side one, other;
    double
        bound; /* of RMS(difference) / RMS; 0: the same bits. Where other kernels compute, or the matrices of a
                  product are in another order, fp32 sums round differently, which two layers amplify to about 1e-6 */
} ModelIdentity;

/* Keys that make models comparable, because the defaults of some models differ. */
#define SHARED                                                                                                         \
    "hidden_size: 32, num_hidden_layers: 2, vocab_size: 40, intermediate_size: 64, norm_eps: 1.0e-5, "                 \
    "initializer_range: 0.2, "

static bool ends_with(const char *name, const char *end) {
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static bool is_set(const Side *side, const char *name) {
    for (int i = 0; i < SETS && side->set[i].end; i++)
        if (ends_with(name, side->set[i].end)) return true;
    return false;
}

static void set_parameters(Session *s, const Set *set) {
    int changed = 0;
    for (int u = 0; u < s->model->units; u++)
        for (int i = 0; i < s->model->unit[u].parameters; i++) {
            const Parameter *p = &s->model->unit[u].parameter[i];
            if (!ends_with(p->name, set->end)) continue;
            for (int64_t e = 0; e < p->elements; e++) s->model->unit[u].master[p->offset + e] = set->value;
            changed++;
        }
    if (changed == 0) fail_msg("no parameter's name ends with %s", set->end);
}

static void fill_batch(HostBatch batch) {
    const int ends[] = {3, 70, T};
    for (int t = 0, document = 0, begin = 0; t < T; t++) {
        if (t == ends[document]) begin = ends[document++];
        batch.tokens[t] = (7 * t * t + t) % V;
        batch.labels[t] = (5 * t * t + 2) % V;
        batch.segment[t] = document;
        batch.position[t] = t - begin;
    }
}

/* Opens the model and runs a micro-batch. */
static void run(const Side *side, Session *s) {
    char keys[KEYS];
    ConfigValue *source = NULL;
    Model *model = NULL;
    const int length = snprintf(keys, sizeof keys, "{" SHARED "%s}", side->keys);
    assert_in_range(length, 1, sizeof keys - 1);
    assert_int_equal(config_value_read_yaml("model", keys, (size_t)length, &source), OK);
    assert_int_equal(model_create(source, &model), OK);
    config_value_free(source);
    const RunnerOptions options = {.type = F32, .B = 1, .T = T, .training = true};
    assert_int_equal(session_open(s, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(s->fsdp, 3);
    for (int i = 0; i < SETS && side->set[i].end; i++) set_parameters(s, &side->set[i]);
    fill_batch(runner_batch(s->runner));
    runner_train(s->runner, true);
}

static void expect_near(const ModelIdentity *identity, const char *part, const float *given, const float *expected,
                        int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += pow((double)given[i] - (double)expected[i], 2);
        size += pow((double)expected[i], 2);
    }
    if (!(sqrt(difference) <= identity->bound * sqrt(size)))
        fail_msg("%s: error of %s is %.3g", identity->what, part, sqrt(difference / size));
}

static const Parameter *same_name(const Unit *unit, const char *name) {
    for (int i = 0; i < unit->parameters; i++)
        if (strcmp(unit->parameter[i].name, name) == 0) return &unit->parameter[i];
    return NULL;
}

/* Compares the parameters that both models have and that the test does not set. */
static void expect_same_gradients(const ModelIdentity *identity, const Session *one, const Session *other) {
    for (int u = 0; u < one->model->units; u++) {
        const Unit *unit = &one->model->unit[u], *peer = &other->model->unit[u];
        int compared = 0;
        for (int i = 0; i < unit->parameters; i++) {
            const Parameter *p = &unit->parameter[i], *q = same_name(peer, p->name);
            if (!q || is_set(&identity->one, p->name) || is_set(&identity->other, p->name)) continue;
            assert_int_equal(p->elements, q->elements);
            expect_near(identity, p->name, unit->gradient_shard + p->offset, peer->gradient_shard + q->offset,
                        p->elements);
            compared++;
        }
        assert_in_range(compared, u == 0 ? 2 : 6, UNIT_PARAMETERS);
    }
}

static void expect_identity(const ModelIdentity *identity) {
    Session one = {0}, other = {0};
    run(&identity->one, &one);
    run(&identity->other, &other);
    expect_near(identity, "the losses", runner_scores(one.runner).losses, runner_scores(other.runner).losses, T);
    expect_same_gradients(identity, &one, &other);
    session_close(&one);
    session_close(&other);
}

#define DELTA        "num_heads: 2, head_dim: 16, expand_v: 1, "
#define GATED        "model_type: gated_deltanet, " DELTA
#define DELTAPRODUCT "model_type: gated_deltaproduct, num_householder: 1, " DELTA
#define PLAIN        "model_type: delta_net, num_heads: 2"
#define WITHOUT_DECAY                                                                                                  \
    { "A_log", -200 } /* e^g is 1 */

static void models_are_others(void **state) {
    (void)state;
    static const ModelIdentity identities[] = {
        {"gated_deltaproduct of one update is gated_deltanet",
         {DELTAPRODUCT "use_forget_gate: true", {{0}}},
         {GATED, {{0}}},
         1e-5},
        {"gated_deltaproduct of one update without decay is delta_net",
         {DELTAPRODUCT, {{0}}},
         {PLAIN ", use_gate: true", {{0}}},
         0},
        {"gated_deltanet without decay is delta_net", {GATED, {WITHOUT_DECAY}}, {PLAIN ", use_gate: true", {{0}}}, 0},
        {"comba without decay and correction is gated_deltanet",
         {"model_type: comba, " DELTA, {WITHOUT_DECAY, {".D", 0}}},
         {GATED "output_gate_activation: sigmoid", {WITHOUT_DECAY}},
         1e-5},
        {"kda without decay and with open gates is delta_net",
         {"model_type: kda, " DELTA, {WITHOUT_DECAY, {"g_proj.1.bias", 200}}},
         {PLAIN, {{0}}},
         1e-5},
        {"gla with open gates is linear_attn",
         {"model_type: gla, num_heads: 2, use_output_gate: false", {{"gk_proj.1.bias", 2000}}},
         {"model_type: linear_attn, num_heads: 2, expand_k: 0.5, feature_map: identity", {{0}}},
         1e-5},
        {"mamba2 with skips of channels is that with skips of heads",
         {"model_type: mamba2, head_dim: 16, state_size: 16, D_has_hdim: true", {{".D", 0.5f}}},
         {"model_type: mamba2, head_dim: 16, state_size: 16", {{".D", 0.5f}}},
         1e-5},
        {"forgetting_transformer with open gates is transformer",
         {"model_type: forgetting_transformer, num_heads: 2", {{"f_proj.bias", 200}}},
         {"model_type: transformer, num_heads: 2, rope_theta: null", {{0}}},
         0},
        {"path_attn without beta is transformer",
         {"model_type: path_attn, num_heads: 2", {{"bt_proj.bias", -200}}},
         {"model_type: transformer, num_heads: 2, rope_theta: null", {{0}}},
         1e-5},
        {"deltaformer without beta is transformer",
         {"model_type: deltaformer, num_heads: 2, tie_word_embeddings: true", {{"b_proj.weight", 0}}},
         {"model_type: transformer, num_heads: 2, tie_word_embeddings: true", {{0}}},
         0},
        {"a model with attention in all layers is transformer",
         {"model_type: gla, num_heads: 2, attn: {layers: [0, 1], num_heads: 2}", {{0}}},
         {"model_type: transformer, num_heads: 2", {{0}}},
         0},
    };
    for (size_t i = 0; i < sizeof identities / sizeof *identities; i++) expect_identity(&identities[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(models_are_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
