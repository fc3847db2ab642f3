/* How the keys of a config.json are read, and how they are written again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "kernels/vocabulary/embedding/embedding.h"
#include "models/model.h"
#include "support/capture.h"

#define WITHOUT_HEADS(model) "\"model_type\": \"" model "\", \"hidden_size\": 32, \"num_hidden_layers\": 2"
#define SMALL(model_type)                                                                                              \
    "\"model_type\": \"" model_type "\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"vocab_size\": 72, "          \
    "\"intermediate_size\": 48, \"num_heads\": 2"

/* A config.json {keys, more}; `message` holds what was logged. */
static Status read_keys(const char *keys, const char *more, ModelConfig *config, char message[4096]) {
    char text[2048];
    const int length = snprintf(text, sizeof text, "{%s%s%s}", keys, *more ? ", " : "", more);
    ConfigValue *source = NULL;
    assert_int_equal(config_value_read_json("config.json", text, (size_t)length, &source), OK);
    Capture capture = capture_begin(2);
    const Status status = model_config_read(source, config);
    capture_end(&capture, message, 4096);
    config_value_free(source);
    return status;
}

/* The value of `key` in the written config.json, without line breaks; "absent" if it is not there. */
static void expect_written(const ModelConfig *config, const char *key, const char *expected) {
    ConfigValue *all = model_config_value(config);
    const ConfigValue *value = config_value_get(all, key);
    ConfigValue *wanted = NULL;
    if (strcmp(expected, "absent") == 0) {
        assert_null(value);
    } else {
        assert_int_equal(config_value_read_yaml("expected", expected, strlen(expected), &wanted), OK);
        if (!value || value->type != wanted->type || !config_value_same(value, wanted))
            fail_msg("%s is not written as %s", key, expected);
    }
    config_value_free(wanted);
    config_value_free(all);
}

typedef struct Case {
    const char *keys, *more;
    const char *key, *written; /* NULL: refused, with `key` in the message */
} Case;

