/* Labels, document numbers and positions of a window of consecutive tokens. */
#ifndef FLAME_DATA_PACK_H
#define FLAME_DATA_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/labels.h"

typedef struct PackOptions {
    int64_t seq_len;
    int64_t context_len;  /* with varlen: documents are cut into spans of at most this length; 0: not cut */
    bool varlen;          /* number the spans and restart positions in each; else segment 0, positions 0, 1, 2, ... */
    bool mask_boundaries; /* the label is IGNORED_LABEL where the next token belongs to another document */
} PackOptions;

/* Fills labels, segment and position, each [seq_len], for the window that starts at token `start` of a file. window:
 * its seq_len + 1 tokens. doc_ends: [documents], increasing, index of the first token after each document. segment and
 * position may be NULL. With varlen, two documents and context_len 4:
 *
 *   document  a a a a a a b b b
 *   segment   0 0 0 0 1 1 2 2 2
 *   position  0 1 2 3 0 1 0 1 2 */
void pack_window(const PackOptions *options, const uint64_t *doc_ends, int64_t documents, int64_t start,
                 const int32_t *window, int32_t *labels, int32_t *segment, int32_t *position);

#endif
