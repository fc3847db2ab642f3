/* The generators: what must hold in every example, and means over many examples beside those sampled
 * from the published generators. A bound on a mean is given where it is used: at least five standard errors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/examples.h"

static int64_t targets(const Made *m) {
    int64_t count = 0;
    for (int64_t t = 0; t < m->sizes.T; t++) count += m->e.labels[t] != IGNORED_LABEL;
    return count;
}

static double mean_targets(const char *name, const char *keys, int64_t examples) {
    Made m = make(name, keys);
    double sum = 0;
    for (int64_t i = 0; i < examples; i++) {
        example(&m, "test", i);
        sum += (double)targets(&m);
    }
    done(&m);
    return sum / (double)examples;
}

static void assert_in_bounds(const Made *m) {
    assert_true(targets(m) > 0);
    for (int64_t t = 0; t < m->sizes.T; t++) {
        if (m->e.inputs) assert_in_range(m->e.inputs[t], 0, m->sizes.tokens - 1);
        for (int64_t f = 0; f < m->sizes.features; f++) assert_true(isfinite(m->e.features[t * m->sizes.features + f]));
        if (m->e.labels[t] == IGNORED_LABEL) continue;
        assert_in_range(m->e.labels[t], 0, m->sizes.classes ? m->sizes.classes - 1 : 0);
        if (m->e.values) assert_true(isfinite(m->e.values[t]));
    }
}

/* The tokens of an example that the model reads. */
static const void *read_part(const Made *m, size_t *bytes) {
    *bytes = (size_t)(m->sizes.T * (m->e.inputs ? 1 : m->sizes.features)) * 4;
    return m->e.inputs ? (const void *)m->e.inputs : m->e.features;
}

static void examples_are_in_range_and_repeat(void **state) {
    (void)state;
    for (const Suite *const *suite = all_suites; *suite; suite++)
        for (const Task *const *task = (*suite)->tasks; *task; task++) {
            Made m = make((*task)->name, NULL), again = make((*task)->name, NULL);
            size_t bytes;
            int differ = 0;
            const void *x = read_part(&m, &bytes), *x_again = read_part(&again, &bytes);
            for (int64_t i = 0; i < 50; i++) {
                const char *split = i % 2 ? "test" : "train";
                example(&m, split, i);
                assert_in_bounds(&m);
                example(&again, split, i);
                assert_memory_equal(x, x_again, bytes);
                assert_memory_equal(m.e.labels, again.e.labels, (size_t)m.sizes.T * sizeof(int32_t));
                for (int64_t t = 0; m.e.values && t < m.sizes.T; t++)
                    if (m.e.labels[t] != IGNORED_LABEL) assert_true(m.e.values[t] == again.e.values[t]);
                example(&again, split, i + 1);
                differ += memcmp(x, x_again, bytes) != 0;
            }
            assert_in_range(differ, 10, 50); /* many graphs have no edge */
            done(&m);
            done(&again);
        }
}

static void recall_has_the_published_targets(void **state) {
    (void)state;
    assert_near(mean_targets("in_context_recall", "task.vocab_size=16", 1000), 56.0, 0.3);
    assert_near(mean_targets("in_context_recall", "task.vocab_size=32", 1000), 48.3, 0.3);
    assert_near(mean_targets("in_context_recall", "task.vocab_size=64", 1000), 36.4, 0.5);
    assert_near(mean_targets("in_context_recall", "task.vocab_size=128", 1000), 23.7, 0.6);
    assert_near(mean_targets("in_context_recall", "task.seq_len=1024", 200), 504, 0.5);
    assert_near(mean_targets("noisy_in_context_recall", NULL, 1000), 43.6, 0.6);
    assert_near(mean_targets("noisy_in_context_recall", "task.vocab_size=144", 1000), 16.5, 0.7);
    assert_near(mean_targets("noisy_in_context_recall", "task.frac_noise=0.8", 1000), 7.8, 0.6);
}

