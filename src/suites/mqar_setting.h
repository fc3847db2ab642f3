/* A setting of MQAR (mqar.c), and what follows from it. */
#ifndef FLAME_SUITES_MQAR_SETTING_H
#define FLAME_SUITES_MQAR_SETTING_H

#include "suites/task.h"

typedef struct Mqar {
    int64_t vocab_size, seq_len, num_kv_pairs, num_passes, num_updates, n_back;
    double power_a, held_out;
    bool unseen, compositional, random_non_queries, collisions;
    StringList segments, tests;
} Mqar;

/* Tokens from `first` on. */
typedef struct Range {
    int64_t first, count;
} Range;

int64_t mqar_key_tokens(const Mqar *c);
/* Tokens of a key and its value, which are also those of a place for a query. */
int64_t mqar_pair_tokens(const Mqar *c);
int64_t mqar_shown_pairs(const Mqar *c);
/* Tokens before the queries. */
int64_t mqar_context(const Mqar *c);
/* Of the first token of a key, and with compositional keys of each of the two. */
Range mqar_keys_of(const Mqar *c, int token);
Range mqar_values_of(const Mqar *c);
/* How many first tokens, and second ones, the keys combine; 0 if that is no whole number. */
int64_t mqar_side(const Mqar *c);

enum { MQAR_PARTS = 3 };
/* The tokens that random ones are drawn from, as ranges, and how many ranges: all, or what is not held out. */
int mqar_parts(const Mqar *c, Range part[MQAR_PARTS]);
/* How many these are, and how many different ones an example's keys and values may be. */
int64_t mqar_fillers(const Mqar *c);
int64_t mqar_taken(const Mqar *c);

#endif
