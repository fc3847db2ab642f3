/* The byte counts of the targets add up to the text that they are: for tokenizers of every kind, packed documents, and
 * windows that cut a document anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/utf8.h"
#include "training/text_bytes.h"

static const char text[] = "A na\xc3\xafve text: \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x99\x82, don't  stop.\n  x = 12;\n";
static const char other[] = "int main(void) { return 0; }\n";

static Tokenizer *open_golden(const char *name) {
    char path[256];
    Tokenizer *tokenizer;
    snprintf(path, sizeof path, "tests/golden/tokenizers/%s.json", name);
    assert_int_equal(tokenizer_open(path, &tokenizer), OK);
    return tokenizer;
}

static TokenIds ids_of(const Tokenizer *tokenizer, const char *of) {
    TokenIds ids = {0};
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    assert_int_equal(tokenizer_encode(encoder, of, (int64_t)strlen(of), false, &ids), OK);
    token_encoder_free(encoder);
    return ids;
}

static int64_t decoded(const Tokenizer *tokenizer, const uint32_t *id, int64_t count) {
    int64_t bytes;
    free(tokenizer_decode(tokenizer, id, count, true, &bytes));
    return bytes;
}

/* Whether the text from token `cut` on begins amid a character, after one of a run of single bytes, or with a token
 * without text, so that the next one loses its space. */
static bool cuts(const Tokenizer *tokenizer, const TokenIds *ids, int64_t cut) {
    char *rest = tokenizer_decode(tokenizer, ids->id + cut, ids->count - cut, true, NULL);
    const bool replaced = strstr(rest, UTF8_REPLACEMENT) != NULL;
    free(rest);
    return replaced || decoded(tokenizer, ids->id + cut, 1) == 0;
}

/* The bytes of a window of `count` tokens and the label after them; `next` -100: the document ends there. */
static int64_t window_bytes(const Tokenizer *tokenizer, const uint32_t *id, int64_t count, int32_t next) {
    int32_t tokens[count], labels[count];
    for (int64_t t = 0; t < count; t++) {
        tokens[t] = (int32_t)id[t];
        labels[t] = t + 1 < count ? (int32_t)id[t + 1] : next;
    }
    TextBytes *text_bytes = text_bytes_create(tokenizer, 1, count);
    const int32_t *bytes = text_bytes_of(text_bytes, (HostBatch){.tokens = tokens, .labels = labels});
    int64_t sum = 0;
    for (int64_t t = 0; t < count; t++) sum += bytes[t];
    text_bytes_free(text_bytes);
    return sum;
}

/* every_byte: the tokenizer has tokens for all of the text. */
static void check_windows(const Tokenizer *tokenizer, const TokenIds *ids, bool every_byte) {
    const int64_t count = ids->count, whole = decoded(tokenizer, ids->id, count),
                  expected = whole - decoded(tokenizer, ids->id, 1);
    if (every_byte) assert_int_equal(whole, sizeof text - 1);
    assert_int_equal(window_bytes(tokenizer, ids->id, count, -100), expected);
    for (int64_t cut = 1; cut < count; cut++) {
        const int64_t first = window_bytes(tokenizer, ids->id, cut, (int32_t)ids->id[cut]),
                      second = window_bytes(tokenizer, ids->id + cut, count - cut, -100);
        if (cuts(tokenizer, ids, cut))
            assert_in_range(first + second, expected - 6, expected);
        else
            assert_int_equal(first + second, expected);
    }
}

static void test_windows_of_a_text(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "llama2", "llama3", "mistral", "unigram", "wordpiece"};
    for (int i = 0; i < LENGTH(names); i++) {
        Tokenizer *tokenizer = open_golden(names[i]);
        TokenIds ids = ids_of(tokenizer, text);
        check_windows(tokenizer, &ids, i < 3);
        free(ids.id);
        tokenizer_close(tokenizer);
    }
}

/* Two rows of two documents each, with a mark at their ends, which is no text. */
static void test_documents_side_by_side(void **state) {
    (void)state;
    enum { ROW = 400 };
    Tokenizer *tokenizer = open_golden("llama2");
    const int64_t mark = tokenizer_id(tokenizer, "</s>");
    TokenIds ids[2] = {ids_of(tokenizer, text), ids_of(tokenizer, other)};
    static int32_t tokens[2 * ROW], labels[2 * ROW];
    int64_t expected[2 * ROW] = {0}, all = 0;
    assert_true(mark >= 0);
    for (int i = 0; i < 2 * ROW; i++) labels[i] = -100;
    for (int row = 0; row < 2; row++) {
        int64_t at = row * ROW;
        for (int d = 0; d < 2; d++) {
            const TokenIds *document = &ids[(row + d) % 2];
            for (int64_t t = 0; t < document->count; t++) {
                tokens[at] = (int32_t)document->id[t];
                labels[at++] = t + 1 < document->count ? (int32_t)document->id[t + 1] : (int32_t)mark;
                if (document == &ids[1] && t + 1 < document->count)
                    expected[at - 1] =
                        decoded(tokenizer, document->id, t + 2) - decoded(tokenizer, document->id, t + 1);
            }
            tokens[at++] = (int32_t)mark;
        }
    }
    TextBytes *text_bytes = text_bytes_create(tokenizer, 2, ROW);
    const int32_t *bytes = text_bytes_of(text_bytes, (HostBatch){.tokens = tokens, .labels = labels});
    for (int i = 0; i < 2 * ROW; i++) {
        all += bytes[i];
        if (expected[i]) assert_int_equal(bytes[i], expected[i]);
        if (labels[i] < 0 || labels[i] == mark) assert_int_equal(bytes[i], 0);
    }
    const int64_t first = decoded(tokenizer, ids[0].id, 1) + decoded(tokenizer, ids[1].id, 1);
    assert_int_equal(all, 2 * ((int64_t)sizeof text + (int64_t)sizeof other - 2 - first));
    text_bytes_free(text_bytes);
    for (int d = 0; d < 2; d++) free(ids[d].id);
    tokenizer_close(tokenizer);
}

/* A document may end with U+FFFD itself, which otherwise stands for an incomplete character. */
static void test_replaced_at_the_end(void **state) {
    (void)state;
    static const char replaced[] = "end " UTF8_REPLACEMENT;
    Tokenizer *tokenizer = open_golden("gpt2");
    TokenIds ids = ids_of(tokenizer, replaced);
    const int64_t first = decoded(tokenizer, ids.id, 1);
    assert_int_equal(window_bytes(tokenizer, ids.id, ids.count, -100), (int64_t)sizeof replaced - 1 - first);
    free(ids.id);
    tokenizer_close(tokenizer);
}

/* The built-in tokenizer keeps bytes that are no UTF-8. */
static void test_bytes(void **state) {
    (void)state;
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(NULL, &tokenizer), OK);
    const uint32_t ids[] = {BYTES_BOS, 'a', 0xff, 0xc3, 0xa9, 0, BYTES_EOS};
    assert_int_equal(window_bytes(tokenizer, ids, LENGTH(ids), -100), 5);
    tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_windows_of_a_text),
                                       cmocka_unit_test(test_documents_side_by_side),
                                       cmocka_unit_test(test_replaced_at_the_end), cmocka_unit_test(test_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
