#include "suites/protocol.h"

#include "base/log.h"
#include "suites/settings.h"

static const Key training_keys[] = {
    KEY(Protocol, examples, KEY_INTEGER, "12800", 0, 1e12, NULL,
        "different examples; 0: new ones in every step, or all of training.data"),
    KEY(Protocol, test_examples, KEY_INTEGER, "1280", 1, 1e9, NULL, "examples of each test"),
    KEY(Protocol, batch_size, KEY_INTEGER, "128", 1, 1 << 20, NULL, "examples of a step"),
    KEY(Protocol, epochs, KEY_INTEGER, "200", 0, 1e9, NULL, "rounds over the examples, each in another order"),
    KEY(Protocol, steps, KEY_INTEGER, "0", 0, 1e12, NULL, "steps; 0: by epochs"),
    KEY(Protocol, mixed, KEY_BOOLEAN, "true", 0, 0, NULL,
        "segments: their batches in random order; false: one segment after another"),
    KEY(Protocol, evaluate_every, KEY_INTEGER, "0", 0, 1e12, NULL, "steps between tests; 0: each epoch"),
    KEY(Protocol, data, KEY_STRING | KEY_NULLABLE, "null", 0, 0, NULL,
        "published files instead of generated examples: a folder of MAD, or of flip-flop's texts"),
    KEY(Protocol, data_seed, KEY_INTEGER, "12345", 0, 1e15, NULL, "of the examples, the same in all runs"),
    KEY(Protocol, lr, KEY_REAL_LIST, "[1e-3]", 1e-9, 10, NULL, "learning rates: a run for each"),
    KEY(Protocol, weight_decay, KEY_REAL_LIST, "[0.1]", 0, 10, NULL, "weight decays: a run for each"),
    KEY(Protocol, beta1, KEY_REAL, "0.9", 0, 0.999999, NULL, "of AdamW"),
    KEY(Protocol, beta2, KEY_REAL, "0.999", 0, 0.999999, NULL, "of AdamW"),
    KEY(Protocol, eps, KEY_REAL, "1e-8", 0, 1, NULL, "of AdamW"),
    KEY(Protocol, max_norm, KEY_REAL, "0", 0, 1e9, NULL, "the gradient is clipped to this norm; 0: not clipped"),
    KEY(Protocol, warmup_steps, KEY_INTEGER, "0", 0, 1e9, NULL, "steps in which the learning rate rises"),
    KEY(Protocol, decay, KEY_CHOICE, "constant", 0, 0, "constant|cosine|linear", "how the learning rate falls"),
    KEY(Protocol, stop_at, KEY_REAL, "0", 0, 1, NULL, "the accuracy of the test that ends a training; 0: none"),
    KEY(Protocol, splits, KEY_BOOLEAN, "true", 0, 0, NULL,
        "also test on the task's splits: at other lengths, values and so on"),
    KEY(Protocol, select, KEY_CHOICE, "last", 0, 0, "best|last",
        "the scores that count: of the test with the lowest loss, or of the last one"),
    KEY(Protocol, dtype, KEY_CHOICE, "float32", 0, 0, "float32|bfloat16", "type of products and activations"),
};

static const Key mixer_keys[] = {
    KEY(Protocol, heads, KEY_INTEGER, "1", 1, 4096, NULL, "heads; each has hidden_size / heads columns"),
    KEY(Protocol, head_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "answers have a bias"),
    KEY(Protocol, bidirectional, KEY_BOOLEAN, "false", 0, 0, NULL,
        "mixers run in both directions, with the same weights (sets whose elements have answers are then read once, "
        "else twice)"),
    KEY(Protocol, fixed_embeddings, KEY_BOOLEAN, "false", 0, 0, NULL,
        "embeddings, which are also the head, stay random; with others, tokens that training does not show cannot be "
        "told apart"),
    KEY(Protocol, base_conv, KEY_BOOLEAN, "false", 0, 0, NULL,
        "a block with a gated convolution of three tokens before the mixers; not with compression"),
};

void protocol_tables(Protocol *protocol, KeyTable tables[PROTOCOL_TABLES]) {
    tables[0] = (KeyTable){training_keys, LENGTH(training_keys), protocol, "training"};
    tables[1] = (KeyTable){mixer_keys, LENGTH(mixer_keys), protocol, "mixer"};
}

static Status refuse(const char *what) {
    log_error("%s", what);
    return USAGE;
}

Status protocol_read(const ConfigValue *root, Protocol *protocol) {
    KeyTable tables[PROTOCOL_TABLES];
    *protocol = (Protocol){0};
    protocol_tables(protocol, tables);
    keys_defaults(tables, LENGTH(tables));
    Status status = OK;
    for (int i = 0; i < LENGTH(tables) && status == OK; i++)
        status = keys_apply(&tables[i], 1, settings_section(root, tables[i].section), tables[i].section, NULL);
    if (status != OK) return status;
    if (protocol->lr.count == 0 || protocol->weight_decay.count == 0)
        return refuse("training.lr and training.weight_decay must have at least one value each");
    if (protocol->examples == 0 && protocol->steps == 0)
        return refuse("training.examples: 0 has no epochs: set training.steps");
    if (protocol->steps == 0 && protocol->epochs == 0)
        return refuse("set training.epochs or training.steps: one of them must be over 0");
    if (protocol->examples == 0 && protocol->evaluate_every == 0)
        return refuse("training.examples: 0 has no epochs: set training.evaluate_every");
    return OK;
}

void protocol_free(Protocol *protocol) {
    KeyTable tables[PROTOCOL_TABLES];
    protocol_tables(protocol, tables);
    keys_free(tables, LENGTH(tables));
}

int64_t protocol_steps(const Protocol *p, int64_t epoch) { return p->steps > 0 ? p->steps : p->epochs * epoch; }

int64_t protocol_steps_between(const Protocol *p, int64_t epoch) {
    return p->evaluate_every > 0 ? p->evaluate_every : epoch;
}
