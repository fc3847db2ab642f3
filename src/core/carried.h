/* What the ops of a model remember from one call of the model to the next, so that each sequence continues where the
 * call before ended: the states of recurrences, and the last rows of inputs that convolutions and attention read again.
 * Each op of each layer has slots of its own and asks for them in the same order in every call. All sequences of a
 * batch are equally long. The memory is on the device. */
#ifndef FLAME_CORE_CARRIED_H
#define FLAME_CORE_CARRIED_H

#include <stdint.h>

#include "core/device.h"

typedef struct Carried Carried;

/* The last rows of one input, in a ring buffer for each of the B sequences: row n of a sequence is at place n %
 * capacity. */
typedef struct CarriedRows {
    char *data; /* [B, capacity, row_bytes] */
    int64_t capacity, row_bytes;
} CarriedRows;

/* Creates the memory of B sequences of at most `tokens` tokens each. Slots get their memory when an op first asks for
 * them. */
Carried *carried_create(const Device *device, int64_t B, int64_t layers, int64_t tokens);
void carried_destroy(Carried *carried);
/* Bytes of all slots so far. */
int64_t carried_bytes(const Carried *carried);

/* For the code that runs the model: call carried_begin_layer before each layer of a call, and carried_advance after the
 * last layer of a call with T tokens of each sequence. */
void carried_begin_layer(Carried *carried, int64_t layer);
void carried_advance(Carried *carried, int64_t T);
/* Resets the states of a sequence whose next token begins a document. Rows stay, because a token's position in its
 * document says how many of them it sees. */
void carried_restart(Carried *carried, int64_t sequence);

/* For ops: how many tokens of each sequence earlier calls have read. */
int64_t carried_tokens(const Carried *carried);
/* The most tokens of each sequence over all calls. */
int64_t carried_limit(const Carried *carried);
/* [B, bytes]: a state of `bytes` bytes for each sequence. Every byte is `nothing` until an op has stored a state. */
void *carried_state(Carried *carried, int64_t bytes, int nothing);
/* Room for the last `rows` rows of each sequence, or for carried_limit rows if that is less. */
const CarriedRows *carried_rows(Carried *carried, int64_t rows, int64_t row_bytes);
/* Copies the last `count` rows of each sequence, oldest first, to the beginnings of the B parts of `to`, which are
 * part_bytes apart. */
void carried_read(const Carried *carried, const CarriedRows *rows, int64_t count, char *to, int64_t part_bytes);
/* Appends T new rows to each sequence: row t of sequence b lies at from + (b T + t) row_stride. Strides are in
 * bytes. */
void carried_write(const Carried *carried, const CarriedRows *rows, const char *from, int64_t row_stride, int64_t T);

#endif
