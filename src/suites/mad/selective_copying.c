/* MAD's selective copying: n data tokens between blanks, then a token that asks for them in order:
 *
 *   x       6 6 6 6 4 6 0 6 1 6 1 7 6 6 6 6        blank V - 2 = 6, copy V - 1 = 7
 *   scored  . . . . . . . . . . . . 4 0 1 1
 *
 * Each blank before `copy` is put in front of a randomly chosen data token, so the last data token is right before
 * `copy`. */
#include "suites/mad/mad_folder.h"
#include "suites/mad/mad.h"

#include "base/log.h"

typedef struct Copying {
    int64_t vocab_size, seq_len, tokens_to_copy;
} Copying;

static const Key copying_keys[] = {
    KEY(Copying, vocab_size, KEY_INTEGER, "16", 3, 1 << 20, NULL, "tokens: data, the blank and the one that asks"),
    KEY(Copying, seq_len, KEY_INTEGER, "256", 3, 1 << 20, NULL, "tokens, the answer included"),
    KEY(Copying, tokens_to_copy, KEY_INTEGER, "16", 1, 1 << 19, NULL, "data tokens"),
};

static Status copying_check(const void *config) {
    const Copying *c = config;
    if (c->seq_len >= 2 * c->tokens_to_copy + 1) return OK;
    log_error("task.seq_len must be at least 2 task.tokens_to_copy + 1 = %lld; it is %lld",
              (long long)(2 * c->tokens_to_copy + 1), (long long)c->seq_len);
    return USAGE;
}

static TaskSizes copying_sizes(const void *config) {
    const Copying *c = config;
    return (TaskSizes){.T = c->seq_len, .tokens = c->vocab_size, .classes = c->vocab_size};
}

static double copying_trivial(const void *config) { return mad_guess(((const Copying *)config)->vocab_size - 2); }

static void copying_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Copying *c = config;
    const int32_t blank = (int32_t)(c->vocab_size - 2), copy = (int32_t)(c->vocab_size - 1);
    const int64_t n = c->tokens_to_copy, answer = c->seq_len - n;
    int32_t *blanks_before = mad_numbers(n, 0);
    for (int64_t i = 0; i < answer - 1 - n; i++) blanks_before[draw_below(draws, n)]++;
    int64_t t = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int32_t b = 0; b < blanks_before[i]; b++) e.inputs[t++] = blank;
        e.labels[answer + i] = e.inputs[t++] = (int32_t)draw_below(draws, blank);
    }
    e.inputs[t++] = copy;
    for (; t < c->seq_len; t++) e.inputs[t] = blank;
    for (t = 0; t < answer; t++) e.labels[t] = IGNORED_LABEL;
    free(blanks_before);
}

static const Split copying_splits[] = LONGER_SPLITS;

static const char *const copying_sweep[] = {
    VOCABULARIES_32_64_128,   "task.seq_len=512",       "task.seq_len=1024",      FEWER_EXAMPLES,
    "task.tokens_to_copy=32", "task.tokens_to_copy=64", "task.tokens_to_copy=96", NULL};

const Task selective_copying = {.name = "selective_copying",
                                .meaning = "repeat data tokens in order, without the blanks between them",
                                .form = TASK_CAUSAL,
                                .keys = copying_keys,
                                .key_count = LENGTH(copying_keys),
                                .config_size = sizeof(Copying),
                                .quick = "task.seq_len=64 task.tokens_to_copy=8 training.epochs=4",
                                .sweep = copying_sweep,
                                .splits = copying_splits,
                                .files = &mad_files,
                                .check = copying_check,
                                .sizes = copying_sizes,
                                .generate = copying_generate,
                                .trivial = copying_trivial};