/* Keys that take effect are written in one form, whatever form the file had. */
static void one_form(void **state) {
    (void)state;
    static const Case cases[] = {
        {SMALL("gla"), "\"attn\": {\"layers\": 1, \"num_heads\": 2}", "attn",
         "{layers: [1], num_heads: 2, num_kv_heads: 2, qkv_bias: false, window_size: null, rope_theta: 10000.0}"},
        {SMALL("gla"), "\"attn\": null", "attn", "null"},
        {SMALL("gla"), "", "attn", "null"},
        {SMALL("gla"), "\"attn\": {\"layers\": [0], \"num_heads\": 4, \"rope_parameters\": {\"rope_theta\": 7}}",
         "attn", "{layers: [0], num_heads: 4, num_kv_heads: 4, qkv_bias: false, window_size: null, rope_theta: 7.0}"},
        {SMALL("gla"), "\"expand_k\": 1", "expand_k", "1.0"},
        {SMALL("gla"), "\"eos_token_id\": 3", "eos_token_id", "3"},
        {SMALL("gla"), "\"eos_token_id\": [3]", "eos_token_id", "3"},
        {SMALL("gla"), "\"eos_token_id\": [3, 5]", "eos_token_id", "[3, 5]"},
        {SMALL("gla"), "\"eos_token_id\": []", "eos_token_id", "null"},
        {SMALL("gla"), "\"eos_token_id\": null", "eos_token_id", "null"},
        {SMALL("gla"), "\"bos_token_id\": null", "bos_token_id", "null"},
        {SMALL("gla"), "", "eos_token_id", "2"},
        {SMALL("gla"), "\"conv_size\": 9", "conv_size", "9"},
        {SMALL("gsa"), "\"elementwise_affine\": false, \"num_slots\": null", "elementwise_affine", "false"},
        {SMALL("abc"), "\"clamp_min\": null", "clamp_min", "null"},
        {SMALL("lightnet"), "\"attn\": {\"layers\": 1, \"num_heads\": 2}", "attn",
         "{layers: [1], num_heads: 2, num_kv_heads: 2, qkv_bias: false, window_size: null, rope_theta: 10000.0}"},
        {SMALL("transformer"), "\"rope_theta\": 500000", "rope_theta", "500000.0"},
        {SMALL("transformer"), "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500000.0}",
         "rope_theta", "500000.0"},
        {SMALL("transformer"), "\"rope_parameters\": {\"rope_theta\": 5}", "rope_parameters", "absent"},
        {SMALL("transformer"), "\"rope_parameters\": {\"rope_theta\": 5.0}, \"rope_theta\": 5", "rope_theta", "5.0"},
        {SMALL("transformer"), "\"rope_parameters\": {\"rope_type\": \"default\"}, \"rope_theta\": 5", "rope_theta",
         "5.0"},
        {SMALL("transformer"), "\"rope_scaling\": {\"type\": \"default\", \"rope_theta\": 5}", "rope_theta", "5.0"},
        {SMALL("transformer"), "\"rope_scaling\": null, \"rope_parameters\": null", "rope_theta", "10000.0"},
        {SMALL("transformer"), "\"attention_bias\": false, \"partial_rotary_factor\": 1.0", "attention_bias", "false"},
        {SMALL("gated_deltanet"), "\"output_gate_activation\": \"sigmoid\"", "output_gate_activation", "sigmoid"},
        {WITHOUT_HEADS("mamba"), "", "time_step_rank", "2"},
        {WITHOUT_HEADS("mamba"), "\"dt_rank\": \"auto\"", "dt_rank", "2"},
        {WITHOUT_HEADS("mamba"), "\"time_step_rank\": 5", "dt_rank", "5"},
        {WITHOUT_HEADS("mamba"), "\"dt_rank\": 5", "time_step_rank", "5"},
        {WITHOUT_HEADS("mamba"), "\"layer_norm_epsilon\": 1e-3, \"norm_eps\": 0.001", "norm_eps", "0.001"},
        {WITHOUT_HEADS("mamba"), "", "layer_norm_epsilon", "1e-05"},
        {WITHOUT_HEADS("mamba"), "\"time_step_max\": 0.5", "dt_max", "0.5"},
        {WITHOUT_HEADS("mamba"), "\"expand\": 3", "intermediate_size", "96"},
        {WITHOUT_HEADS("mamba"), "\"intermediate_size\": 64", "intermediate_size", "64"},
        {WITHOUT_HEADS("samba"), "\"attn\": null, \"intermediate_size\": null", "intermediate_size", "64"},
        {WITHOUT_HEADS("transformer_vq"), "", "n_layer", "1"},
        {"\"model_type\": \"transformer_vq\", \"d_model\": 32", "\"n_layer\": 3", "num_hidden_layers", "6"},
        {WITHOUT_HEADS("samba"), "\"attn\": null", "attn", "null"},
        {"\"model_type\": \"samba\", \"hidden_size\": 36, \"num_hidden_layers\": 4", "", "attn",
         "{layers: [1, 3], num_heads: 18, num_kv_heads: 18, qkv_bias: false, window_size: 2048, rope_theta: 10000.0}"},
        {"\"model_type\": \"samba\", \"num_hidden_layers\": 1", "", "attn", "null"},
        {SMALL("gla"), "\"id2label\": {\"0\": \"a\"}, \"_name_or_path\": \"\"", "id2label", "{\"0\": a}"},
        {SMALL("gsa"), "\"share_conv_kernel\": true, \"use_rope\": false", "share_conv_kernel", "true"},
        {SMALL("retnet"), "\"use_short_conv\": true, \"share_conv_kernel\": true", "share_conv_kernel", "true"},
        {SMALL("gla"), "\"top_k\": 50, \"torchscript\": false, \"quantization_config\": null", "top_k", "50"},
    };
    char message[4096];
    for (int i = 0; i < LENGTH(cases); i++) {
        ModelConfig config;
        if (read_keys(cases[i].keys, cases[i].more, &config, message) != OK)
            fail_msg("%s is refused: %s", cases[i].more, message);
        assert_string_equal(message, "");
        expect_written(&config, cases[i].key, cases[i].written);
        model_config_free(&config);
    }
}

