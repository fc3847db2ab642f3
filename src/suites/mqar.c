/* MQAR, multi-query associative recall (Arora et al. 2023, Zoology, arXiv 2312.04927): pairs of a key and its value,
 * then each key once more somewhere among random tokens. There its value is to be predicted.
 *
 *   x       5 19 2 30 | 11 7 2 28 9 4 5 1        keys [1, V/2), values [V/2, V), two pairs
 *   scored  . .  . .  | .  . 30 . . . 19 .
 *
 * Place s = 1, 2, ... for a query has weight s^(power_a - 1), so that near places are likelier. The tokens in between
 * are random and may be keys or values by chance; with random_non_queries: false they are 0.
 *
 *   num_updates    after the pairs, this many keys are shown again with another value, which is then the one to predict
 *   held_out       this share of the keys and values is kept from training and used by the split of unseen tokens
 *   compositional  a key is two tokens, the combination of one of a few first tokens, [1, V/3), with one of as many
 *                  second tokens, [V/3, 2V/3); its value, from [2V/3, V), is to be predicted at the second token
 *   n_back         see mqar_repeated.h */
#include "suites/mqar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "suites/mqar_example.h"
#include "suites/mqar_setting.h"

static const Key mqar_keys[] = {
    KEY(Mqar, vocab_size, KEY_INTEGER, "8192", 4, 1 << 20, NULL,
        "tokens: the lower half keys, the upper values; with compositional a third each"),
    KEY(Mqar, seq_len, KEY_INTEGER, "64", 4, 1 << 20, NULL, "tokens"),
    KEY(Mqar, num_kv_pairs, KEY_INTEGER, "4", 1, 1 << 18, NULL, "pairs"),
    KEY(Mqar, num_passes, KEY_INTEGER, "1", 1, 64, NULL, "how often the pairs are shown; 2: read twice"),
    KEY(Mqar, num_updates, KEY_INTEGER, "0", 0, 1 << 18, NULL,
        "keys that get another value after the pairs; the last value counts"),
    KEY(Mqar, n_back, KEY_INTEGER, "0", 0, 1024, NULL,
        "n: keys get values all the time, and what a key had n values ago is to be named; 0: once"),
    KEY(Mqar, compositional, KEY_BOOLEAN, "false", 0, 0, NULL, "keys of two tokens, neither of which tells the value"),
    KEY(Mqar, held_out, KEY_REAL, "0", 0, 0.9, NULL,
        "share of the keys and of the values that training does not show; the split unseen tokens has only these"),
    KEY(Mqar, unseen, KEY_BOOLEAN, "false", 0, 0, NULL, "examples of what held_out keeps from training"),
    KEY(Mqar, power_a, KEY_REAL, "0.01", 0, 1, NULL, "1: queries anywhere alike; 0: near the pairs"),
    KEY(Mqar, random_non_queries, KEY_BOOLEAN, "true", 0, 0, NULL, "other places hold random tokens, else 0"),
    KEY(Mqar, collisions, KEY_BOOLEAN, "true", 0, 0, NULL,
        "the random tokens may be keys and values of the example, as published; false: they are none of these"),
    KEY(Mqar, segments, KEY_STRING_LIST, "[]", 0, 0, NULL,
        "LENGTHxPAIRSxEXAMPLES: a training of several, instead of seq_len, num_kv_pairs and training.examples"),
    KEY(Mqar, tests, KEY_STRING_LIST, "[]", 0, 0, NULL,
        "LENGTHxPAIRS: the tests instead of the task's own; test is their mean"),
};

/* The most pairs that are possible, since keys and values do not repeat. */
static int64_t most_pairs(const Mqar *c) {
    const int64_t first = mqar_keys_of(c, 0).count, values = mqar_values_of(c).count;
    const int64_t keys = c->compositional ? first * first : first;
    return keys < values ? keys : values;
}

/* `where` begins each message and names the setting. */
static Status check_keys(const Mqar *c, const char *where) {
    if (c->unseen && c->held_out == 0) {
        log_error("%stask.unseen needs task.held_out over 0: training shows all keys and values", where);
        return USAGE;
    }
    if (c->num_kv_pairs > most_pairs(c)) {
        log_error("%stask.num_kv_pairs must be at most %lld with task.vocab_size=%lld%s, as keys and values do not "
                  "repeat; it is %lld",
                  where, (long long)most_pairs(c), (long long)c->vocab_size,
                  c->held_out > 0 ? " and task.held_out" : "", (long long)c->num_kv_pairs);
        return USAGE;
    }
    if (c->compositional && mqar_side(c) == 0) {
        log_error("%stask.num_kv_pairs must be a square with task.compositional, all combinations of as many first and "
                  "second tokens; it is %lld",
                  where, (long long)c->num_kv_pairs);
        return USAGE;
    }
    if (!c->collisions && mqar_fillers(c) <= mqar_taken(c)) {
        log_error(
            "%stask.collisions: false needs over %lld tokens, those of an example's keys and values; there are %lld",
            where, (long long)mqar_taken(c), (long long)mqar_fillers(c));
        return USAGE;
    }
    if (c->num_updates <= c->num_kv_pairs) return OK;
    log_error("%stask.num_updates must be at most num_kv_pairs = %lld, as a key gets another value once; it is %lld",
              where, (long long)c->num_kv_pairs, (long long)c->num_updates);
    return USAGE;
}

