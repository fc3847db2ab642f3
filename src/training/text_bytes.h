/* Counts the bytes of text that the targets of an evaluation stand for, so that losses can be given per byte. That
 * makes models with different tokenizers comparable.
 *
 * The tokens of a document in a window are decoded as one text, without special tokens. A target's bytes are those that
 * become certain with it: if several tokens make a character, the last one has all its bytes. The text of the first
 * token of a window or document belongs to no target, nor does a part of a character that is cut off at the end of the
 * window. */
#ifndef FLAME_TRAINING_TEXT_BYTES_H
#define FLAME_TRAINING_TEXT_BYTES_H

#include "text/tokenizer.h"
#include "training/runner.h"

typedef struct TextBytes TextBytes;

/* For micro-batches of B windows of T tokens. The tokenizer must outlive it. */
TextBytes *text_bytes_create(const Tokenizer *tokenizer, int64_t B, int64_t T);
void text_bytes_free(TextBytes *text_bytes);

/* [B * T]: the bytes of each target, 0 where there is no label. Valid until the next call. */
const int32_t *text_bytes_of(TextBytes *text_bytes, HostBatch batch);

#endif
