/* Initial values of the vectors that decide how fast a state decays, and mixers' own defaults of shared keys. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "models/model.h"
#include "parallel/fsdp.h"

enum { HEADS = 2048 };

static Model *model_of(const char *yaml) {
    ConfigValue *source = NULL;
    Model *model = NULL;
    assert_int_equal(config_value_read_yaml("test", yaml, strlen(yaml), &source), OK);
    assert_int_equal(model_create(source, &model), OK);
    config_value_free(source);
    return model;
}

static const Parameter *parameter_of(const Unit *layer, const char *name) {
    for (int i = 0; i < layer->parameters; i++) {
        const Parameter *p = &layer->parameter[i];
        const size_t length = strlen(p->name), of_name = strlen(name);
        if (length > of_name && strcmp(p->name + length - of_name, name) == 0) return p;
    }
    fail_msg("there is no %s", name);
    return NULL;
}

/* The initial values of the layer's parameter with this name at its end. */
static const float *values_of(const Unit *layer, const char *name, bool *decays) {
    const Parameter *p = parameter_of(layer, name);
    assert_int_equal(p->elements, HEADS);
    *decays = p->decay;
    return layer->master + p->offset;
}

/* The numbers f(value) must lie in [low, high] and be uniform there: mean and spread to a few per cent. */
static void expect_uniform(const float *values, double (*f)(double), double low, double high) {
    double sum = 0, squares = 0;
    for (int i = 0; i < HEADS; i++) {
        const double x = f((double)values[i]), rounding = 1e-5 * (high - low);
        assert_true(x >= low - rounding && x <= high + rounding);
        sum += (x - low) / (high - low);
        squares += (x - low) / (high - low) * (x - low) / (high - low);
    }
    assert_true(fabs(sum / HEADS - 1.0 / 2) < 0.03 && fabs(squares / HEADS - 1.0 / 3) < 0.03);
}

static double log_time_step(double dt_bias) { return log(log1p(exp(dt_bias))); }

/* Calls `test` with layer 0 of the model, which has its initial values. */
static void with_initial_values(const char *yaml, void (*test)(const Unit *layer)) {
    Model *model = model_of(yaml);
    Comm *comm = comm_self_create();
    Mesh mesh;
    assert_int_equal(mesh_create(comm, device_cpu(), 1, &mesh), OK);
    Fsdp *fsdp = fsdp_create(&mesh, device_cpu(), model->unit, model->units, (FsdpOptions){.type = F32});
    fsdp_initialise(fsdp, 5);
    test(&model->unit[1]);
    fsdp_destroy(fsdp);
    mesh_destroy(&mesh);
    comm_destroy(comm);
    model_destroy(model);
}

/* A of A_log = ln A begins uniform from lowest_rate to 16, time steps log uniform from 0.001 to 0.1. */
static void expect_decays(const Unit *layer, double lowest_rate) {
    bool decays = true;
    expect_uniform(values_of(layer, "A_log", &decays), exp, lowest_rate, 16);
    assert_false(decays);
    expect_uniform(values_of(layer, "dt_bias", &decays), log_time_step, log(1e-3), log(1e-1));
    assert_false(decays);
}

static void test_gated_deltanet(const Unit *layer) { expect_decays(layer, 0); }
static void test_kda(const Unit *layer) { expect_decays(layer, 1); }

static double same(double x) { return x; }

static void test_mamba(const Unit *layer) {
    enum { STATES = 4, WIDTH = 4 };
    bool decays = true;
    const Parameter *A_log = parameter_of(layer, "A_log"), *conv = parameter_of(layer, "conv1d.weight");
    assert_int_equal(A_log->elements, HEADS * STATES);
    for (int i = 0; i < A_log->elements; i++)
        assert_true(layer->master[A_log->offset + i] == (float)log(i % STATES + 1));
    expect_uniform(values_of(layer, "dt_proj.bias", &decays), log_time_step, log(1e-2), log(1e-1));
    assert_false(decays);
    expect_uniform(values_of(layer, "dt_proj.weight", &decays), same, -3, 3); /* dt_scale / sqrt(dt_rank) */
    expect_uniform(values_of(layer, "conv1d.bias", &decays), same, -0.5, 0.5);
    for (int part = 0; part < WIDTH; part++)
        expect_uniform(layer->master + conv->offset + part * HEADS, same, -0.5, 0.5);
    const float *D = values_of(layer, ".D", &decays);
    for (int i = 0; i < HEADS; i++) assert_true(D[i] == 1);
}

/* As torch.nn.LSTM: everything uniform up to 1 / sqrt(512). */
static void test_lstm(const Unit *layer) {
    bool decays = true;
    const double bound = 1 / sqrt(HEADS / 4.0);
    expect_uniform(values_of(layer, "bias_ih", &decays), same, -bound, bound);
    expect_uniform(values_of(layer, "bias_hh", &decays), same, -bound, bound);
    expect_uniform(values_of(layer, "weight_ih", &decays), same, -bound, bound);
    assert_true(decays);
}

static void expect_constant(const Unit *layer, const char *name, float value) {
    const Parameter *p = parameter_of(layer, name);
    for (int i = 0; i < p->elements; i++) assert_true(layer->master[p->offset + i] == value);
}