/* The least seq_len. With n_back a key needs n values before it can be scored; one more pair then makes sure that a
 * position is scored. */
static int64_t least_of(const Mqar *c) {
    if (c->n_back > 0) return 2 * (c->num_kv_pairs * c->n_back + 1);
    return mqar_context(c) + mqar_pair_tokens(c) * c->num_kv_pairs;
}

static Status check_one(const Mqar *c, const char *where) {
    const int64_t least = least_of(c);
    if (c->n_back > 0 && (c->num_updates > 0 || c->num_passes > 1 || c->compositional)) {
        log_error("%stask.n_back cannot be combined with num_updates, num_passes or compositional", where);
        return USAGE;
    }
    if (!c->compositional && c->seq_len % 2 != 0) {
        log_error("%stask.seq_len must be even: queries lie at even places; it is %lld", where, (long long)c->seq_len);
        return USAGE;
    }
    if (c->seq_len < least && c->n_back > 0) {
        log_error("%stask.seq_len must be at least %lld for %lld pairs and n_back %lld; it is %lld", where,
                  (long long)least, (long long)c->num_kv_pairs, (long long)c->n_back, (long long)c->seq_len);
        return USAGE;
    }
    if (c->seq_len < least) {
        log_error("%stask.seq_len must be at least %lld for %lld pairs shown %lld times and asked for once; it is %lld",
                  where, (long long)least, (long long)mqar_shown_pairs(c), (long long)c->num_passes,
                  (long long)c->seq_len);
        return USAGE;
    }
    return check_keys(c, where);
}

/* Reads LENGTHxPAIRS for a test, or LENGTHxPAIRSxEXAMPLES for training. */
static bool read_segment(const char *text, bool test, Mqar *c, int64_t *examples) {
    long long number[3] = {0};
    int used = 0;
    const bool read = test ? sscanf(text, "%9lldx%9lld%n", &number[0], &number[1], &used) == 2
                           : sscanf(text, "%9lldx%9lldx%12lld%n", &number[0], &number[1], &number[2], &used) == 3;
    c->seq_len = number[0];
    c->num_kv_pairs = number[1];
    *examples = number[2];
    return read && !text[used] && strspn(text, "0123456789x") == strlen(text) && number[0] > 0 && number[1] > 0 &&
           (test || number[2] > 0);
}

static Status check_segment(const Mqar *c, bool test, const StringList *list, int64_t i) {
    Mqar one = *c, earlier = *c;
    int64_t examples;
    char where[96];
    snprintf(where, sizeof where, "task.%s: %.40s", test ? "tests" : "segments", list->item[i]);
    if (!read_segment(list->item[i], test, &one, &examples)) {
        log_error("%s is not %s, as in %s", where, test ? "LENGTHxPAIRS" : "LENGTHxPAIRSxEXAMPLES",
                  test ? "64x4" : "64x4x100000");
        return USAGE;
    }
    for (int64_t before = 0; before < i; before++) {
        read_segment(list->item[before], test, &earlier, &examples);
        if (earlier.seq_len != one.seq_len || earlier.num_kv_pairs != one.num_kv_pairs) continue;
        log_error("%s has the length and the pairs of another one", where);
        return USAGE;
    }
    strcat(where, ": ");
    return check_one(&one, where);
}

static Status check_list(const Mqar *c, bool test) {
    const StringList *list = test ? &c->tests : &c->segments;
    Status status = OK;
    if (list->count > SEGMENTS_MOST) {
        log_error("task.%s must be at most %d; they are %lld", test ? "tests" : "segments", SEGMENTS_MOST,
                  (long long)list->count);
        return USAGE;
    }
    for (int64_t i = 0; i < list->count && status == OK; i++) status = check_segment(c, test, list, i);
    return status;
}

static Status mqar_check(const void *config) {
    Status status = check_one(config, "");
    if (status == OK) status = check_list(config, false);
    return status == OK ? check_list(config, true) : status;
}

