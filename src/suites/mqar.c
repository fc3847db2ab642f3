/* MQAR, multi-query associative recall (Arora et al. 2023, Zoology, arXiv 2312.04927): pairs of a key and its value,
 * then each key once more somewhere among random tokens; there its value is to be named.
 *
 *   x       5 19 2 30 | 11 7 2 28 9 4 5 1        keys [1, V/2), values [V/2, V), two pairs
 *   scored  . .  . .  | .  . 30 . . . 19 .
 *
 * Slot s = 1, 2, ... of the places for queries has weight s^(power_a - 1), so that near places are likelier. Tokens
 * between are random, and may be keys or values by chance, or 0 with random_non_queries: false.
 *
 * num_updates: after the pairs, so many keys are shown again with another value, and that one is to be named.
 * held_out: training has part of the keys and values, and the split of unseen tokens the others.
 * compositional: a key is two tokens, all combinations of a few first ones, [1, V/3), and as many second ones,
 * [V/3, 2V/3); its value, of [2V/3, V), is to be named at the second. */
#include "suites/mqar.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

typedef struct Mqar {
    int64_t vocab_size, seq_len, num_kv_pairs, num_passes, num_updates;
    double power_a, held_out;
    bool unseen, compositional, random_non_queries;
    StringList segments, tests;
} Mqar;

static const Key mqar_keys[] = {
    KEY(Mqar, vocab_size, KEY_INTEGER, "8192", 4, 1 << 20, NULL,
        "tokens: the lower half keys, the upper values; with compositional a third each"),
    KEY(Mqar, seq_len, KEY_INTEGER, "64", 4, 1 << 20, NULL, "tokens"),
    KEY(Mqar, num_kv_pairs, KEY_INTEGER, "4", 1, 1 << 18, NULL, "pairs"),
    KEY(Mqar, num_passes, KEY_INTEGER, "1", 1, 64, NULL, "how often the pairs are shown; 2: read twice"),
    KEY(Mqar, num_updates, KEY_INTEGER, "0", 0, 1 << 18, NULL,
        "keys that get another value after the pairs; the last value counts"),
    KEY(Mqar, compositional, KEY_BOOLEAN, "false", 0, 0, NULL, "keys of two tokens, neither of which tells the value"),
    KEY(Mqar, held_out, KEY_REAL, "0", 0, 0.9, NULL,
        "share of the keys and of the values that training does not show; the split unseen tokens has only these"),
    KEY(Mqar, unseen, KEY_BOOLEAN, "false", 0, 0, NULL, "examples of what held_out keeps from training"),
    KEY(Mqar, power_a, KEY_REAL, "0.01", 0, 1, NULL, "1: queries anywhere alike; 0: near the pairs"),
    KEY(Mqar, random_non_queries, KEY_BOOLEAN, "true", 0, 0, NULL, "other places hold random tokens, else 0"),
    KEY(Mqar, segments, KEY_STRING_LIST, "[]", 0, 0, NULL,
        "LENGTHxPAIRSxEXAMPLES: a training of several, instead of seq_len, num_kv_pairs and training.examples"),
    KEY(Mqar, tests, KEY_STRING_LIST, "[]", 0, 0, NULL,
        "LENGTHxPAIRS: the tests instead of the task's own; test is their mean"),
};

static int64_t key_tokens(const Mqar *c) { return c->compositional ? 2 : 1; }

/* Tokens of a key and its value, which are also those of a place for a query. */
static int64_t pair_tokens(const Mqar *c) { return key_tokens(c) + 1; }
static int64_t shown_pairs(const Mqar *c) { return c->num_kv_pairs + c->num_updates; }
static int64_t context_of(const Mqar *c) { return pair_tokens(c) * shown_pairs(c) * c->num_passes; }

/* Tokens from `first` on. */
typedef struct Range {
    int64_t first, count;
} Range;

/* What training shows of them, or does not show: the last ones. */
static Range part_of(const Mqar *c, Range all) {
    const int64_t held = llround(c->held_out * (double)all.count);
    return c->unseen ? (Range){all.first + all.count - held, held} : (Range){all.first, all.count - held};
}

/* Of the first token of a key, and with compositional keys of each of the two. */
static Range key_range_of(const Mqar *c, int token) {
    const int64_t part = c->vocab_size / (c->compositional ? 3 : 2);
    return part_of(c, token == 0 ? (Range){1, part - 1} : (Range){part, part});
}

static Range value_range_of(const Mqar *c) {
    const int64_t first = c->compositional ? 2 * (c->vocab_size / 3) : c->vocab_size / 2;
    return part_of(c, (Range){first, c->vocab_size - first});
}

