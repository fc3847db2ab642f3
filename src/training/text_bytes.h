/* How many bytes of text the targets of an evaluation stand for, so that losses can be told per byte, which compares
 * models of different tokenizers.
 *
 * The tokens of a document in a window are decoded as one text, without special tokens. A target's bytes are those that
 * are certain with it and were not before: of a character of several tokens the last one has all bytes. What the
 * window's or the document's first token stands for is no target's, nor is the part of a character that the window's
 * end cuts. */
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
