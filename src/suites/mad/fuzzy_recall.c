/* MAD's fuzzy in-context recall: in-context recall with keys and values of one to three tokens (motifs) without
 * separators between them. The tokens of a motif differ from each other; in a test all keys have three.
 *
 *   x       . . 1 4 2 9 11 0 5 3 8 1 4 2 9        pads V - 1 on the left; keys [0, n/2), values [n/2, n), n = V - 1
 *   scored  . . . . . . .  . . . . . . 9 11       a value that its key had before, each token from the one before it
 *
 * The key that ends the sequence (the probe) is also put at a random place in it. Sometimes the sequence ends before
 * that place, so that the probe has never been seen. Training predicts every next token, pads included, or with `clean`
 * only what tests predict. */
#include "suites/mad/mad_folder.h"
#include "suites/mad/mad.h"

#include <string.h>

#include "base/log.h"

typedef struct Fuzzy {
    int64_t vocab_size, seq_len, k_motif_size, v_motif_size;
    bool clean;
} Fuzzy;

enum { MOTIF_MOST = 8 };

static const Key fuzzy_keys[] = {
    KEY(Fuzzy, vocab_size, KEY_INTEGER, "16", 4, 1 << 16, NULL, "tokens, the last of them the pad"),
    KEY(Fuzzy, seq_len, KEY_INTEGER, "128", 8, 1 << 16, NULL, "tokens that the model reads"),
    KEY(Fuzzy, k_motif_size, KEY_INTEGER, "3", 1, MOTIF_MOST, NULL, "most tokens of a key"),
    KEY(Fuzzy, v_motif_size, KEY_INTEGER, "3", 1, MOTIF_MOST, NULL, "most tokens of a value"),
    KEY(Fuzzy, clean, KEY_BOOLEAN, "false", 0, 0, NULL, "train on the values of keys seen before only, as in tests"),
};

typedef struct Motif {
    int64_t size;
    int32_t token[MOTIF_MOST];
} Motif;

typedef struct KnownPair {
    Motif key, value;
    bool seen; /* it occurs in the sequence already */
} KnownPair;

static int64_t key_tokens(const Fuzzy *c) { return (c->vocab_size - 1) / 2; }
static int64_t value_tokens(const Fuzzy *c) { return c->vocab_size - 1 - key_tokens(c); }

static Status fuzzy_check(const void *config) {
    const Fuzzy *c = config;
    if (key_tokens(c) < c->k_motif_size || value_tokens(c) < c->v_motif_size) {
        log_error("task.vocab_size %lld has %lld tokens for keys and %lld for values: too few for motifs of %lld and "
                  "%lld different ones",
                  (long long)c->vocab_size, (long long)key_tokens(c), (long long)value_tokens(c),
                  (long long)c->k_motif_size, (long long)c->v_motif_size);
        return USAGE;
    }
    if (c->seq_len > 2 * (c->k_motif_size + c->v_motif_size)) return OK;
    log_error("task.seq_len must be more than twice the largest pair, %lld; it is %lld",
              (long long)(2 * (c->k_motif_size + c->v_motif_size)), (long long)c->seq_len);
    return USAGE;
}

static TaskSizes fuzzy_sizes(const void *config) {
    const Fuzzy *c = config;
    return (TaskSizes){.T = c->seq_len, .tokens = c->vocab_size, .classes = c->vocab_size};
}

static double fuzzy_trivial(const void *config) { return mad_guess(value_tokens(config)); }

static Motif draw_key(const Fuzzy *c, Draws *draws, int64_t size) {
    Motif motif = {.size = size};
    draw_different(draws, 0, key_tokens(c), size, motif.token);
    return motif;
}

static Motif draw_value(const Fuzzy *c, Draws *draws, int64_t size) {
    Motif motif = {.size = size};
    draw_different(draws, key_tokens(c), value_tokens(c), size, motif.token);
    return motif;
}

static bool same_motif(const Motif *a, const Motif *b) {
    return a->size == b->size && memcmp(a->token, b->token, (size_t)a->size * sizeof a->token[0]) == 0;
}

/* The tokens of a sequence that is being written. The label of each is the token itself if it is scored. */
typedef struct Written {
    int32_t *token, *scored;
    int64_t length;
} Written;