/* A scored label is the value that the key before it had the first time. */
static void recall_scores_keys_seen_before(void **state) {
    (void)state;
    Made m = make("noisy_in_context_recall", NULL);
    for (int64_t i = 0; i < 200; i++) {
        int32_t value_of[8] = {0};
        example(&m, "test", i);
        for (int64_t t = 0; t < m.sizes.T; t += 2) {
            const int32_t key = m.e.inputs[t];
            if (key >= 16) { /* noise comes in pairs */
                assert_true(t + 1 < m.sizes.T && m.e.inputs[t + 1] >= 16);
                assert_int_equal(m.e.labels[t], IGNORED_LABEL);
                continue;
            }
            assert_in_range(key, 0, 7);
            assert_int_equal(m.e.labels[t], value_of[key] ? value_of[key] : IGNORED_LABEL);
            if (t + 1 == m.sizes.T) continue;
            assert_in_range(m.e.inputs[t + 1], 8, 15);
            value_of[key] = m.e.inputs[t + 1];
        }
        assert_int_not_equal(m.e.labels[m.sizes.T - 1], IGNORED_LABEL);
        example(&m, "train", i);
        for (int64_t t = 0; t + 1 < m.sizes.T; t++) assert_int_equal(m.e.labels[t], m.e.inputs[t + 1]);
    }
    done(&m);
}

static void fuzzy_recall_has_the_published_targets(void **state) {
    (void)state;
    assert_near(mean_targets("fuzzy_in_context_recall", NULL, 2000), 4.35, 0.25);
    assert_near(mean_targets("fuzzy_in_context_recall", "task.vocab_size=32", 2000), 2.2, 0.15);
    assert_near(mean_targets("fuzzy_in_context_recall", "task.seq_len=256", 1000), 12.3, 0.6);
    assert_near(mean_targets("fuzzy_in_context_recall", "task.seq_len=1024", 200), 147, 3);
}

/* The last tokens are a key of three tokens and what the model reads of its value. A probe that ends the sequence was
 * seen before in all but about one in 43 sequences. */
static void fuzzy_recall_shows_most_probes(void **state) {
    (void)state;
    enum { EXAMPLES = 4000 };
    Made m = make("fuzzy_in_context_recall", NULL);
    double unseen = 0, pads = 0;
    for (int64_t i = 0; i < EXAMPLES; i++) {
        example(&m, "test", i);
        int64_t value = 0, T = m.sizes.T;
        while (m.e.labels[T - 1 - value] != IGNORED_LABEL) value++;
        const int32_t *probe = &m.e.inputs[T - value - 2];
        bool seen = false;
        for (const int32_t *key = m.e.inputs; key < probe && !seen; key++)
            seen = memcmp(key, probe, 3 * sizeof *key) == 0;
        for (int64_t t = 0; m.e.inputs[t] == 15; t++) pads++;
        assert_true(probe[0] != probe[1] && probe[1] != probe[2] && probe[0] != probe[2]);
        unseen += !seen;
    }
    assert_near(unseen / EXAMPLES, 0.0235, 0.012);
    assert_near(pads / EXAMPLES, 4.5, 1);
    done(&m);
}

static void memorization_is_one_map(void **state) {
    (void)state;
    Made m = make("memorization", NULL);
    int32_t value_of[127] = {0};
    for (int64_t i = 0; i < 400; i++) {
        example(&m, i % 2 ? "train" : "test", i);
        assert_int_equal(targets(&m), 16);
        for (int64_t t = 0; t < 32; t += 2) {
            const int32_t key = m.e.inputs[t], value = m.e.labels[t + 1];
            assert_int_equal(m.e.inputs[t + 1], 255);
            assert_in_range(key, 0, 126);
            assert_in_range(value, 127, 254);
            assert_true(value_of[key] == 0 || value_of[key] == value);
            value_of[key] = value;
        }
    }
    for (int a = 0; a < 127; a++)
        for (int b = 0; b < a; b++) assert_int_not_equal(value_of[a], value_of[b]);
    done(&m);
}

