/* Arguments of the past_tokens kernel, shared by host and device. */
#ifndef FLAME_CORE_PAST_H
#define FLAME_CORE_PAST_H

#include <stdint.h>

enum { PAST_TOKENS = 1024 }; /* tokens of one program */

/* Finds document numbers and positions of each sequence's T new tokens and of the `past` tokens before them. The
 * position of the first new token says how many tokens before it belong to its document; earlier ones get the document
 * number -1. Programs: x over blocks of PAST_TOKENS of the past + T tokens, y over sequences. */
typedef struct PastTokensArguments {
    const int32_t *segment, *position;     /* [B, T] */
    int32_t *all_segments, *all_positions; /* [B, past + T] */
    int64_t T, past;
} PastTokensArguments;

#endif
