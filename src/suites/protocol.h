/* How a suite trains: the keys of the sections "training" and "mixer". */
#ifndef FLAME_SUITES_PROTOCOL_H
#define FLAME_SUITES_PROTOCOL_H

#include "base/check.h"
#include "config/keys.h"

typedef struct Protocol {
    int64_t examples;      /* number of different examples; 0: new ones in every step, or all of `data` */
    int64_t test_examples; /* examples of each test */
    int64_t batch_size;
    int64_t epochs, steps;     /* steps 0: the number of epochs decides */
    int64_t evaluate_every;    /* steps between tests; 0: each epoch */
    char *data;                /* published files of the task's examples; NULL: they are generated */
    int64_t data_seed;         /* seed of the examples, which are the same for all seeds and mixers */
    RealList lr, weight_decay; /* the grid: a run for each pair */
    double beta1, beta2, eps, max_norm;
    int64_t warmup_steps;
    char *decay;    /* constant | cosine | linear */
    bool mixed;     /* the batches of all segments come in random order */
    double stop_at; /* training ends when a test reaches this score; 0: never */
    bool splits;    /* also test on the task's splits */
    char *select;   /* which test's scores count: best (with the lowest loss) | last */
    char *dtype;    /* float32 | bfloat16 */
    int64_t heads;
    bool head_bias, bidirectional;
    bool fixed_embeddings;
    bool base_conv; /* a convolution of three tokens before the mixers */
} Protocol;

enum { PROTOCOL_TABLES = 2 };
/* The tables of keys, with values if `protocol` is not NULL. */
void protocol_tables(Protocol *protocol, KeyTable tables[PROTOCOL_TABLES]);

/* Reads the sections training and mixer of a tree of settings. The caller calls protocol_free, also on failure. USAGE
 * (logged) for an unknown key, a value out of range, or a training without an end. */
Status protocol_read(const ConfigValue *root, Protocol *protocol);
void protocol_free(Protocol *protocol);

/* The steps of a whole training, if nothing ends it earlier, and the steps between two tests. `epoch`: the steps of an
 * epoch. */
int64_t protocol_steps(const Protocol *protocol, int64_t epoch);
int64_t protocol_steps_between(const Protocol *protocol, int64_t epoch);

#endif
