/* The built-in tokenizer of bytes, and decoding token by token. */
#define _XOPEN_SOURCE 700 /* mkdtemp */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "data/byte_tokenizer.h"
#include "text/tokenizer.h"

static void test_bytes(void **state) {
    (void)state;
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(NULL, &tokenizer), OK);
    assert_int_equal(tokenizer_vocab_size(tokenizer), BYTES_VOCAB_SIZE);
    assert_int_equal(tokenizer_bos(tokenizer), BYTES_BOS);
    assert_int_equal(tokenizer_id(tokenizer, "<eos>"), BYTES_EOS);
    assert_int_equal(tokenizer_id(tokenizer, "<no>"), -1);
    assert_null(tokenizer_token(tokenizer, 300, NULL));
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    TokenIds ids = {0};
    assert_int_equal(tokenizer_encode(encoder, "a\xff\0<bos>", 8, true, &ids), OK);
    const uint32_t expected[] = {'a', 255, 0, '<', 'b', 'o', 's', '>'};
    assert_int_equal(ids.count, 8);
    assert_memory_equal(ids.id, expected, sizeof expected);

    token_ids_add(&ids, BYTES_EOS);
    token_ids_add(&ids, 300);
    token_ids_add(&ids, UINT32_MAX);
    int64_t bytes;
    char *text = tokenizer_decode(tokenizer, ids.id, ids.count, false, &bytes);
    assert_int_equal(bytes, 1 + 3 + 1 + 5 + 5);
    assert_memory_equal(text, "a\xef\xbf\xbd\0<bos><eos>", (size_t)bytes + 1);
    free(text);
    text = tokenizer_decode(tokenizer, ids.id + 3, ids.count - 3, true, NULL);
    assert_string_equal(text, "<bos>");
    free(text);
    free(ids.id);
    token_encoder_free(encoder);
    tokenizer_close(tokenizer);
}

/* For any bytes, no part is an incomplete character, and the parts together are the whole text. */
static void check_stream(const Tokenizer *tokenizer, TokenStream *stream, const char *text, int64_t count) {
    uint32_t ids[64];
    char joined[256] = "";
    for (int64_t i = 0; i < count; i++) {
        ids[i] = (unsigned char)text[i];
        const char *part = token_stream_add(stream, ids[i], NULL);
        assert_true(((unsigned char)part[0] & 0xc0) != 0x80);
        strcat(joined, part);
    }
    strcat(joined, token_stream_end(stream, NULL));
    char *whole = tokenizer_decode(tokenizer, ids, count, true, NULL);
    assert_string_equal(joined, whole);
    free(whole);
}

static void test_stream(void **state) {
    (void)state;
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(NULL, &tokenizer), OK);
    TokenStream *stream = token_stream_create(tokenizer, true);
    assert_string_equal(token_stream_add(stream, 'h', NULL), "h");
    assert_string_equal(token_stream_add(stream, 0xe2, NULL), "");
    assert_string_equal(token_stream_add(stream, 0x82, NULL), "");
    assert_string_equal(token_stream_add(stream, 0xac, NULL), "\xe2\x82\xac");
    assert_string_equal(token_stream_add(stream, 0xf0, NULL), "");
    assert_string_equal(token_stream_add(stream, 'x', NULL), "\xef\xbf\xbdx");
    assert_string_equal(token_stream_add(stream, 0x9f, NULL), "");
    assert_string_equal(token_stream_end(stream, NULL), "\xef\xbf\xbd");
    const char *const texts[] = {"",
                                 "plain",
                                 "\xf0\x9f\x98\x80\xf0\x9f\x98",
                                 "\xff\xff\xff\xff\xff\xff",
                                 "\xe2\x82",
                                 "\xed\xa0\x80\xc3\xa9",
                                 "\x80\x80\x80\x80 \xf4\x90\x80\x80\xc0\xaf"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_stream(tokenizer, stream, texts[i], (int64_t)strlen(texts[i]));
    token_stream_free(stream);
    tokenizer_close(tokenizer);
}

enum { PLAIN, SPECIAL, WORD };

