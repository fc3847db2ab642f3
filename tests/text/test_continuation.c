/* The continuation of a prompt: its first word keeps the space before it, stop texts are found and not shown, and the
 * reason of its end is reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/continuation.h"

static TokenIds encode(const Tokenizer *tokenizer, const char *text) {
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    TokenIds ids = {0};
    assert_int_equal(tokenizer_encode(encoder, text, (int64_t)strlen(text), false, &ids), OK);
    token_encoder_free(encoder);
    return ids;
}

/* The tokens of "PROMPT REST" after those of the prompt stand for " REST". */
static void check_space(const char *path) {
    static const char prompt[] = "some words", rest[] = " and others";
    char whole[64];
    snprintf(whole, sizeof whole, "%s%s", prompt, rest);
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(path, &tokenizer), OK);
    TokenIds before = encode(tokenizer, prompt), all = encode(tokenizer, whole);
    assert_memory_equal(all.id, before.id, (size_t)before.count * sizeof *all.id);
    Continuation continuation = continuation_begin(tokenizer, &before, 100);
    for (int64_t i = before.count; i < all.count; i++) continuation_add(&continuation, all.id[i], false);
    continuation_add(&continuation, 0, true);
    assert_string_equal(continuation.text, rest);
    assert_string_equal(continuation.ended, "eos");
    continuation_free(&continuation);
    free(before.id);
    free(all.id);
    tokenizer_close(tokenizer);
}

static void test_the_first_word_keeps_its_space(void **state) {
    (void)state;
    check_space(NULL);
    check_space("tests/golden/tokenizers/gpt2.json");
    check_space("tests/golden/tokenizers/llama2.json");
    check_space("tests/golden/tokenizers/mistral.json");
}

static void expect_shown(Continuation *continuation, const char *expected) {
    int64_t bytes;
    const char *text = continuation_show(continuation, &bytes);
    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(text, expected, (size_t)bytes);
}

/* Token ids shown as text. */
static void test_stop_texts_are_held_back(void **state) {
    (void)state;
    char *first[] = {"9"}, *second[] = {"3 45", " 3 4 5"};
    Continuation continuation = continuation_begin(NULL, NULL, 100);
    continuation.stop[0] = (StopTexts){first, 1};
    continuation.stop[1] = (StopTexts){second, 2};
    for (uint32_t token = 1; token <= 3; token++) continuation_add(&continuation, token, false);
    expect_shown(&continuation, "1 2"); /* " 3" may begin a stop text */
    continuation_add(&continuation, 4, false);
    expect_shown(&continuation, "");
    continuation_add(&continuation, 6, false);
    expect_shown(&continuation, " 3 4 6");
    continuation_add(&continuation, 3, false);
    continuation_add(&continuation, 45, false);
    assert_string_equal(continuation.ended, "stop");
    assert_string_equal(continuation.text, "1 2 3 4 6 ");
    expect_shown(&continuation, " ");
    continuation_add(&continuation, 7, false); /* it has ended */
    assert_string_equal(continuation.text, "1 2 3 4 6 ");
    assert_int_equal(continuation.ids.count, 7);
    continuation_free(&continuation);
}

static void test_stop_texts_behind_a_zero_byte(void **state) {
    (void)state;
    static const uint32_t tokens[] = {'a', 0, 0xc3, 0xa9};
    char *stop[] = {"\xc3\xa9"};
    Tokenizer *bytes;
    assert_int_equal(tokenizer_open(NULL, &bytes), OK);
    Continuation continuation = continuation_begin(bytes, &(TokenIds){0}, 100);
    continuation.stop[0] = (StopTexts){stop, 1};
    for (int i = 0; i < 4; i++) continuation_add(&continuation, tokens[i], false);
    assert_non_null(continuation.ended);
    assert_string_equal(continuation.ended, "stop");
    assert_int_equal(continuation.bytes, 2);
    assert_memory_equal(continuation.text, "a", 2);
    continuation_free(&continuation);
    tokenizer_close(bytes);
}

static void test_a_number_of_tokens(void **state) {
    (void)state;
    Continuation continuation = continuation_begin(NULL, NULL, 2);
    continuation_add(&continuation, 5, false);
    assert_null(continuation.ended);
    continuation_add(&continuation, 6, false);
    assert_string_equal(continuation.ended, "length");
    assert_string_equal(continuation.text, "5 6");
    continuation_free(&continuation);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_word_keeps_its_space), cmocka_unit_test(test_stop_texts_are_held_back),
        cmocka_unit_test(test_stop_texts_behind_a_zero_byte), cmocka_unit_test(test_a_number_of_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
