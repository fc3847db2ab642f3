/* A setting of MQAR (mqar.c), and the numbers that follow from it. */
#ifndef FLAME_SUITES_MQAR_SETTING_H
#define FLAME_SUITES_MQAR_SETTING_H

#include "suites/task.h"

typedef struct Mqar {
    int64_t vocab_size, seq_len, num_kv_pairs, num_passes, num_updates, n_back;
    double power_a, held_out;
    bool unseen, compositional, random_non_queries, collisions;
    StringList segments, tests;
} Mqar;

/* `count` tokens from `first` on. */
typedef struct Range {
    int64_t first, count;
} Range;

int64_t mqar_key_tokens(const Mqar *c);
/* Number of tokens of a key and its value. A place for a query has as many. */
int64_t mqar_pair_tokens(const Mqar *c);
int64_t mqar_shown_pairs(const Mqar *c);
/* Number of tokens before the queries. */
int64_t mqar_context(const Mqar *c);
/* The range of a key's first token (0) or, with compositional keys, also of its second (1). */
Range mqar_keys_of(const Mqar *c, int token);
Range mqar_values_of(const Mqar *c);
/* How many first tokens, and as many second tokens, the keys combine; 0 if num_kv_pairs is not a square number. */
int64_t mqar_side(const Mqar *c);

enum { MQAR_PARTS = 3 };
/* The tokens from which random tokens are drawn: all, or those that are not held out. Returns the number of ranges. */
int mqar_parts(const Mqar *c, Range part[MQAR_PARTS]);
/* mqar_fillers: how many these tokens are. mqar_taken: how many different ones among them the keys and values of an
 * example may be. */
int64_t mqar_fillers(const Mqar *c);
int64_t mqar_taken(const Mqar *c);

#endif