/* softplus(lambda) + lambda_lower_bound is 1. */
static void test_mesa_net(const Unit *layer) {
    expect_constant(layer, "lambda_params", (float)log(exp(1 - 0.5) - 1));
    expect_constant(layer, "a_proj.bias", 0);
    expect_constant(layer, "b_proj.bias", 0);
}

/* Input gates are closed and forget gates open for every token. */
static void test_xlstm(const Unit *layer) {
    expect_constant(layer, "igate_preact.weight", 0);
    expect_constant(layer, "fgate_preact.weight", 0);
    expect_constant(layer, "ogate_preact.weight", 0);
    expect_constant(layer, "igate_preact.bias", -10);
    const float *forget = layer->master + parameter_of(layer, "fgate_preact.bias")->offset;
    for (int head = 0; head < 4; head++) assert_true(forget[head] == 3 + (float)head);
}

static void test_xlstm_fused(const Unit *layer) {
    expect_constant(layer, "ifgate_preact.weight", 0);
    const float *bias = layer->master + parameter_of(layer, "ifgate_preact.bias")->offset;
    for (int head = 0; head < 4; head++) assert_true(bias[head] == -10 && bias[4 + head] == 3 + (float)head);
}

/* Frequencies over all heads together. */
static void test_transnormer(const Unit *layer) {
    bool decays = true;
    const float *theta = values_of(layer, "lrpe.theta", &decays);
    for (int i = 0; i < HEADS; i++) assert_true(theta[i] == (float)pow(10000, -2.0 * i / HEADS));
}

/* Forget biases from 3 to 6, input biases small and of both signs. Norms start as 1, their weights are stored less 1.
 */
static void test_mlstm_block(const Unit *layer) {
    bool decays = true;
    const float *forget = values_of(layer, "fgate.bias", &decays), *input = values_of(layer, "igate.bias", &decays);
    const float *norm = values_of(layer, "outnorm.weight", &decays),
                *skip = values_of(layer, "learnable_skip", &decays);
    double squares = 0;
    for (int i = 0; i < HEADS; i++) {
        assert_true(fabs((double)forget[i] - (3 + 3.0 * i / (HEADS - 1))) < 1e-6);
        assert_true(norm[i] == 0 && skip[i] == 1);
        squares += (double)input[i] * (double)input[i];
    }
    assert_true(fabs(sqrt(squares / HEADS) - 0.1) < 0.01);
    assert_true(layer->master[parameter_of(layer, "xlstm_norm.weight")->offset] == 0);
}

static void decays_start_as_the_reference_says(void **state) {
    (void)state;
    with_initial_values("{model_type: gated_deltanet, num_heads: 2048, head_dim: 1, expand_v: 1, hidden_size: 16, "
                        "num_hidden_layers: 1, intermediate_size: 16, vocab_size: 32}",
                        test_gated_deltanet);
    with_initial_values("{model_type: kda, num_heads: 2048, head_dim: 1, expand_v: 1, hidden_size: 16, "
                        "num_hidden_layers: 1, intermediate_size: 16, vocab_size: 32}",
                        test_kda);
    with_initial_values(
        "{model_type: mamba, hidden_size: 32, expand: 64, state_size: 4, dt_rank: 1, dt_scale: 3, dt_min: "
        "0.01, num_hidden_layers: 1, vocab_size: 32}",
        test_mamba);
    with_initial_values(
        "{model_type: transnormer, decoder_embed_dim: 2048, hidden_dim: 2048, decoder_attention_heads: 32, "
        "decoder_layers: 2, glu_dim: 16, vocab_size: 32, pad_token_id: null}",
        test_transnormer);
    with_initial_values("{model_type: mlstm_block, hidden_size: 32, proj_factor: 64, num_heads: 2048, "
                        "num_hidden_layers: 1, vocab_size: 32}",
                        test_mlstm_block);
    with_initial_values(
        "{model_type: lstm, hidden_size: 1, rnn_hidden_size: 512, num_hidden_layers: 1, intermediate_size: "
        "1, vocab_size: 32}",
        test_lstm);
    with_initial_values("{model_type: mesa_net, num_heads: 2, head_dim: 8, lambda_lower_bound: 0.5, hidden_size: 16, "
                        "num_hidden_layers: 1, intermediate_size: 16, vocab_size: 32}",
                        test_mesa_net);
    with_initial_values("{model_type: xlstm, num_heads: 4, hidden_size: 16, num_hidden_layers: 1, vocab_size: 32}",
                        test_xlstm);
    with_initial_values("{model_type: xlstm, num_heads: 4, hidden_size: 16, num_hidden_layers: 1, vocab_size: 32, "
                        "weight_mode: fused}",
                        test_xlstm_fused);
}

static void mixers_have_defaults_of_their_own(void **state) {
    (void)state;
    Model *usual = model_of("{model_type: delta_net}"), *own = model_of("{model_type: gated_deltanet}"),
          *given = model_of("{model_type: gated_deltanet, num_hidden_layers: 3}");
    assert_int_equal(usual->layers, 24);
    assert_int_equal(own->layers, 21);
    assert_int_equal(given->layers, 3);
    model_destroy(usual);
    model_destroy(own);
    model_destroy(given);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(decays_start_as_the_reference_says),
                                       cmocka_unit_test(mixers_have_defaults_of_their_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
