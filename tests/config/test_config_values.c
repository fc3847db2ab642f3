/* Values and keys: writing and reading back, JSON, tables of keys that share a mapping, the locale, help. */
#include "config/config_cases.h"

#include <locale.h>
#include <math.h>

static void expect_equal(const ConfigValue *a, const ConfigValue *b) {
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->count, b->count);
    if (a->type == VALUE_STRING) assert_string_equal(a->text, b->text);
    if (a->type == VALUE_INTEGER) assert_true(a->integer == b->integer);
    if (a->type == VALUE_REAL) assert_true(a->real == b->real || (isnan(a->real) && isnan(b->real)));
    if (a->type == VALUE_BOOL) assert_int_equal(a->boolean, b->boolean);
    for (int i = 0; i < a->count; i++) {
        if (a->type == VALUE_MAPPING) assert_string_equal(a->item[i]->key, b->item[i]->key);
        expect_equal(a->item[i], b->item[i]);
    }
}

/* What config_write writes loads back to the same configuration. */
static void test_round_trip(void **state) {
    (void)state;
    static const char yaml[] =
        "device: cpu\njob: {dump_folder: \"a b: #\\n\\t\\\"\\\\ \\u00e9 \\u2028 \\ufeff \\U0001f600 \\x07\", "
        "description: \"\", time_limit: 0.1}\n"
        "optimizer: {lr: 0.30000000000000004, eps: 1e-15, weight_decay: 1}\nlr_scheduler: {decay_ratio: 0.2}\n"
        "training: {global_batch_size: 12, seed: 9007199254740991}\n"
        "data: {files: [\"1\", \"true\", \"-\", \"a,b\", \"[x]\", ~x, a.h5, \"null\"], probabilities: "
        "[1,2,3,4,5,6,7,1e-300]}\n"
        "model:\n  s: \"010\"\n  t: 010\n  n: null\n  x: 1.0\n  y: 1e300\n  z: -.inf\n  q: .nan\n  \"key: odd\": {}\n"
        "  list: [1, [], {a: {b: [c]}}, \"\"]\n  deep: {a: {b: {c: \"d e\"}}}\n  dots: ...x\n";
    const char *path = write_case("case.yaml", yaml, strlen(yaml));
    char message[4096], *first = NULL, *second = NULL;
    size_t first_bytes = 0, second_bytes = 0;
    TrainConfig a, b;
    assert_int_equal(load(path, "", 1, &a, message), OK);
    FILE *file = open_memstream(&first, &first_bytes);
    config_write(file, &a);
    fclose(file);
    path = write_case("again.yaml", first, first_bytes);
    assert_int_equal(load(path, "", 1, &b, message), OK);
    file = open_memstream(&second, &second_bytes);
    config_write(file, &b);
    fclose(file);
    assert_string_equal(first, second);
    assert_string_equal(a.job.dump_folder, b.job.dump_folder);
    assert_string_equal(a.job.description, "");
    assert_true(a.optimizer.lr == b.optimizer.lr);
    assert_int_equal(b.data.files.count, 8);
    for (int i = 0; i < 8; i++) assert_string_equal(a.data.files.item[i], b.data.files.item[i]);
    for (int i = 0; i < 8; i++) assert_true(a.data.probabilities.item[i] == b.data.probabilities.item[i]);
    expect_equal(a.model, b.model);
    config_free(&a);
    config_free(&b);
    free(first);
    free(second);
}

static const Case jsons[] = {
    {"{\"a\": 1}", OK, NULL, 0},
    {"\xef\xbb\xbf{\"a\": NaN}", OK, NULL, 0},
    {"{\"a\": \"Infinity and \\\" NaN\"}", OK, NULL, 0},
    {"{\"a\": 1,}", BAD_INPUT, "case.json:1: is not JSON", 0},
    {"{\"a\": 1 // no\n}", BAD_INPUT, "is not JSON", 0},
    {"{\"a\": 1}\n{}", BAD_INPUT, "case.json:2: is not JSON", 0},
    {"{\"a\": 1,\n\"a\": 2}", BAD_INPUT, "case.json:2: is not JSON: duplicate object key", 0},
    {"{\"a\": 1e400}", BAD_INPUT, "real number overflow", 0},
    {"{\"a\": 9223372036854775808}", BAD_INPUT, "too big integer", 0},
    {"{\"a\": \"\\u0000\"}", BAD_INPUT, "is not JSON", 0},
    {"{\"a\": \"\xff\"}", BAD_INPUT, "is not JSON", 0},
    {"{\"a\": Infinit}", BAD_INPUT, "is not JSON", 0},
    {"[1]", BAD_INPUT, "a model's configuration must be a mapping", 0},
    {"", BAD_INPUT, "is not JSON", 0},
    {"{\"a\":\n [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", BAD_INPUT,
     "case.json:2: is nested deeper than 32", 0},
};

static void test_json(void **state) {
    (void)state;
    for (int i = 0; i < LENGTH(jsons); i++) {
        char argument[600];
        snprintf(argument, sizeof argument, "--data.files=a --model.config=%s",
                 write_case("case.json", jsons[i].yaml, strlen(jsons[i].yaml)));
        expect(jsons[i].yaml, NULL, argument, &jsons[i]);
    }
}

/* A Hugging Face file may have keys that the model does not use: they are listed, not refused. The same key in the YAML
 * configuration is refused. */