static void compression_asks_for_its_input(void **state) {
    (void)state;
    Made m = make("compression", NULL);
    example(&m, "train", 0);
    assert_memory_equal(m.e.inputs, m.e.labels, 32 * sizeof(int32_t));
    for (int t = 0; t < 31; t++) assert_in_range(m.e.inputs[t], 0, 14);
    assert_int_equal(m.e.inputs[31], 15);
    done(&m);
}

static void copying_repeats_the_data(void **state) {
    (void)state;
    enum { EXAMPLES = 1000, BLANK = 14, COPY = 15, T = 256, N = 16 };
    Made m = make("selective_copying", NULL);
    double leading = 0;
    for (int64_t i = 0; i < EXAMPLES; i++) {
        example(&m, "train", i);
        int64_t data = 0;
        for (int64_t t = 0; t < T - N - 1; t++)
            if (m.e.inputs[t] != BLANK) assert_int_equal(m.e.inputs[t], m.e.labels[T - N + data++]);
        assert_int_equal(data, N);
        assert_int_equal(targets(&m), N);
        assert_int_equal(m.e.inputs[T - N - 1], COPY);
        assert_int_not_equal(m.e.inputs[T - N - 2], BLANK);
        for (int64_t t = T - N; t < T; t++) assert_int_equal(m.e.inputs[t], BLANK);
        for (int64_t t = 0; m.e.inputs[t] == BLANK; t++) leading++;
    }
    assert_near(leading / EXAMPLES, 13.9, 0.7);
    done(&m);
}

/* The slots of the queries, against the means of the published generator over 28 and 192 slots. */
/* As many as in tests, where these have keys of the same sizes. */
static void recall_trains_on_answers_alone(void **state) {
    (void)state;
    static const char *const tasks[] = {"in_context_recall", "noisy_in_context_recall", "fuzzy_in_context_recall"};
    for (int r = 0; r < LENGTH(tasks); r++) {
        const char *keys = r < 2 ? "task.clean=true" : "task.clean=true task.k_motif_size=1";
        const double expected = mean_targets(tasks[r], keys, 500);
        Made m = make(tasks[r], keys);
        double scored = 0;
        for (int64_t i = 0; i < 500; i++) {
            example(&m, "train", i);
            for (int64_t t = 0; t + 1 < m.sizes.T; t++)
                assert_true(m.e.labels[t] == IGNORED_LABEL || m.e.labels[t] == m.e.inputs[t + 1]);
            scored += (double)targets(&m);
        }
        assert_near(scored / 500, expected, 0.03 * expected);
        done(&m);
    }
}

static void mqar_places_queries_by_their_weights(void **state) {
    (void)state;
    static const struct {
        const char *keys;
        int64_t context, pairs;
        double mean, first, last, slot_0, bound;
    } rows[] = {
        {"task.vocab_size=256", 8, 4, 7.14, 6.16, 8.13, 0.728, 0.5},
        {"task.vocab_size=8192 task.seq_len=512 task.num_kv_pairs=64", 128, 64, 61.4, 32.2, 80.3, 1, 4},
    };
    for (int r = 0; r < LENGTH(rows); r++) {
        enum { EXAMPLES = 3000 };
        Made m = make("mqar", rows[r].keys);
        double sum = 0, first = 0, last = 0, used = 0;
        for (int64_t i = 0; i < EXAMPLES; i++) {
            example(&m, "train", i);
            assert_int_equal(targets(&m), rows[r].pairs);
            for (int64_t t = 0; t < m.sizes.T; t++) {
                if (m.e.labels[t] == IGNORED_LABEL) continue;
                const int64_t slot = (t - rows[r].context) / 2;
                int64_t pair = 0;
                assert_int_equal(t % 2, 0);
                while (m.e.inputs[2 * pair] != m.e.inputs[t] && 2 * pair < rows[r].context) pair++;
                assert_int_equal(m.e.labels[t], m.e.inputs[2 * pair + 1]);
                sum += (double)slot / (double)rows[r].pairs;
                if (pair == 0) first += (double)slot;
                if (pair == rows[r].pairs - 1) last += (double)slot;
                used += slot == 0;
            }
        }
        assert_near(sum / EXAMPLES, rows[r].mean, rows[r].bound / 2);
        assert_near(first / EXAMPLES, rows[r].first, rows[r].bound);
        assert_near(last / EXAMPLES, rows[r].last, 1.4 * rows[r].bound);
        assert_near(used / EXAMPLES, rows[r].slot_0, 0.045);
        done(&m);
    }
}

