/* What a window of consecutive tokens means to the model: targets, documents, positions. */
#ifndef FLAME_DATA_PACK_H
#define FLAME_DATA_PACK_H

#include <stdbool.h>
#include <stdint.h>

enum { IGNORED_LABEL = -100 }; /* of a position that has nothing to predict */

typedef struct PackOptions {
    int64_t seq_len;
    int64_t context_len; /* with varlen: longest span; 0: documents are not cut */
    bool varlen;
    bool mask_boundaries;
} PackOptions;

/* Labels, segments and positions [seq_len] of the window that starts at token `start` of a file.
 * window: its seq_len + 1 tokens. doc_ends: [documents], strictly increasing, the first token after each document.
 * segment and position may be NULL. */
void pack_window(const PackOptions *options, const uint64_t *doc_ends, int64_t documents, int64_t start,
                 const int32_t *window, int32_t *labels, int32_t *segment, int32_t *position);

#endif
