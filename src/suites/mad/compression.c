/* MAD's compression: random tokens and a last token, V - 1, whose output vector must encode all of them:
 *
 *   x       3 1 4 1 5 9 2 7        the last is V - 1
 *   scored  3 1 4 1 5 9 2 7        decoded from the output at the last position alone */
#include "suites/mad/mad_folder.h"
#include "suites/mad/mad.h"

typedef struct Compression {
    int64_t vocab_size, seq_len;
} Compression;

static const Key compression_keys[] = {
    KEY(Compression, vocab_size, KEY_INTEGER, "16", 2, 1 << 20, NULL, "tokens, the last of them the one at the end"),
    KEY(Compression, seq_len, KEY_INTEGER, "32", 2, 1 << 20, NULL, "tokens, all but the last one random"),
};

static Status compression_check(const void *config) {
    (void)config;
    return OK;
}

static TaskSizes compression_sizes(const void *config) {
    const Compression *c = config;
    return (TaskSizes){.T = c->seq_len, .tokens = c->vocab_size, .classes = c->vocab_size};
}

/* Averaged over the classes: the class of the last token, which is always right, and one class that is always
 * guessed. */
static double compression_trivial(const void *config) {
    return 2 * mad_guess(((const Compression *)config)->vocab_size);
}

static void compression_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Compression *c = config;
    for (int64_t t = 0; t < c->seq_len; t++) {
        const bool last = t == c->seq_len - 1;
        e.inputs[t] = (int32_t)(last ? c->vocab_size - 1 : draw_below(draws, c->vocab_size - 1));
        e.labels[t] = e.inputs[t];
    }
}

static const Split compression_splits[] = LONGER_SPLITS;

static const char *const compression_sweep[] = {VOCABULARIES_32_64_128, "task.seq_len=64", "task.seq_len=128",
                                                "task.seq_len=256",     FEWER_EXAMPLES,    NULL};

const Task compression = {.name = "compression",
                          .meaning = "put all tokens into one vector",
                          .form = TASK_AUTOENCODER,
                          .keys = compression_keys,
                          .key_count = LENGTH(compression_keys),
                          .config_size = sizeof(Compression),
                          .quick = "training.epochs=4",
                          .sweep = compression_sweep,
                          .splits = compression_splits,
                          .files = &mad_files,
                          .check = compression_check,
                          .sizes = compression_sizes,
                          .generate = compression_generate,
                          .trivial = compression_trivial};