/* A value that would make another model is refused with the name of the key, and so is an unknown key. */
static void refusals(void **state) {
    (void)state;
    static const Case cases[] = {
        {SMALL("transformer"), "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2}",
         "model.rope_scaling.rope_type is linear; only default is supported", NULL},
        {SMALL("transformer"), "\"rope_scaling\": {\"factor\": 2}", "model.rope_scaling.factor", NULL},
        {SMALL("transformer"), "\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 5}",
         "model.rope_parameters.rope_type is yarn", NULL},
        {SMALL("transformer"), "\"rope_parameters\": {\"rope_theta\": 5}, \"rope_theta\": 6",
         "model.rope_parameters.rope_theta is 5, but model.rope_theta is 6", NULL},
        {SMALL("transformer"), "\"rope_parameters\": {\"rope_theta\": 0}", "model.rope_parameters.rope_theta", NULL},
        {SMALL("transformer"), "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 5}}", "full_attention",
         NULL},
        {SMALL("transformer"), "\"rope_parameters\": {\"partial_rotary_factor\": 0.5}", "partial_rotary_factor is 0.5",
         NULL},
        {SMALL("gla"), "\"rope_parameters\": {\"rope_theta\": 5}", "model.rope_parameters is not supported", NULL},
        {SMALL("gla"), "\"attn\": {\"layers\": [1], \"num_heads\": 2, \"rope_scaling\": {\"type\": \"linear\"}}",
         "model.attn.rope_scaling.type is linear", NULL},
        {SMALL("gla"), "\"attn\": {\"layers\": [1], \"num_heads\": 2, \"head_dim\": 8}",
         "unknown key model.attn.head_dim", NULL},
        {SMALL("gla"), "\"attn\": [{\"layers\": [1], \"num_heads\": 2}]", "model.attn must be a mapping {", NULL},
        {SMALL("transformer"), "\"partial_rotary_factor\": 0.5", "model.partial_rotary_factor is 0.5", NULL},
        {SMALL("transformer"), "\"attention_bias\": true", "model.attention_bias is true", NULL},
        {SMALL("transformer"), "\"head_dim\": 64", "unknown key model.head_dim", NULL},
        {SMALL("gla"), "\"quantization_config\": {\"bits\": 4}", "model.quantization_config is a mapping", NULL},
        {SMALL("gla"), "\"attnres_block_size\": 2", "model.attnres_block_size is 2", NULL},
        {SMALL("gla"), "\"num_head\": 4", "did you mean model.num_heads?", NULL},
        {WITHOUT_HEADS("mamba"), "\"num_heads\": 4",
         "unknown key model.num_heads: other mixers have it, mamba does not; see flame-c train --help=mamba", NULL},
        {WITHOUT_HEADS("mamba"), "\"num_beam\": 4", "unknown key model.num_beam; known: ", NULL},
        {SMALL("gla"), "\"norm_epsilon\": 1e-5", "did you mean model.norm_eps?", NULL},
        {SMALL("gla"), "\"colour\": 1", "config.json:1: unknown key model.colour", NULL},
        {SMALL("gla"), "\"conv_size\": 65", "model.conv_size is 65, which is out of range: 1 to 64", NULL},
        {SMALL("gla"), "\"eos_token_id\": [2, -1]", "model.eos_token_id", NULL},
        {SMALL("gla"), "\"elementwise_affine\": false", "model.elementwise_affine: false is not supported", NULL},
        {SMALL("gsa"), "\"expand_v\": 2", "model.expand_v is 2, which is out of range", NULL},
        {SMALL("gsa"), "\"feature_map\": null", "model.feature_map", NULL},
        {SMALL("gsa"), "\"exapnd_k\": 0.5", "did you mean model.expand_k?", NULL},
        {SMALL("gsa"), "\"use_rope\": true", "model.use_rope is true; only false is supported", NULL},
        {SMALL("abc"), "\"clamp_min\": 40", "clamp_min 40 is above clamp_max 32", NULL},
        {SMALL("abc"), "\"expand_k\": 0.3125", "must be even and at most 512 with use_rope", NULL},
        {SMALL("based"), "\"num_key_value_heads\": 1", "model.num_key_value_heads: only num_heads is supported", NULL},
        {WITHOUT_HEADS("rebased"), "\"num_heads\": 3", "model.num_heads: does not divide hidden_size", NULL},
        {SMALL("rebased"), "\"use_beta\": false", "model.use_beta: false is not supported", NULL},
        {SMALL("xlstm"), "\"use_bias\": true", "model.use_bias: true is not supported", NULL},
        {WITHOUT_HEADS("xlstm"), "\"num_heads\": 5", "model.num_heads: does not divide", NULL},
        {SMALL("xlstm"), "\"embedding_dim\": 64", "are names of the same key, but their values differ", NULL},
        {SMALL("mlstm_block"), "\"qkv_proj_blocksize\": 3", "model.qkv_proj_blocksize: is not 1, 2, 4, 8 or 16", NULL},
        {SMALL("mlstm_block"), "\"bias\": true", "model.bias", NULL},
        {WITHOUT_HEADS("mlstm_block"), "\"num_heads\": 5", "model.num_heads: does not divide", NULL},
        {WITHOUT_HEADS("lightnet"), "\"expand_ratio\": null", "expand_ratio and num_heads are both null", NULL},
        {WITHOUT_HEADS("lightnet"), "\"num_heads\": 5", "must be a multiple of num_heads 5", NULL},
        {WITHOUT_HEADS("lightnet"), "", "model: hidden_size 32 is smaller than expand_ratio 128", NULL},
        {WITHOUT_HEADS("lightnet"), "\"expand_ratio\": 6",
         "hidden_size 32 must be a multiple of num_heads 5, which is hidden_size / expand_ratio", NULL},
        {"\"model_type\": \"transnormer\"", "\"num_hidden_layers\": 1",
         "model.num_hidden_layers (decoder_layers) is 1; it must be 2 to 256", NULL},
        {"\"model_type\": \"transformer_vq\"", "\"num_hidden_layers\": 3",
         "model.num_hidden_layers is 3; it must be even", NULL},
        {SMALL("lightnet"), "\"attn\": {\"layers\": [1], \"num_heads\": 2, \"rope_theta\": 5}",
         "model.attn.rope_theta is 5, but fla ignores the key in the hybrid layers of lightnet", NULL},
        {SMALL("gated_deltanet"), "\"output_gate_activation\": \"relu\"", "model.output_gate_activation is relu", NULL},
        {WITHOUT_HEADS("mamba"), "\"dt_rank\": 4, \"time_step_rank\": 5",
         "model.time_step_rank and model.dt_rank are names of the same key, but their values differ", NULL},
        {WITHOUT_HEADS("mamba"), "\"dt_rank\": \"none\"", "model.dt_rank must be an integer or auto, not none", NULL},
        {WITHOUT_HEADS("mamba"), "\"intermediate_size\": 63", "model.intermediate_size is 63, but in mamba other keys",
         NULL},
        {WITHOUT_HEADS("transformer_vq"), "\"n_layer\": 2",
         "model.num_hidden_layers is 2, but in transformer_vq other keys decide it, and give 4", NULL},
        {WITHOUT_HEADS("transformer_vq"), "\"agg_cache\": 0", "model.agg_cache", NULL},
        {WITHOUT_HEADS("transformer_vq"), "\"e_tie\": 1", "model.e_tie: must be 1 if", NULL},
        {WITHOUT_HEADS("transformer_vq"), "\"pe_abs\": 1", "model.pe_abs: 1 is not supported", NULL},
        {WITHOUT_HEADS("mamba"), "\"time_step_floor\": 0.01", "model.dt_init_floor: must not be", NULL},
        {WITHOUT_HEADS("mamba"), "\"dt_max\": 0.0001", "model.dt_min: is larger than", NULL},
        {WITHOUT_HEADS("mamba"), "\"attn\": {\"layers\": [0], \"num_heads\": 2}", "mamba has no hybrid layers", NULL},
        {WITHOUT_HEADS("mamba"), "\"state_size\": 65", "model.state_size is 65, which is out of range: 1 to 64", NULL},
        {WITHOUT_HEADS("samba"), "\"attn\": null, \"time_step_floor\": 0.01", "model.time_step_floor: must not be",
         NULL},
        {WITHOUT_HEADS("samba"), "\"attn\": null, \"use_conv_bias\": false", "model.use_conv_bias is false", NULL},
        {WITHOUT_HEADS("samba"), "\"attn\": null, \"rescale_prenorm_residual\": true", "model.rescale_prenorm_residual",
         NULL},
        {WITHOUT_HEADS("samba"), "", "hidden_size 32 / num_heads 18", NULL},
        {WITHOUT_HEADS("gla"), "\"hidden_ratio\": 0.001", "model.hidden_ratio is 0.001, too small for hidden_size 32",
         NULL},
        {WITHOUT_HEADS("rwkv6"), "\"hidden_ratio\": 0.001", "model.hidden_ratio is 0.001, too small", NULL},
        {WITHOUT_HEADS("samba"), "\"attn\": null, \"hidden_ratio\": 0.001", "model.hidden_ratio is 0.001, too small",
         NULL},
        {WITHOUT_HEADS("xlstm"), "\"ffn_proj_factor\": 1e-6", "model.ffn_proj_factor: is too small for hidden_size",
         NULL},
        {WITHOUT_HEADS("rwkv7"), "\"head_dim\": null, \"num_heads\": 64", "model.num_heads: is more than hidden_size",
         NULL},
        {WITHOUT_HEADS("rwkv7"), "\"head_dim\": 1", "model.head_dim is 1, which is out of range: 2 to 256", NULL},
        {WITHOUT_HEADS("rwkv7"), "\"head_dim\": null, \"num_heads\": 32",
         "model.head_dim follows from other keys and is 1, which is out of range: 2 to 256", NULL},
        {"\"model_type\": \"abc\", \"hidden_size\": 2048", "\"num_heads\": 1",
         "must be even and at most 512 with use_rope", NULL},
        {"\"model_type\": \"rwkv6\", \"hidden_size\": 16384", "\"num_heads\": 1",
         "must be at most 8192 for each of num_heads 1", NULL},
        {"\"model_type\": \"hgrn2\", \"hidden_size\": 1048576", "",
         "model.num_heads follows from other keys and is 8192, which is out of range: 1 to 4096", NULL},
        {"\"model_type\": \"mamba2\"", "\"rms_norm\": false", "model.rms_norm is false; only true is supported", NULL},
        {"\"model_type\": \"mamba2\"", "\"time_step_min\": 0.01", "the key is called dt_min now", NULL},
    };
    char message[4096];
    for (int i = 0; i < LENGTH(cases); i++) {
        ModelConfig config;
        if (read_keys(cases[i].keys, cases[i].more, &config, message) != BAD_INPUT)
            fail_msg("accepted: %s", cases[i].more);
        if (!strstr(message, cases[i].key)) fail_msg("%s: %s", cases[i].more, message);
        model_config_free(&config);
    }
}

