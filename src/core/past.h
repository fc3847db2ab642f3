/* Arguments of the past_tokens kernel, shared by host and device. */
#ifndef FLAME_CORE_PAST_H
#define FLAME_CORE_PAST_H

#include <stdint.h>

enum { PAST_TOKENS = 1024 }; /* of a program */

/* The documents of T new tokens of each of B sequences and of `past` tokens before them: those tokens that the position
 * of the first new one reaches back to are of its document, earlier ones of another, -1. Programs: x over blocks of
 * past + T tokens, y over sequences. */
typedef struct PastTokensArguments {
    const int32_t *segment, *position;     /* [B, T] */
    int32_t *all_segments, *all_positions; /* [B, past + T] */
    int64_t T, past;
} PastTokensArguments;

#endif
