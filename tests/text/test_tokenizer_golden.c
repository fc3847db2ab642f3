/* Tokenizers of every kind against the results of the library `tokenizers` for the same texts (expected.json and
 * details.json in tests/golden/tokenizers), and tokenizers that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/capture.h"
#include "text/tokenizer.h"

static const char folder[] = "tests/golden/tokenizers";
static const char *const names[] = {"gpt2", "llama2", "llama3", "mistral", "unigram", "wordpiece"};

static Tokenizer *open_golden(const char *name) {
    char path[256];
    Tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/%s.json", folder, name);
    assert_int_equal(tokenizer_open(path, &tokenizer), OK);
    return tokenizer;
}

static void check_ids(const char *name, const char *text, const json_t *expected, const TokenIds *ids) {
    bool same = json_array_size(expected) == (size_t)ids->count;
    for (int64_t i = 0; i < ids->count && same; i++)
        same = json_integer_value(json_array_get(expected, (size_t)i)) == ids->id[i];
    if (!same) fail_msg("%s encodes \"%s\" otherwise", name, text);
}

static void check_decoded(const char *name, const Tokenizer *tokenizer, TokenStream *stream, const TokenIds *ids,
                          const char *expected) {
    char *whole = tokenizer_decode(tokenizer, ids->id, ids->count, true, NULL);
    assert_string_equal(whole, expected);
    char joined[2048] = "";
    for (int64_t i = 0; i <= ids->count; i++) {
        const char *part = i < ids->count ? token_stream_add(stream, ids->id[i], NULL) : token_stream_end(stream, NULL);
        if (((unsigned char)part[0] & 0xc0) == 0x80) fail_msg("%s gives half a character", name);
        strcat(joined, part);
    }
    assert_string_equal(joined, whole);
    free(whole);
}

static void check_golden(const char *name, const json_t *texts, const json_t *expected) {
    Tokenizer *tokenizer = open_golden(name);
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    TokenStream *stream = token_stream_create(tokenizer, true);
    TokenIds ids = {0};
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i),
                     *decoded = json_array_get(json_object_get(expected, "decoded"), i);
        const char *given = json_string_value(text);
        ids.count = 0;
        assert_int_equal(tokenizer_encode(encoder, given, (int64_t)json_string_length(text), true, &ids), OK);
        check_ids(name, given, json_array_get(json_object_get(expected, "ids"), i), &ids);
        if (strlen(given) != json_string_length(text)) continue; /* a zero byte ends a C string */
        check_decoded(name, tokenizer, stream, &ids, json_is_null(decoded) ? given : json_string_value(decoded));
    }
    free(ids.id);
    token_stream_free(stream);
    token_encoder_free(encoder);
    tokenizer_close(tokenizer);
}

static void test_golden(void **state) {
    (void)state;
    json_t *all = json_load_file("tests/golden/tokenizers/expected.json", JSON_ALLOW_NUL, NULL);
    const json_t *texts = json_object_get(all, "texts");
    assert_true(json_array_size(texts) > 100);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check_golden(names[i], texts, json_object_get(all, names[i]));
    json_decref(all);
}

static const char *temporary_path(void) {
    static char path[64];
    snprintf(path, sizeof path, "/dev/shm/flame-c-tokenizer-%ld", (long)getpid());
    return path;
}

static void check_detail(const json_t *detail) {
    const char *about = json_string_value(json_object_get(detail, "about"));
    const json_t *texts = json_object_get(detail, "texts"), *expected = json_object_get(detail, "ids"),
                 *decoded = json_object_get(detail, "decoded");
    Tokenizer *tokenizer;
    char told[4096]; /* ids of added tokens that the file does not foresee */
    assert_int_equal(json_dump_file(json_object_get(detail, "tokenizer"), temporary_path(), 0), 0);
    Capture capture = capture_begin(STDERR_FILENO);
    const Status status = tokenizer_open(temporary_path(), &tokenizer);
    capture_end(&capture, told, sizeof told);
    if (status) fail_msg("%s: %s", about, told);
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        TokenIds ids = {0};
        assert_int_equal(
            tokenizer_encode(encoder, json_string_value(text), (int64_t)json_string_length(text), true, &ids), OK);
        check_ids(about, json_string_value(text), json_array_get(expected, i), &ids);
        char *whole = tokenizer_decode(tokenizer, ids.id, ids.count, false, NULL);
        if (decoded) assert_string_equal(whole, json_string_value(json_array_get(decoded, i)));
        free(whole);
        free(ids.id);
    }
    token_encoder_free(encoder);
    tokenizer_close(tokenizer);
}