/* For every mixer with its defaults, the written config.json is read back as the same configuration. */
static void written_is_read(void **state) {
    (void)state;
    const Mixer *mixer;
    for (int i = 0; (mixer = mixer_at(i)); i++) {
        char keys[100], message[4096];
        snprintf(keys, sizeof keys, "\"model_type\": \"%s\"", mixer->model_type);
        ModelConfig first, second;
        assert_int_equal(read_keys(keys, "\"torch_dtype\": \"float32\"", &first, message), OK);
        ConfigValue *written = model_config_value(&first), *again = NULL;
        char *text = config_value_json(written);
        assert_non_null(strstr(text, "\"initializer_range\": 0.02,"));
        assert_non_null(strstr(text, first.norm_eps < 5e-6 ? "\"norm_eps\": 1e-6," : "\"norm_eps\": 1e-5,"));
        assert_int_equal(config_value_read_json("config.json", text, strlen(text), &again), OK);
        assert_int_equal(model_config_read(again, &second), OK);
        ConfigValue *rewritten = model_config_value(&second);
        assert_true(config_value_same(written, rewritten));
        assert_true(config_value_same(written, again));
        config_value_free(written);
        config_value_free(again);
        config_value_free(rewritten);
        free(text);
        model_config_free(&first);
        model_config_free(&second);
    }
}

