#include "data/pack.h"

#include <string.h>

/* The number of documents that end at or before `token`, which is the index of the document that contains it. */
static int64_t ends_up_to(const uint64_t *doc_ends, int64_t documents, int64_t token) {
    int64_t low = 0, high = documents;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (doc_ends[middle] <= (uint64_t)token)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A span starts at the beginning of each document, and within a document every context_len tokens. The first token of
 * the window always starts a span, since the model does not see the tokens before it. */
static void number_spans(const PackOptions *options, const uint64_t *doc_ends, int64_t documents, int64_t start,
                         int32_t *segment, int32_t *position) {
    int64_t document = ends_up_to(doc_ends, documents, start);
    int32_t span = 0;
    int64_t span_start = 0;
    for (int64_t t = 0; t < options->seq_len; t++) {
        bool next_document = document < documents && doc_ends[document] == (uint64_t)(start + t);
        bool full = options->context_len > 0 && t - span_start == options->context_len;
        if (next_document) document++;
        if (next_document || full) {
            span++;
            span_start = t;
        }
        if (segment) segment[t] = span;
        if (position) position[t] = (int32_t)(t - span_start);
    }
}

void pack_window(const PackOptions *options, const uint64_t *doc_ends, int64_t documents, int64_t start,
                 const int32_t *window, int32_t *labels, int32_t *segment, int32_t *position) {
    int64_t seq_len = options->seq_len;
    memcpy(labels, window + 1, (size_t)seq_len * sizeof *labels);
    if (options->mask_boundaries) {
        int64_t document = ends_up_to(doc_ends, documents, start);
        for (; document < documents && doc_ends[document] <= (uint64_t)(start + seq_len); document++)
            labels[(int64_t)doc_ends[document] - start - 1] = IGNORED_LABEL;
    }
    if (options->varlen) {
        number_spans(options, doc_ends, documents, start, segment, position);
        return;
    }
    if (segment) memset(segment, 0, (size_t)seq_len * sizeof *segment);
    for (int64_t t = 0; position && t < seq_len; t++) position[t] = (int32_t)t;
}