static void write_motif(Written *w, const Motif *motif, bool scored) {
    for (int64_t i = 0; i < motif->size; i++) {
        w->token[w->length] = motif->token[i];
        w->scored[w->length++] = scored ? motif->token[i] : IGNORED_LABEL;
    }
}

static void write_pair(Written *w, KnownPair *pair) {
    write_motif(w, &pair->key, false);
    write_motif(w, &pair->value, pair->seen);
    pair->seen = true;
}

static KnownPair *find_pair(KnownPair *pair, int64_t count, const Motif *key) {
    for (int64_t i = 0; i < count; i++)
        if (same_motif(&pair[i].key, key)) return &pair[i];
    return NULL;
}

static int64_t draw_key_size(const Fuzzy *c, Draws *draws, bool test) {
    return test ? c->k_motif_size : draw_between(draws, 1, c->k_motif_size);
}

/* Writes pairs until there is room for the probe only. pair[0] is the probe. The sizes of a pair are drawn before it is
 * known whether the probe takes its place, as in the published generator. */
static void write_pairs(const Fuzzy *c, Draws *draws, bool test, Written *w, KnownPair *pair) {
    const KnownPair *probe = &pair[0];
    const int64_t size = probe->key.size + probe->value.size;
    const int64_t room = c->seq_len - size - c->k_motif_size - c->v_motif_size,
                  place = draw_below(draws, c->seq_len - 2 * size);
    int64_t pairs = 1;
    while (w->length < room) {
        const int64_t key_size = draw_key_size(c, draws, test), value_size = draw_between(draws, 1, c->v_motif_size);
        KnownPair *next = &pair[0];
        if (w->length < place || probe->seen) {
            const Motif key = draw_key(c, draws, key_size);
            next = find_pair(pair, pairs, &key);
            if (!next) {
                next = &pair[pairs++];
                *next = (KnownPair){.key = key, .value = draw_value(c, draws, value_size)};
            }
        }
        write_pair(w, next);
    }
}

static void write_probe(Written *w, const KnownPair *probe) {
    write_motif(w, &probe->key, false);
    write_motif(w, &probe->value, true);
}

/* Aligns the sequence so that it ends at T, with pads before it. Each label is the token after its position. */
static void align(const Fuzzy *c, const Written *w, bool answers, Example e) {
    const int32_t pad = (int32_t)(c->vocab_size - 1);
    const int64_t pads = c->seq_len + 1 - w->length;
    for (int64_t t = 0; t <= c->seq_len; t++) {
        const int32_t token = t < pads ? pad : w->token[t - pads];
        if (t < c->seq_len) e.inputs[t] = token;
        if (t > 0) e.labels[t - 1] = !answers ? token : t < pads ? IGNORED_LABEL : w->scored[t - pads];
    }
}

static void fuzzy_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    const Fuzzy *c = config;
    const int64_t most = c->seq_len + 1;
    KnownPair *pair = malloc((size_t)most * sizeof *pair);
    Written w = {mad_numbers(most, 0), mad_numbers(most, 0), 0};
    CHECK_MEMORY(pair, "out of memory");
    const int64_t key_size = draw_key_size(c, draws, test), value_size = draw_between(draws, 1, c->v_motif_size);
    pair[0] = (KnownPair){.key = draw_key(c, draws, key_size), .value = draw_value(c, draws, value_size)};
    write_pairs(c, draws, test, &w, pair);
    write_probe(&w, &pair[0]);
    align(c, &w, test || c->clean, e);
    free(pair);
    free(w.token);
    free(w.scored);
}

static const Split fuzzy_splits[] = LONGER_SPLITS;

static const char *const fuzzy_sweep[] = {VOCABULARIES_32_64_128, LENGTHS_256_512_1024, FEWER_EXAMPLES, NULL};

const Task fuzzy_in_context_recall = {.name = "fuzzy_in_context_recall",
                                      .meaning = "name the value of a key, where both are several tokens",
                                      .form = TASK_CAUSAL,
                                      .keys = fuzzy_keys,
                                      .key_count = LENGTH(fuzzy_keys),
                                      .config_size = sizeof(Fuzzy),
                                      .sweep = fuzzy_sweep,
                                      .splits = fuzzy_splits,
                                      .files = &mad_files,
                                      .check = fuzzy_check,
                                      .sizes = fuzzy_sizes,
                                      .generate = fuzzy_generate,
                                      .trivial = fuzzy_trivial};