/* How many first tokens, and second ones, the keys combine; 0 if that is no whole number. */
static int64_t side_of(const Mqar *c) {
    const int64_t side = llround(sqrt((double)c->num_kv_pairs));
    return side * side == c->num_kv_pairs ? side : 0;
}

/* Keys and values do not repeat. */
static int64_t most_pairs(const Mqar *c) {
    const int64_t first = key_range_of(c, 0).count, values = value_range_of(c).count;
    const int64_t keys = c->compositional ? first * first : first;
    return keys < values ? keys : values;
}

/* where: what names the setting, in front of its keys. */
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
    if (c->compositional && side_of(c) == 0) {
        log_error("%stask.num_kv_pairs must be a square with task.compositional, all combinations of as many first and "
                  "second tokens; it is %lld",
                  where, (long long)c->num_kv_pairs);
        return USAGE;
    }
    if (c->num_updates <= c->num_kv_pairs) return OK;
    log_error("%stask.num_updates must be at most num_kv_pairs = %lld, as a key gets another value once; it is %lld",
              where, (long long)c->num_kv_pairs, (long long)c->num_updates);
    return USAGE;
}

static Status check_one(const Mqar *c, const char *where) {
    const int64_t least = context_of(c) + pair_tokens(c) * c->num_kv_pairs;
    if (!c->compositional && c->seq_len % 2 != 0) {
        log_error("%stask.seq_len must be even: queries lie at even places; it is %lld", where, (long long)c->seq_len);
        return USAGE;
    }
    if (c->seq_len < least) {
        log_error("%stask.seq_len must be at least %lld for %lld pairs shown %lld times and asked for once; it is %lld",
                  where, (long long)least, (long long)shown_pairs(c), (long long)c->num_passes, (long long)c->seq_len);
        return USAGE;
    }
    return check_keys(c, where);
}

/* Reads LENGTHxPAIRS, and xEXAMPLES of a training. */
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

/* A guess among the values of the sequence. */
static double mqar_trivial(const void *config) { return 1.0 / (double)((const Mqar *)config)->num_kv_pairs; }

typedef struct Place {
    double priority;
    int64_t slot;
} Place;

static int by_priority(const void *a, const void *b) {
    const Place *x = a, *y = b;
    return x->priority > y->priority ? -1 : x->priority < y->priority;
}

/* The slots by weight, without repeats: in the order of ln(weight) plus Gumbel noise (Efraimidis and Spirakis, 2006).
 * The caller frees them. */
static Place *draw_places(const Mqar *c, Draws *draws, int64_t slots) {
    Place *place = malloc((size_t)slots * sizeof *place);
    CHECK(place, "out of memory");
    for (int64_t s = 0; s < slots; s++)
        place[s] = (Place){(c->power_a - 1) * log((double)s + 1) - log(-log(draw_unit(draws) + 0x1p-54)), s};
    qsort(place, (size_t)slots, sizeof *place, by_priority);
    return place;
}

/* What an example shows, and asks for. */
typedef struct Pairs {
    int32_t *key;    /* [num_kv_pairs, key_tokens] */
    int32_t *value;  /* [num_kv_pairs]: the last one of each key */
    int32_t *number; /* [shown_pairs]: the pair that is shown */
    int32_t *shown;  /* [shown_pairs]: its value there */
} Pairs;

static Pairs pairs_begin(const Mqar *c) {
    const int64_t pairs = c->num_kv_pairs, shown = shown_pairs(c);
    int32_t *memory = malloc((size_t)((key_tokens(c) + 1) * pairs + 2 * shown) * sizeof *memory);
    CHECK(memory, "out of memory");
    int32_t *value = memory + key_tokens(c) * pairs;
    return (Pairs){memory, value, value + pairs, value + pairs + shown};
}

/* All combinations of a few first and second tokens, in random order. */
static void draw_compositional_keys(const Mqar *c, Draws *draws, int32_t *key) {
    const int64_t side = side_of(c);
    const Range range[2] = {key_range_of(c, 0), key_range_of(c, 1)};
    int32_t *order = malloc((size_t)(c->num_kv_pairs + 2 * side) * sizeof *order);
    CHECK(order, "out of memory");
    int32_t *token[2] = {order + c->num_kv_pairs, order + c->num_kv_pairs + side};
    for (int i = 0; i < 2; i++) draw_different(draws, range[i].first, range[i].count, side, token[i]);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) order[i] = (int32_t)i;
    draw_order(draws, order, c->num_kv_pairs);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) {
        key[2 * i] = token[0][order[i] / side];
        key[2 * i + 1] = token[1][order[i] % side];
    }
    free(order);
}