/* An example of MQAR read as anyone would: which value a key was last shown with, by going through the context. A key
 * is `width` tokens; -1: it was not shown. */
static int32_t last_value(const Made *m, int64_t width, int64_t context, const int32_t *key) {
    int32_t value = -1;
    for (int64_t t = 0; t < context; t += width + 1)
        if (memcmp(&m->e.inputs[t], key, (size_t)width * sizeof *key) == 0) value = m->e.inputs[t + width];
    return value;
}

/* Every label is the last value of the key that ends there, at a place for queries, and each key is asked for once. */
static void check_answers(const Made *m, int64_t width, int64_t context, int64_t pairs) {
    assert_int_equal(targets(m), pairs);
    for (int64_t t = 0; t < m->sizes.T; t++) {
        if (m->e.labels[t] == IGNORED_LABEL) continue;
        const int64_t first = t - width + 1;
        assert_true(first >= context && (first - context) % (width + 1) == 0);
        assert_int_equal(m->e.labels[t], last_value(m, width, context, &m->e.inputs[first]));
        for (int64_t other = 0; other < t; other++)
            if (m->e.labels[other] != IGNORED_LABEL)
                assert_true(memcmp(&m->e.inputs[other - width + 1], &m->e.inputs[first], (size_t)width * 4) != 0);
    }
}

static void mqar_asks_for_the_value_after_updates(void **state) {
    (void)state;
    enum { PAIRS = 6, UPDATES = 4, PASSES = 2, V = 40, SHOWN = PAIRS + UPDATES, CONTEXT = 2 * SHOWN * PASSES };
    Made m =
        make("mqar", "task.vocab_size=40 task.num_kv_pairs=6 task.num_updates=4 task.num_passes=2 task.seq_len=64");
    bool first_stays = false, first_changes = false;
    for (int64_t i = 0; i < 300; i++) {
        example(&m, "train", i);
        check_answers(&m, 1, CONTEXT, PAIRS);
        const int32_t *x = m.e.inputs;
        assert_memory_equal(x, x + CONTEXT / PASSES, CONTEXT / PASSES * sizeof *x);
        for (int64_t shown = 0; shown < SHOWN; shown++) {
            int64_t times = 0, before = -1;
            assert_in_range(x[2 * shown], 1, V / 2 - 1);
            assert_in_range(x[2 * shown + 1], V / 2, V - 1);
            for (int64_t earlier = 0; earlier < shown; earlier++)
                if (x[2 * earlier] == x[2 * shown]) times++, before = earlier;
            assert_int_equal(times, shown >= PAIRS); /* a key gets another value once */
            if (times > 0) assert_true(before < PAIRS && x[2 * before + 1] != x[2 * shown + 1]);
        }
        const bool changes = last_value(&m, 1, CONTEXT, x) != x[1];
        first_changes |= changes;
        first_stays |= !changes;
    }
    assert_true(first_changes && first_stays); /* which keys get another value is drawn */
    done(&m);
}

/* The random tokens between are none of the example's keys and values, and every other token occurs. */
static void mqar_does_without_collisions(void **state) {
    (void)state;
    enum { PAIRS = 4, CONTEXT = 2 * PAIRS, V = 12 };
    Made m = make("mqar", "task.vocab_size=12 task.num_kv_pairs=4 task.seq_len=64 task.collisions=false");
    int64_t seen[V] = {0};
    for (int64_t i = 0; i < 200; i++) {
        example(&m, "train", i);
        for (int64_t t = CONTEXT; t < m.sizes.T; t++) {
            const int32_t token = m.e.inputs[t];
            bool shown = false;
            for (int64_t c = 0; c < CONTEXT; c++) shown |= m.e.inputs[c] == token;
            assert_true(shown == (m.e.labels[t] != IGNORED_LABEL));
            seen[token]++;
        }
    }
    for (int token = 0; token < V; token++) assert_true(seen[token] > (token < V / 2 ? 100 : 50));
    done(&m);
}