/* Tiny tokenizers, each for one rule. */
static void test_details(void **state) {
    (void)state;
    json_t *all = json_load_file("tests/golden/tokenizers/details.json", JSON_ALLOW_NUL, NULL);
    assert_true(json_array_size(all) > 30);
    for (size_t i = 0; i < json_array_size(all); i++) check_detail(json_array_get(all, i));
    json_decref(all);
    remove(temporary_path());
}

/* Bytes that are not UTF-8 are encoded as U+FFFD, one for each start of a character. */
static void test_invalid(void **state) {
    (void)state;
    const char *const pairs[][2] = {{"a\xff"
                                     "b",
                                     "a\xef\xbf\xbd"
                                     "b"},
                                    {"\xe2\x82", "\xef\xbf\xbd"},
                                    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                                    {"\xf0\x9f\x98 \xc0\x80", "\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        Tokenizer *tokenizer = open_golden(names[i]);
        TokenEncoder *encoder = token_encoder_create(tokenizer);
        for (size_t j = 0; j < sizeof pairs / sizeof pairs[0]; j++) {
            TokenIds ids[2] = {{0}, {0}};
            for (int k = 0; k < 2; k++)
                assert_int_equal(tokenizer_encode(encoder, pairs[j][k], (int64_t)strlen(pairs[j][k]), false, &ids[k]),
                                 OK);
            assert_int_equal(ids[0].count, ids[1].count);
            assert_memory_equal(ids[0].id, ids[1].id, (size_t)ids[0].count * sizeof *ids[0].id);
            free(ids[0].id);
            free(ids[1].id);
        }
        token_encoder_free(encoder);
        tokenizer_close(tokenizer);
    }
}

/* A tokenizer.json with these parts; each line is refused with a message that names it. */
static void test_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "end of file"},
        {"[]", "not a JSON object"},
        {"{}", "model: it must be an object"},
        {"{\"model\":{\"type\":\"Magic\"}}", "model Magic: this program does not know this type"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "the id of token \"a\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4294967295},\"merges\":[]}}", "the id of token \"a\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "\"b\" is not in \"vocab\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", "the merged token"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", "not two tokens"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "\"merges\" is missing"},
        {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},\"merges\":[]}}", "dropout"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "entry 0"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}", "\"unk_id\" must be"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"u\"},\"normalizer\":{\"type\":\"Magic\"}}",
         "normalizer Magic"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"u\"},\"normalizer\":{\"type\":"
         "\"Precompiled\","
         "\"precompiled_charsmap\":\"AAAA\"}}",
         "is damaged"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"u\"},\"pre_tokenizer\":{\"type\":\"Split\","
         "\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"[a&&b]\"}}}",
         "cannot be used"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"u\"},\"decoder\":{\"type\":\"CTC\"}}",
         "decoder CTC"},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"u\"},\"post_processor\":{\"type\":"
         "\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}}",
         "\"single\""},
        {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"u\"},\"added_tokens\":[{\"id\":0,\"content\":"
         "\"x\"}]}",
         "\"single_word\" is missing"},
    };
    const char *path = temporary_path();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(cases[i][0], file);
        fclose(file);
        char told[2048];
        Tokenizer *tokenizer;
        Capture capture = capture_begin(STDERR_FILENO);
        const Status status = tokenizer_open(path, &tokenizer);
        capture_end(&capture, told, sizeof told);
        assert_int_equal(status, BAD_INPUT);
        assert_null(tokenizer);
        if (!strstr(told, cases[i][1]) || !strstr(told, path)) fail_msg("%s: told %s", cases[i][0], told);
    }
    remove(path);
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open("/nowhere", &tokenizer), BAD_INPUT);
}