/* A tokenizer that lowercases, whose added tokens are mark, Mark and MARK. */
static void write_marks(const char *path, const int flags[3]) {
    static const char *const content[] = {"mark", "Mark", "MARK"};
    char text[2048] = "{\"version\": \"1.0\", \"normalizer\": {\"type\": \"Lowercase\"}, \"model\": {\"type\": "
                      "\"WordLevel\", \"vocab\": {\"[UNK]\": 0, \"x\": 1}, \"unk_token\": \"[UNK]\"}, "
                      "\"added_tokens\": [";
    for (int t = 0; t < 3; t++) {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used,
                 "{\"id\": %d, \"content\": \"%s\", \"single_word\": %s, \"lstrip\": false, \"rstrip\": false, "
                 "\"normalized\": true, \"special\": %s}%s",
                 t + 2, content[t], flags[t] == WORD ? "true" : "false", flags[t] == SPECIAL ? "true" : "false",
                 t < 2 ? ", " : "]}");
    }
    assert_int_equal(file_write_all(path, text, (int64_t)strlen(text)), 0);
}

/* If the normalizer maps several added tokens to the same text, the first special one is used, or else the first one,
 * with its flags only. As in tokenizers 0.22. */
static void test_same_text(void **state) {
    (void)state;
    static const struct {
        int flags[3];
        uint32_t expected;
    } rows[] = {
        {{PLAIN, PLAIN, PLAIN}, 2},     {{PLAIN, PLAIN, SPECIAL}, 4}, {{PLAIN, SPECIAL, SPECIAL}, 3},
        {{SPECIAL, PLAIN, SPECIAL}, 2}, {{WORD, PLAIN, PLAIN}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char folder[] = "/dev/shm/flame-c-marks-XXXXXX";
        assert_non_null(mkdtemp(folder));
        char *path = path_join(folder, "tokenizer.json");
        write_marks(path, rows[i].flags);
        Tokenizer *tokenizer;
        assert_int_equal(tokenizer_open(path, &tokenizer), OK);
        TokenEncoder *encoder = token_encoder_create(tokenizer);
        TokenIds ids = {0};
        assert_int_equal(tokenizer_encode(encoder, "mArks", 5, false, &ids), OK);
        assert_int_equal(ids.id[0], rows[i].expected);
        free(ids.id);
        token_encoder_free(encoder);
        tokenizer_close(tokenizer);
        free(path);
        folder_remove(folder);
    }
}

/* The tokenizer files in exports of byte models are equivalent to the built-in tokenizer. */
static void test_exported_bytes(void **state) {
    (void)state;
    char folder[] = "/dev/shm/flame-c-bytes-XXXXXX";
    assert_non_null(mkdtemp(folder));
    Tokenizer *tokenizer[2];
    assert_int_equal(tokenizer_open(folder, &tokenizer[0]), BAD_INPUT);
    TokenizerFiles files = byte_tokenizer_files();
    for (int i = 0; i < 2; i++) {
        char *path = path_join(folder, tokenizer_file_names[i]);
        assert_int_equal(file_write_all(path, files.file[i].content, files.file[i].bytes), 0);
        free(path);
    }
    assert_int_equal(tokenizer_open(folder, &tokenizer[0]), OK);
    assert_int_equal(tokenizer_open(NULL, &tokenizer[1]), OK);
    TokenIds ids[2] = {{0}, {0}};
    const char text[] = "\tOne, two\n\n \xc3\xa9\xf0\x9f\x98\x80 'll 12345";
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tokenizer_bos(tokenizer[i]), BYTES_BOS);
        assert_int_equal(tokenizer_eos(tokenizer[i]), BYTES_EOS);
        TokenEncoder *encoder = token_encoder_create(tokenizer[i]);
        assert_int_equal(tokenizer_encode(encoder, text, (int64_t)strlen(text), true, &ids[i]), OK);
        token_encoder_free(encoder);
        char *decoded = tokenizer_decode(tokenizer[i], ids[i].id, ids[i].count, true, NULL);
        assert_string_equal(decoded, text);
        free(decoded);
        tokenizer_close(tokenizer[i]);
    }
    assert_int_equal(ids[0].count, ids[1].count);
    assert_memory_equal(ids[0].id, ids[1].id, (size_t)ids[0].count * sizeof *ids[0].id);
    free(ids[0].id);
    free(ids[1].id);
    tokenizer_files_free(&files);
    folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exported_bytes), cmocka_unit_test(test_bytes),
                                       cmocka_unit_test(test_stream), cmocka_unit_test(test_same_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