static void test_tables_together(void **state) {
    (void)state;
    typedef struct Common {
        int64_t hidden_size, heads;
    } Common;
    typedef struct Mixer {
        double expand;
        int64_t heads;
        IntegerList layers;
        const ConfigValue *attn;
        double limit;
    } Mixer;
    static const Key common_keys[] = {
        {"hidden_size", KEY_INTEGER, "2048", 1, 1e6, NULL, "", offsetof(Common, hidden_size)},
        {"heads", KEY_INTEGER | KEY_NULLABLE, "null", 1, 99, NULL, "", offsetof(Common, heads)},
        {"use_cache", KEY_IGNORED, NULL, 0, 0, NULL, "", 0},
        {"dropout", KEY_FIXED, "0", 0, 0, NULL, "there is none", 0},
    };
    static const Key mixer_keys[] = {
        {"expand", KEY_REAL | KEY_NULLABLE, "null", 0.1, 8, NULL, "", offsetof(Mixer, expand)},
        {"heads", KEY_INTEGER, "4", 1, 99, NULL, "", offsetof(Mixer, heads)},
        {"layers", KEY_INTEGER_LIST, "[1, 2]", 0, 9, NULL, "", offsetof(Mixer, layers)},
        {"attn", KEY_VALUE, NULL, 0, 0, NULL, "", offsetof(Mixer, attn)},
        {"limit", KEY_REAL, "1", 0, INFINITY, NULL, "", offsetof(Mixer, limit)},
    };
    static const char json[] =
        "{\"hidden_size\": 64, \"heads\": 2, \"use_cache\": true, \"dropout\": 0.0, \"attn\": [{}],\n"
        "\"limit\": Infinity}";
    Common common;
    Mixer mixer;
    const KeyTable tables[] = {{common_keys, LENGTH(common_keys), &common, "model"},
                               {mixer_keys, LENGTH(mixer_keys), &mixer, "model"}};
    ConfigValue *tree = NULL;
    char message[4096];
    keys_defaults(tables, 2);
    assert_int_equal(common.heads, -1);
    assert_true(isnan(mixer.expand));
    assert_int_equal(mixer.layers.count, 2);
    assert_int_equal(config_value_read_json("m.json", json, strlen(json), &tree), OK);
    Capture capture = capture_begin(2);
    assert_int_equal(keys_apply(tables, 2, tree, "model", NULL), OK);
    capture_end(&capture, message, sizeof message);
    assert_string_equal(message, "");
    assert_int_equal(common.hidden_size, 64);
    assert_int_equal(common.heads, 2);
    assert_int_equal(mixer.heads, 2);
    assert_int_equal(mixer.attn->type, VALUE_LIST);
    assert_true(isinf(mixer.limit));
    config_value_set(tree, "expandd", config_value_plain("1", "c.yaml", 7));
    capture = capture_begin(2);
    assert_int_equal(keys_apply(tables, 2, tree, "model", config_hints()), BAD_INPUT);
    capture_end(&capture, message, sizeof message);
    assert_non_null(strstr(message, "c.yaml:7: unknown key model.expandd; did you mean model.expand?"));
    config_value_free(tree);
    const char fixed[] = "{\"dropout\": 0.1}";
    assert_int_equal(config_value_read_json("m.json", fixed, strlen(fixed), &tree), OK);
    capture = capture_begin(2);
    assert_int_equal(keys_apply(tables, 2, tree, "model", config_hints()), BAD_INPUT);
    capture_end(&capture, message, sizeof message);
    assert_non_null(strstr(message, "m.json:1: model.dropout is 0.1; only 0 is supported (there is none)"));
    keys_free(tables, 2);
    config_value_free(tree);
}

static void test_locale_does_not_matter(void **state) {
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        print_message("skipped: neither de_DE.UTF-8 nor fr_FR.UTF-8 is installed\n");
        skip();
    }
    char message[4096];
    TrainConfig c;
    assert_int_equal(load(NULL, "--data.files=a --optimizer.lr=0.25", 1, &c, message), OK);
    assert_true(c.optimizer.lr == 0.25);
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    config_write(file, &c);
    fclose(file);
    assert_non_null(strstr(text, "lr: 0.25\n"));
    setlocale(LC_ALL, "C");
    config_free(&c);
    free(text);
}

static void test_help_names_every_key(void **state) {
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_true(config_help(file, NULL));
    fclose(file);
    const KeyHints *hints = config_hints();
    for (int t = 0; t < hints->table_count; t++)
        for (int k = 0; k < hints->tables[t].count; k++) {
            assert_non_null(strstr(text, hints->tables[t].keys[k].name));
            assert_non_null(strstr(text, hints->tables[t].keys[k].doc));
        }
    assert_non_null(strstr(text, "--optimizer.beta1"));
    free(text);
}

static void test_edit_distance(void **state) {
    (void)state;
    assert_int_equal(edit_distance("seq_len", "seq_len"), 0);
    assert_int_equal(edit_distance("seqlen", "seq_len"), 1);
    assert_int_equal(edit_distance("Seq-Len", "seq_len"), 0);
    assert_int_equal(edit_distance("setps", "steps"), 1);
    assert_int_equal(edit_distance("", "abc"), 3);
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),           cmocka_unit_test(test_json),
        cmocka_unit_test(test_tables_together),      cmocka_unit_test(test_locale_does_not_matter),
        cmocka_unit_test(test_help_names_every_key), cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