/* Sum of the squares of the gradient that the row of pad_token_id, 3, gets. */
static double padding_gradient(const char *model_keys) {
    enum { ROWS = 8, COLS = 32, PADDING = 3 };
    static float table[72 * COLS], gradient[72 * COLS], dy[ROWS * COLS];
    static const int32_t tokens[ROWS] = {1, PADDING, 2, 5}, zeros[ROWS];
    static int32_t by_token[ROWS];
    char text[300];
    const int length = snprintf(text, sizeof text, "{%s, num_hidden_layers: 1, hidden_size: %d, pad_token_id: %d}",
                                model_keys, COLS, PADDING);
    ConfigValue *source = NULL;
    Model *model = NULL;
    assert_int_equal(config_value_read_yaml("test", text, (size_t)length, &source), OK);
    assert_int_equal(model_create(source, &model), OK);
    config_value_free(source);
    memset(gradient, 0, sizeof gradient);
    for (int i = 0; i < ROWS * COLS; i++) dy[i] = 1;
    embedding_sort(tokens, ROWS, 72, by_token);
    const Batch batch = {.B = 1,
                         .T = ROWS,
                         .tokens = tokens,
                         .labels = zeros,
                         .segment = zeros,
                         .position = zeros,
                         .by_token = by_token};
    static Tape tape;
    Arena keep = arena_create("keep", device_cpu(), 1 << 16), scratch = arena_create("scratch", device_cpu(), 1 << 16);
    model->embeddings->data = table;
    model->embeddings->gradient = gradient;
    tape_begin(&tape, device_cpu(), &keep, &scratch, F32, &batch, true, RECOMPUTE_NONE);
    tape_seed_gradient(model_embed(model, &tape, NULL), dy);
    tape_backward(&tape);
    double sum = 0;
    for (int i = 0; i < COLS; i++) sum += (double)gradient[PADDING * COLS + i] * (double)gradient[PADDING * COLS + i];
    arena_destroy(&keep);
    arena_destroy(&scratch);
    model_destroy(model);
    return sum;
}

/* fla builds Mamba's embedding table without a padding index. */
static void padding_rows(void **state) {
    (void)state;
    assert_true(padding_gradient("model_type: mamba2, head_dim: 16") == 32);
    assert_true(padding_gradient("model_type: mamba") == 32);
    assert_true(padding_gradient("model_type: samba, attn: {layers: [0], num_heads: 2}") == 32);
    assert_true(padding_gradient("model_type: gla, num_heads: 2") == 0);
    assert_true(padding_gradient("model_type: transformer, num_heads: 2") == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_form), cmocka_unit_test(refusals),
                                       cmocka_unit_test(written_is_read), cmocka_unit_test(padding_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
