/* What the ops of a model remember from one call of it to the next, so that a sequence goes on where the call before
 * ended: states of recurrences, and the last rows of what convolutions and attention read again. Each op of each layer
 * has slots of its own, which it asks for in the same order in every call. All sequences of a batch have had the same
 * number of tokens. The memory is the device's. */
#ifndef FLAME_CORE_CARRIED_H
#define FLAME_CORE_CARRIED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"

typedef struct Carried Carried;

/* The last rows of one input, a ring for each of the B sequences: row n of a sequence is at place n % capacity. */
typedef struct CarriedRows {
    char *data; /* [B, capacity, row_bytes] */
    int64_t capacity, row_bytes;
} CarriedRows;

/* For B sequences of at most `tokens` tokens each. */
Carried *carried_create(const Device *device, int64_t B, int64_t layers, int64_t tokens);
void carried_destroy(Carried *carried);
/* Of all slots so far. */
int64_t carried_bytes(const Carried *carried);

/* The driver's part: before each layer of a call, and after the last one, which brought T tokens of each sequence. */
void carried_begin_layer(Carried *carried, int64_t layer);
void carried_advance(Carried *carried, int64_t T);
/* Forgets the states of a sequence whose next token begins a document. Rows need not be forgotten: the position of a
 * token in its document says how many of them it sees. */
void carried_restart(Carried *carried, int64_t sequence);

/* The ops' part. Tokens of each sequence before this call. */
int64_t carried_tokens(const Carried *carried);
/* And of each sequence at most, those of all calls. */
int64_t carried_limit(const Carried *carried);
/* [B, bytes]: a state of `bytes` bytes for each sequence, all of them `nothing` until an op has stored one. */
void *carried_state(Carried *carried, int64_t bytes, int nothing);
/* Room for the last `rows` rows, or for all tokens if these are fewer. */
const CarriedRows *carried_rows(Carried *carried, int64_t rows, int64_t row_bytes);
/* Copies the last `count` of them, oldest first, to the beginnings of the B parts of `to`, part_bytes apart. */
void carried_read(const Carried *carried, const CarriedRows *rows, int64_t count, char *to, int64_t part_bytes);
/* Puts T new rows of each sequence behind them: row t of sequence b lies at from + (b T + t) row_stride. */
void carried_write(const Carried *carried, const CarriedRows *rows, const char *from, int64_t row_stride, int64_t T);

#endif