/* The value that a key had n values ago, by looking back; every key is shown once before any comes again. */
static void mqar_looks_back(void **state) {
    (void)state;
    enum { PAIRS = 5, V = 40 };
    for (int64_t n = 1; n <= 3; n++) {
        char keys[128];
        snprintf(keys, sizeof keys, "task.n_back=%d task.vocab_size=40 task.num_kv_pairs=5 task.seq_len=80", (int)n);
        Made m = make("mqar", keys);
        int64_t scored = 0, examples = 300;
        for (int64_t i = 0; i < examples; i++) {
            example(&m, "train", i);
            const int32_t *x = m.e.inputs;
            for (int64_t t = 0; t < m.sizes.T; t += 2) {
                int64_t times = 0, wanted = IGNORED_LABEL;
                for (int64_t before = t - 2; before >= 0; before -= 2)
                    if (x[before] == x[t] && ++times == n) wanted = x[before + 1];
                assert_int_equal(m.e.labels[t], wanted);
                assert_int_equal(m.e.labels[t + 1], IGNORED_LABEL);
                assert_in_range(x[t], 1, V / 2 - 1);
                assert_in_range(x[t + 1], V / 2, V - 1);
                if (t < 2 * PAIRS) assert_int_equal(times, 0);
            }
            scored += targets(&m);
        }
        if (n == 1) assert_int_equal(scored, examples * (40 - PAIRS));
        done(&m);
    }
}

/* Each first token is combined with each second one, in random order, and values do not repeat. */
static void mqar_combines_tokens_to_keys(void **state) {
    (void)state;
    enum { SIDE = 3, PAIRS = SIDE * SIDE, V = 60, CONTEXT = 3 * PAIRS };
    Made m = make("mqar", "task.vocab_size=60 task.num_kv_pairs=9 task.compositional=true task.seq_len=64");
    int64_t in_order = 0;
    for (int64_t i = 0; i < 300; i++) {
        example(&m, "test", i);
        check_answers(&m, 2, CONTEXT, PAIRS);
        const int32_t *x = m.e.inputs;
        for (int64_t a = 0; a < PAIRS; a++) {
            int64_t same[3] = {0};
            assert_in_range(x[3 * a], 1, V / 3 - 1);
            assert_in_range(x[3 * a + 1], V / 3, 2 * V / 3 - 1);
            assert_in_range(x[3 * a + 2], 2 * V / 3, V - 1);
            for (int64_t b = 0; b < PAIRS; b++)
                for (int token = 0; token < 3; token++) same[token] += x[3 * a + token] == x[3 * b + token];
            assert_int_equal(same[0], SIDE);
            assert_int_equal(same[1], SIDE);
            assert_int_equal(same[2], 1);
            assert_true(last_value(&m, 2, CONTEXT, &x[3 * a]) == x[3 * a + 2]); /* no key repeats */
        }
        in_order += x[0] == x[3] && x[0] == x[6];
    }
    assert_in_range(in_order, 1, 40); /* 300 * 2/8 * 1/7 = 11 */
    done(&m);
}