/* Regular expressions that have another meaning in PCRE2 are refused. */
static void test_refused_expressions(void **state) {
    (void)state;
    static const struct {
        const char *expression;
        Status status;
    } cases[] = {{"(?m)a", BAD_INPUT},
                 {"(?im)a", BAD_INPUT},
                 {"(?i-m:a)", BAD_INPUT},
                 {"a(?i)b|c", BAD_INPUT},
                 {"(a(?i)b|c)", BAD_INPUT},
                 {"a{,2}", BAD_INPUT},
                 {"\\\\pL", BAD_INPUT},
                 {"\\\\x", BAD_INPUT},
                 {"\\\\xg", BAD_INPUT},
                 {"a{1,2}+", BAD_INPUT},
                 {"(?<n>a)", BAD_INPUT},
                 {"(?i)b|c", OK},
                 {"a|(?i)b|c", OK},
                 {"(?:(?i)b|c)", OK},
                 {"((?i)b|c)", OK},
                 {"a(?i:b|c)", OK},
                 {"a{1,2}", OK},
                 {"\\\\p{L}\\\\x41", OK},
                 {"\\\\x{41}[{,m]", OK}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[512], told[2048];
        Tokenizer *tokenizer;
        snprintf(json, sizeof json,
                 "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{},\"unk_token\":\"u\"},"
                 "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{"
                 "\"Regex\":\"%s\"}}}",
                 cases[i].expression);
        const TokenizerText text = {"t.json", json, (int64_t)strlen(json)}, none = {"none", NULL, 0};
        Capture capture = capture_begin(STDERR_FILENO);
        const Status status = tokenizer_from_texts(&text, &none, &tokenizer);
        capture_end(&capture, told, sizeof told);
        if (status != cases[i].status) fail_msg("%s: status %d, told %s", cases[i].expression, (int)status, told);
        if (status && !strstr(told, "is not supported")) fail_msg("%s: told %s", cases[i].expression, told);
        tokenizer_close(tokenizer);
    }
}

/* A text of marks in the wrong order, which utf8proc itself would sort for minutes. */
static void test_many_marks(void **state) {
    (void)state;
    enum { MARKS = 100000 };
    static const char json[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\u0301\":0,\"\\u0316\":1,\"a\":2},\"merges\":[]},"
        "\"normalizer\":{\"type\":\"NFD\"}}";
    const TokenizerText text = {"t.json", json, (int64_t)strlen(json)}, none = {"none", NULL, 0};
    Tokenizer *tokenizer;
    TokenIds ids = {0};
    char *marks = malloc(4 * MARKS + 1);
    assert_non_null(marks);
    marks[0] = 'a';
    for (int i = 0; i < 2 * MARKS; i++) memcpy(marks + 1 + 2 * i, i < MARKS ? "\xcc\x81" : "\xcc\x96", 2);
    assert_int_equal(tokenizer_from_texts(&text, &none, &tokenizer), OK);
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    assert_int_equal(tokenizer_encode(encoder, marks, 4 * MARKS + 1, false, &ids), OK);
    assert_int_equal(ids.count, 2 * MARKS + 1);
    for (int i = 0; i <= 2 * MARKS; i++) assert_int_equal(ids.id[i], i == 0 ? 2 : i <= MARKS);
    free(marks);
    free(ids.id);
    token_encoder_free(encoder);
    tokenizer_close(tokenizer);
}

static void test_unknown_marks(void **state) {
    (void)state;
    static const char json[] = "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}}",
                      config[] = "{\"bos_token\":\"a\",\"eos_token\":{\"content\":\"</s>\"}}";
    const TokenizerText texts[] = {{"t.json", json, (int64_t)strlen(json)},
                                   {"c.json", config, (int64_t)strlen(config)}};
    char told[2048];
    Tokenizer *tokenizer;
    Capture capture = capture_begin(STDERR_FILENO);
    assert_int_equal(tokenizer_from_texts(&texts[0], &texts[1], &tokenizer), OK);
    capture_end(&capture, told, sizeof told);
    assert_int_equal(tokenizer_bos(tokenizer), 0);
    assert_int_equal(tokenizer_eos(tokenizer), -1);
    assert_string_equal(told,
                        "flame-c: warning: c.json: \"eos_token\" is \"</s>\", which is no token of the tokenizer\n");
    tokenizer_close(tokenizer);
}

/* The ids that the post-processor adds count for the vocabulary size, so that no id is beyond a model's embeddings. */
static void test_vocab_size(void **state) {
    (void)state;
    const char *path = temporary_path();
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"},\"post_processor\":{\"type\":"
          "\"BertProcessing\",\"cls\":[\"c\",7],\"sep\":[\"s\",500]}}",
          file);
    fclose(file);
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(path, &tokenizer), OK);
    assert_int_equal(tokenizer_vocab_size(tokenizer), 501);
    tokenizer_close(tokenizer);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden),
                                       cmocka_unit_test(test_details),
                                       cmocka_unit_test(test_invalid),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_refused_expressions),
                                       cmocka_unit_test(test_many_marks),
                                       cmocka_unit_test(test_unknown_marks),
                                       cmocka_unit_test(test_vocab_size)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
