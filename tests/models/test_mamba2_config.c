/* The spellings of Mamba-2's dt_limit in files that transformers wrote, and configurations that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/model.h"

/* A small config.json with the given further keys. */
static Status create(const char *keys, Model **model) {
    char text[512];
    const int length =
        snprintf(text, sizeof text,
                 "{\"model_type\": \"mamba2\", \"hidden_size\": 32, \"head_dim\": 16, \"vocab_size\": 72, "
                 "\"num_hidden_layers\": 2%s}",
                 keys);
    ConfigValue *source = NULL;
    assert_int_equal(config_value_read_json("config.json", text, (size_t)length, &source), OK);
    const Status status = model_create(source, model);
    config_value_free(source);
    return status;
}

static void spellings_of_infinity(void **state) {
    (void)state;
    static const char *const spellings[] = {"", ", \"dt_limit\": [0.0, Infinity]",
                                            ", \"dt_limit\": [0.0, {\"__float__\": \"Infinity\"}]"};
    for (int i = 0; i < LENGTH(spellings); i++) {
        Model *model = NULL;
        assert_int_equal(create(spellings[i], &model), OK);
        char *json = model_config_json(model);
        assert_null(strstr(json, "dt_limit")); /* left out, so that every release reads the file */
        assert_non_null(strstr(json, "\"num_heads\": 4"));
        free(json);
        model_destroy(model);
    }
}

static void defaults(void **state) {
    (void)state;
    Model *model = NULL;
    assert_int_equal(create("", &model), OK);
    assert_true(model->config.norm_eps == 1e-5);
    assert_int_equal(model->config.pad_token_id, 0);
    assert_string_equal(model->unit[0].parameter[0].name, "backbone.embeddings.weight");
    assert_string_equal(model->unit[2].parameter[0].name, "backbone.layers.1.norm.weight");
    assert_null(model->config.layout->mlp);
    model_destroy(model);
}

static void refusals(void **state) {
    (void)state;
    static const char *const refused[] = {
        ", \"dt_limit\": [0.0, 1.0]",   ", \"dt_limit\": [0.0]",
        ", \"A_init_range\": [16, 1]",  ", \"conv_init\": 0.1",
        ", \"dt_init_floor\": 0.01",    ", \"tie_word_embeddings\": true",
        ", \"hidden_act\": \"sqrelu\"", ", \"n_groups\": 3",
        ", \"num_heads\": 5",           ", \"attn\": {\"layers\": [0], \"num_heads\": 2}",
        ", \"conv_kernel\": 65",        ", \"hidden_act\": \"gelu\"",
    };
    for (int i = 0; i < LENGTH(refused); i++) {
        Model *model = NULL;
        if (create(refused[i], &model) != BAD_INPUT) fail_msg("accepted: %s", refused[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(spellings_of_infinity), cmocka_unit_test(defaults),
                                       cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