/* Training has none of the held out tokens, not even between queries; the split of unseen tokens has no others. */
static void mqar_holds_tokens_out(void **state) {
    (void)state;
    enum { V = 48, PAIRS = 4 };
    static const char *const forms[] = {"task.vocab_size=48 task.held_out=0.25",
                                        "task.vocab_size=48 task.held_out=0.25 task.compositional=true"};
    for (int f = 0; f < LENGTH(forms); f++) {
        const int64_t part = f == 0 ? V / 2 : V / 3, width = f + 1;
        char keys[128];
        snprintf(keys, sizeof keys, "%s task.unseen=true", forms[f]);
        for (int unseen = 0; unseen < 2; unseen++) {
            Made m = make("mqar", unseen ? keys : forms[f]);
            bool used[V] = {false};
            for (int64_t i = 0; i < 300; i++) {
                example(&m, unseen ? "unseen tokens" : "train", i);
                check_answers(&m, width, (width + 1) * PAIRS, PAIRS);
                for (int64_t t = 0; t < m.sizes.T; t++) used[m.e.inputs[t]] = true;
            }
            for (int64_t id = 0; id < V; id++) {
                const int64_t count = id < part ? part - 1 : part, place = id < part ? id - 1 : id % part;
                const bool held = place >= count - llround(0.25 * (double)count);
                assert_int_equal(used[id], id > 0 && held == unseen);
            }
            done(&m);
        }
    }
    void *config = NULL;
    assert_int_equal(read_keys(find("mqar"), "task.unseen=true", &config), USAGE);
    assert_int_equal(read_keys(find("mqar"), "task.held_out=0.9 task.unseen=false task.vocab_size=64", &config), USAGE);
}

static void mqar_lists_its_segments(void **state) {
    (void)state;
    Made m = make("mqar", "task.segments=[64x4x300,128x9x20] task.tests=[32x2,1024x200,64x4]");
    Segment s[SEGMENTS_MOST];
    assert_int_equal(m.task->segments(m.config, false, s), 2);
    assert_string_equal(s[1].name, "128x9");
    assert_string_equal(s[1].keys, "task.seq_len=128 task.num_kv_pairs=9");
    assert_int_equal(s[1].examples, 20);
    assert_int_equal(m.task->segments(m.config, true, s), 3);
    assert_string_equal(s[1].name, "1024x200");
    /* A segment's examples of training are not those of the test with its name. */
    int32_t trained[64];
    char split[64];
    task_training_split(&s[2], split);
    assert_string_equal(split, "train 64x4");
    example(&m, split, 0);
    memcpy(trained, m.e.inputs, sizeof trained);
    example(&m, s[2].name, 0);
    assert_memory_not_equal(trained, m.e.inputs, sizeof trained);
    done(&m);
}

static void flip_flop_reads_the_last_write(void **state) {
    (void)state;
    static const struct {
        const char *keys;
        double reads, bound;
    } rows[] = {{NULL, 26.4, 0.8}, {"task.p_ignore=0.98", 3.54, 0.3}, {"task.p_ignore=0.1", 115.3, 1.4}};
    for (int r = 0; r < LENGTH(rows); r++) {
        enum { EXAMPLES = 1000, WRITE = 0, READ = 1 };
        Made m = make("flip_flop", rows[r].keys);
        double reads = 0;
        for (int64_t i = 0; i < EXAMPLES; i++) {
            int32_t stored = -1;
            example(&m, "test", i);
            assert_int_equal(m.e.inputs[0], WRITE);
            assert_int_equal(m.e.inputs[m.sizes.T - 2], READ);
            for (int64_t t = 0; t < m.sizes.T; t += 2) {
                if (m.e.inputs[t] == WRITE) stored = m.e.inputs[t + 1];
                assert_int_equal(m.e.labels[t], m.e.inputs[t] == READ ? stored : IGNORED_LABEL);
            }
            reads += (double)targets(&m);
        }
        assert_near(reads / EXAMPLES, rows[r].reads, rows[r].bound);
        done(&m);
    }
}

/* A share of the training, and nothing of the tests, has as many reads as sparse and dense ones. */
static void flip_flop_trains_on_tails(void **state) {
    (void)state;
    enum { EXAMPLES = 2000 };
    Made m = make("flip_flop", "task.tails=0.2");
    for (int test = 0; test < 2; test++) {
        int64_t few = 0, many = 0;
        for (int64_t i = 0; i < EXAMPLES; i++) {
            example(&m, test ? "test" : "train", i);
            few += targets(&m) <= 8;
            many += targets(&m) >= 80;
        }
        assert_near((double)few / EXAMPLES, test ? 0 : 0.1, 0.02);
        assert_near((double)many / EXAMPLES, test ? 0 : 0.1, 0.02);
    }
    done(&m);
}