static int mqar_segments(const void *config, bool test, Segment segment[SEGMENTS_MOST]) {
    const Mqar *c = config;
    const StringList *list = test ? &c->tests : &c->segments;
    for (int64_t i = 0; i < list->count; i++) {
        Mqar one = *c;
        Segment *s = &segment[i];
        CHECK(read_segment(list->item[i], test, &one, &s->examples), "segment %s", list->item[i]);
        snprintf(s->name, sizeof s->name, "%" PRId64 "x%" PRId64, one.seq_len, one.num_kv_pairs);
        snprintf(s->keys, sizeof s->keys, "task.seq_len=%" PRId64 " task.num_kv_pairs=%" PRId64, one.seq_len,
                 one.num_kv_pairs);
    }
    return (int)list->count;
}

static TaskSizes mqar_sizes(const void *config) {
    const Mqar *c = config;
    return (TaskSizes){.T = c->seq_len, .tokens = c->vocab_size, .classes = c->vocab_size};
}

/* The accuracy of a guess among the values of the sequence. */
static double mqar_trivial(const void *config) { return 1.0 / (double)((const Mqar *)config)->num_kv_pairs; }

static const char *const mqar_sweep[] = {"task.seq_len=128 task.num_kv_pairs=8",
                                         "task.seq_len=256 task.num_kv_pairs=16 training.batch_size=256",
                                         "task.seq_len=512 task.num_kv_pairs=64 training.batch_size=128", NULL};

#define UNSEEN "unseen tokens"

static bool mqar_has_split(const void *config, const char *split) {
    return strcmp(split, UNSEEN) != 0 || ((const Mqar *)config)->held_out > 0;
}

static const Split mqar_splits[] = {{"length 2x", "task.seq_len=2x"},
                                    {"length 4x", "task.seq_len=4x"},
                                    {"length 8x", "task.seq_len=8x"},
                                    {"pairs 2x", "task.seq_len=2x task.num_kv_pairs=2x"},
                                    {"pairs 4x", "task.seq_len=4x task.num_kv_pairs=4x"},
                                    {UNSEEN, "task.unseen=true"},
                                    {NULL, NULL}};

#define BASED_PROTOCOL                                                                                                 \
    " task.random_non_queries=true training.mixed=false training.batch_size=256 training.epochs=32 "                   \
    "training.test_examples=1000 "                                                                                     \
    "training.lr=[1e-3,3.16e-3,1e-2,3.16e-2]"
#define VARIANT_SEGMENTS                                                                                               \
    " task.segments=[64x4x100000,128x9x20000,256x16x20000,256x25x20000,256x36x20000] "                                 \
    "task.tests=[64x4,64x9,128x16,256x36,512x64,1024x144,2048x256]" BASED_PROTOCOL
#define VARIANT_QUICK                                                                                                  \
    "training.mixed=true task.segments=[64x4x10000,128x9x5000,128x16x5000] task.tests=[64x4,64x9,128x16,256x36]"

static const Preset mqar_presets[] = {
    {"based", "several lengths and numbers of pairs in one training, and longer tests, arXiv 2402.18668",
     "task.segments=[64x4x100000,128x8x20000,256x16x20000,256x32x20000,256x64x20000] "
     "task.tests=[64x4,64x8,64x16,128x32,256x64,512x128,1024x256]" BASED_PROTOCOL,
     "training.mixed=true task.segments=[64x4x10000,128x8x5000,128x16x5000] "
     "task.tests=[64x4,64x8,64x16,128x32,256x64]"},
    {"forgetting", "the same, where four keys get another value", "task.num_updates=4" VARIANT_SEGMENTS, VARIANT_QUICK},
    {"compositional", "the same, with keys of two tokens", "task.compositional=true" VARIANT_SEGMENTS, VARIANT_QUICK},
    {"unseen_tokens", "half of the keys and values are in tests only; with fixed embeddings",
     "task.held_out=0.5 task.random_non_queries=true mixer.fixed_embeddings=true", "task.vocab_size=2048"},
    {"n_back", "keys get values all the time; name the last, or that of n values ago, arXiv 2505.16381",
     "task.n_back=1 task.seq_len=768 task.num_kv_pairs=32 mixer.base_conv=false mixer.heads=2 "
     "model.num_hidden_layers=2 model.hidden_size=256 training.splits=false training.batch_size=64",
     "task.seq_len=128 task.num_kv_pairs=8 mixer.heads=1 model.hidden_size=64"},
    {NULL, NULL, NULL, NULL},
};

const Task mqar = {.name = "mqar",
                   .meaning = "name the values of several keys, asked for anywhere later",
                   .form = TASK_CAUSAL,
                   .keys = mqar_keys,
                   .key_count = LENGTH(mqar_keys),
                   .config_size = sizeof(Mqar),
                   .protocol = "task.random_non_queries=false",
                   .quick = "task.random_non_queries=true",
                   .sweep = mqar_sweep,
                   .presets = mqar_presets,
                   .splits = mqar_splits,
                   .has_split = mqar_has_split,
                   .segments = mqar_segments,
                   .check = mqar_check,
                   .sizes = mqar_sizes,
                   .generate = mqar_generate,
                   .trivial = mqar_trivial};
