/* Targets are counted by position, and by whether their pair of tokens occurred before in the document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "training/tally.h"

/* Two sequences; in the first, two documents. Each target's loss is a power of two, so that every sum identifies its
 * terms. */
enum { B = 2, T = 8 };
static int32_t tokens[] = {1, 2, 1, 2, 1, 2, 1, 2, /**/ 1, 2, 3, 1, 2, 3, 3, 3};
static int32_t labels[] = {2, 1, 2, 1, -100, 1, 2, 1, /**/ 2, 3, 1, 2, 3, 3, 3, 1};
static int32_t segment[] = {0, 0, 0, 0, 0, 1, 1, 1, /**/ 0, 0, 0, 0, 0, 0, 0, 0};
static int32_t position[] = {0, 1, 2, 3, 4, 0, 1, 2, /**/ 0, 1, 2, 3, 4, 5, 6, 7};
/* 12 and 21 again; nothing in the second document but 21 at its end; 12, 23, then 33 and 31. */
static const int repeated[] = {0, 0, 1, 1, 0, 0, 0, 1, /**/ 0, 0, 0, 1, 1, 0, 1, 1};

static const int32_t bytes[] = {3, 0, 1, 4, 9, 2, 1, 0, /**/ 1, 2, 0, 0, 5, 1, 1, 7};

static void expect_equal(const Tally *a, const Tally *b) {
    assert_true(a->targets == b->targets && a->loss == b->loss && a->right == b->right && a->bytes == b->bytes);
}

static bool is_rare(int i) {
    return repeated[i] && ((tokens[i] == 1 && labels[i] == 2) || (tokens[i] == 3 && labels[i] == 3));
}

static Tallies count_by_hand(const float *losses, const float *margins) {
    static const int range[] = {0, 1, 2, 2, 3, 3, 3, 3};
    Tallies wanted = {0};
    for (int i = 0; i < B * T; i++) {
        Tally *const parts[] = {&wanted.all, &wanted.position[range[position[i]]],
                                repeated[i] ? &wanted.repeated : NULL, is_rare(i) ? &wanted.rare : NULL};
        for (int p = 0; p < LENGTH(parts) && labels[i] >= 0; p++) {
            if (!parts[p]) continue;
            parts[p]->targets++;
            parts[p]->loss += (double)losses[i];
            parts[p]->right += margins[i] == 0;
            parts[p]->bytes += bytes[i];
        }
    }
    return wanted;
}

static void test_each_target_is_where_it_belongs(void **state) {
    (void)state;
    float losses[B * T], margins[B * T];
    Bigrams *seen = bigrams_create();
    Tallies got = {0};
    /* Of the repeated pairs, 12 and 33 are rare. */
    double times[] = {4, 5, 5, 4, 5};
    const ShownBigrams shown = {.asked = bigrams_create(), .times = times, .rare = 4};
    const int pairs[][2] = {{1, 2}, {2, 1}, {2, 3}, {3, 3}, {3, 1}};
    for (int i = 0; i < LENGTH(pairs); i++) bigrams_add(shown.asked, pairs[i][0], pairs[i][1]);
    for (int i = 0; i < B * T; i++) losses[i] = (float)(1 << i), margins[i] = i % 3 ? -1 : 0;
    const HostBatch batch = {.tokens = tokens, .labels = labels, .segment = segment, .position = position};
    tally_batch(&got, batch, (TokenScores){losses, margins}, B, T, bytes, seen, &shown);
    const Tallies wanted = count_by_hand(losses, margins);
    expect_equal(&got.all, &wanted.all);
    expect_equal(&got.repeated, &wanted.repeated);
    expect_equal(&got.rare, &wanted.rare);
    assert_true(0 < got.rare.targets && got.rare.targets < got.repeated.targets);
    for (int r = 0; r < TALLY_POSITIONS; r++) expect_equal(&got.position[r], &wanted.position[r]);
    const Tally rest = tally_rest(&got.all, &got.repeated);
    assert_true(rest.targets == 8 && got.repeated.targets == 7 && rest.loss + got.repeated.loss == got.all.loss);
    tally_add(&got, &wanted);
    assert_true(got.all.loss == 2 * wanted.all.loss && got.position[3].bytes == 2 * wanted.position[3].bytes);
    bigrams_free(seen);
    bigrams_free(shown.asked);
}

static void test_ranges_of_positions(void **state) {
    (void)state;
    assert_int_equal(tally_first(0), 0);
    assert_int_equal(tally_first(1), 1);
    assert_int_equal(tally_first(2), 2);
    assert_int_equal(tally_first(11), 1024);
    int32_t last = INT32_MAX, label = 1, token = 0, zero = 0;
    const float loss = 1, margin = 0;
    Bigrams *seen = bigrams_create();
    Tallies got = {0};
    const HostBatch batch = {.tokens = &token, .labels = &label, .segment = &zero, .position = &last};
    tally_batch(&got, batch, (TokenScores){&loss, &margin}, 1, 1, NULL, seen, NULL);
    assert_true(got.position[TALLY_POSITIONS - 1].targets == 1 && got.all.bytes == 0);
    bigrams_free(seen);
}

/* Against a table of all pairs, cleared at times: what is in the set, and which was added when. */
static void test_bigrams(void **state) {
    (void)state;
    enum { TOKENS = 60, PAIRS = 3000 };
    static bool there[TOKENS][TOKENS];
    static int64_t number[TOKENS][TOKENS];
    int64_t count = 0;
    Bigrams *bigrams = bigrams_create();
    uint32_t random = 1;
    for (int i = 0; i < 20 * PAIRS; i++) {
        if (i % PAIRS == 0) {
            bigrams_clear(bigrams);
            count = 0;
            for (int a = 0; a < TOKENS * TOKENS; a++) there[a / TOKENS][a % TOKENS] = false;
        }
        random = random * 1664525u + 1013904223u;
        const int a = (int)(random >> 24) % TOKENS, b = (int)(random >> 16 & 255) % TOKENS;
        assert_int_equal(bigrams_number(bigrams, a, b), there[a][b] ? number[a][b] : -1);
        assert_int_equal(bigrams_add(bigrams, a, b), there[a][b]);
        if (!there[a][b]) number[a][b] = count++;
        there[a][b] = true;
        assert_int_equal(bigrams_count(bigrams), count);
    }
    bigrams_free(bigrams);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_target_is_where_it_belongs),
                                       cmocka_unit_test(test_ranges_of_positions), cmocka_unit_test(test_bigrams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