static void impossible_settings_are_refused(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"mqar", "task.seq_len=63"},
        {"mqar", "task.num_kv_pairs=17"},
        {"mqar", "task.vocab_size=8"},
        {"mqar", "task.num_updates=5"},
        {"mqar", "task.num_kv_pairs=5 task.compositional=true"},
        {"mqar", "task.vocab_size=9 task.compositional=true"},
        {"mqar", "task.n_back=16"},
        {"mqar", "task.collisions=false task.vocab_size=10 task.num_kv_pairs=4 task.num_updates=2"},
        {"mqar", "task.n_back=1 task.num_updates=2"},
        {"mqar", "task.n_back=1 task.num_passes=2"},
        {"mqar", "task.segments=[64x4]"},
        {"mqar", "task.segments=[64x4x10,64x4x20]"},
        {"mqar", "task.segments=[64x4x0]"},
        {"mqar", "task.segments=[64x40x10]"},
        {"mqar", "task.tests=[64x4x10]"},
        {"mqar", "task.tests=[63x4]"},
        {"mqar", "task.tests=[-64x4]"},
        {"mqar", "task.tests=[9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1,9x1]"},
        {"in_context_recall", "task.seq_len=127"},
        {"noisy_in_context_recall", "task.noise_vocab_size=30"},
        {"fuzzy_in_context_recall", "task.vocab_size=6"},
        {"selective_copying", "task.tokens_to_copy=128"},
        {"flip_flop", "task.seq_len=5"},
        {"flip_flop", "task.p_ignore=1.5"},
        {"flip_flop", "task.p_ignored=0.5"},
    };
    for (int r = 0; r < LENGTH(rows); r++) {
        void *config = NULL;
        assert_int_equal(read_keys(find(rows[r][0]), rows[r][1], &config), USAGE);
    }
}

static void draws_are_fair(void **state) {
    (void)state;
    enum { N = 6, DRAWS = 60000 };
    Draws draws = draws_begin(1, "test", 0);
    int64_t count[N] = {0}, order[N] = {0};
    for (int i = 0; i < DRAWS; i++) {
        int32_t three[3];
        count[draw_below(&draws, N)]++;
        draw_different(&draws, 10, N, 3, three);
        assert_true(three[0] != three[1] && three[1] != three[2] && three[0] != three[2]);
        for (int j = 0; j < 3; j++) assert_in_range(three[j], 10, 10 + N - 1);
        order[three[1] - 10]++;
    }
    for (int i = 0; i < N; i++) { /* five deviations of a binomial */
        assert_near((double)count[i], DRAWS / 6.0, 5 * sqrt(DRAWS * 5 / 36.0));
        assert_near((double)order[i], DRAWS / 6.0, 5 * sqrt(DRAWS * 5 / 36.0));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_fair),
        cmocka_unit_test(examples_are_in_range_and_repeat),
        cmocka_unit_test(recall_has_the_published_targets),
        cmocka_unit_test(recall_scores_keys_seen_before),
        cmocka_unit_test(fuzzy_recall_has_the_published_targets),
        cmocka_unit_test(fuzzy_recall_shows_most_probes),
        cmocka_unit_test(memorization_is_one_map),
        cmocka_unit_test(compression_asks_for_its_input),
        cmocka_unit_test(copying_repeats_the_data),
        cmocka_unit_test(recall_trains_on_answers_alone),
        cmocka_unit_test(mqar_places_queries_by_their_weights),
        cmocka_unit_test(mqar_asks_for_the_value_after_updates),
        cmocka_unit_test(mqar_looks_back),
        cmocka_unit_test(mqar_does_without_collisions),
        cmocka_unit_test(mqar_combines_tokens_to_keys),
        cmocka_unit_test(mqar_holds_tokens_out),
        cmocka_unit_test(mqar_lists_its_segments),
        cmocka_unit_test(flip_flop_reads_the_last_write),
        cmocka_unit_test(flip_flop_trains_on_tails),
        cmocka_unit_test(impossible_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