static void draw_updates(const Mqar *c, Draws *draws, Pairs *p) {
    const Range values = value_range_of(c);
    int32_t *number = p->number + c->num_kv_pairs, *shown = p->shown + c->num_kv_pairs;
    draw_different(draws, 0, c->num_kv_pairs, c->num_updates, number);
    for (int64_t i = 0; i < c->num_updates; i++) {
        int32_t *value = &p->value[number[i]];
        const int32_t other = (int32_t)draw_between(draws, values.first, values.first + values.count - 2);
        *value = shown[i] = other + (other >= *value); /* any but that one */
    }
}

static void draw_pairs(const Mqar *c, Draws *draws, Pairs *p) {
    const Range keys = key_range_of(c, 0), values = value_range_of(c);
    if (c->compositional)
        draw_compositional_keys(c, draws, p->key);
    else
        draw_different(draws, keys.first, keys.count, c->num_kv_pairs, p->key);
    draw_different(draws, values.first, values.count, c->num_kv_pairs, p->value);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) {
        p->number[i] = (int32_t)i;
        p->shown[i] = p->value[i];
    }
    if (c->num_updates > 0) draw_updates(c, draws, p);
}

static void write_key(const Mqar *c, const Pairs *p, int64_t pair, int32_t *inputs) {
    memcpy(inputs, p->key + pair * key_tokens(c), (size_t)key_tokens(c) * sizeof *inputs);
}

static void write_context(const Mqar *c, const Pairs *p, int32_t *inputs) {
    for (int64_t i = 0; i < shown_pairs(c) * c->num_passes; i++, inputs += pair_tokens(c)) {
        const int64_t shown = i % shown_pairs(c);
        write_key(c, p, p->number[shown], inputs);
        inputs[key_tokens(c)] = p->shown[shown];
    }
}

/* Also between queries, training shows nothing of what is held out. */
static int32_t draw_filler(const Mqar *c, Draws *draws) {
    if (c->held_out == 0) return (int32_t)draw_below(draws, c->vocab_size);
    const Range part[] = {key_range_of(c, 0), value_range_of(c), key_range_of(c, 1)};
    const int parts = c->compositional ? 3 : 2;
    int64_t all = 0, drawn;
    int i = 0;
    for (int p = 0; p < parts; p++) all += part[p].count;
    for (drawn = draw_below(draws, all); drawn >= part[i].count; i++) drawn -= part[i].count;
    return (int32_t)(part[i].first + drawn);
}

static void mqar_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Mqar *c = config;
    const int64_t context = context_of(c);
    Pairs pairs = pairs_begin(c);
    draw_pairs(c, draws, &pairs);
    Place *place = draw_places(c, draws, (c->seq_len - context) / pair_tokens(c));
    for (int64_t t = 0; t < c->seq_len; t++) {
        e.labels[t] = IGNORED_LABEL;
        e.inputs[t] = t >= context && c->random_non_queries ? draw_filler(c, draws) : 0;
    }
    write_context(c, &pairs, e.inputs);
    for (int64_t i = 0; i < c->num_kv_pairs; i++) {
        const int64_t t = context + pair_tokens(c) * place[i].slot;
        write_key(c, &pairs, i, e.inputs + t);
        e.labels[t + key_tokens(c) - 1] = pairs.value[i];
    }
    free(place);
    free(pairs.key);
}

static const char *const mqar_sweep[] = {"task.seq_len=128 task.num_kv_pairs=8",
                                         "task.seq_len=256 task.num_kv_pairs=16",
                                         "task.seq_len=512 task.num_kv_pairs=64", NULL};

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
    " training.mixed=false training.batch_size=256 training.epochs=32 training.test_examples=1000 "                    \
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
     "task.held_out=0.5 mixer.fixed_embeddings=true", "task.vocab_size=2048"},
    {NULL, NULL, NULL, NULL},
};

const Task mqar = {.name = "mqar",
                   .meaning = "name the values of several keys, asked for anywhere later",
                   .form = TASK_CAUSAL,
                   .keys = mqar_keys,
                   .key_count = LENGTH(mqar_keys),
                   .config_size = sizeof(Mqar),
                   .sweep = mqar_sweep,
                   .presets = mqar_presets,
                   .splits = mqar_splits,
                   .has_split = mqar_has_split,
                   .segments = mqar_segments,
                   .check = mqar_check,
                   .sizes = mqar_sizes,
                   .generate = mqar_generate,
                   .trivial = mqar_trivial};
