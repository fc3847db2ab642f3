/* Arguments of the document_summary kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_BASIC_DOCUMENT_SUMMARY_DOCUMENT_SUMMARY_H
#define FLAME_KERNELS_BASIC_DOCUMENT_SUMMARY_DOCUMENT_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct DocumentSummaryArguments {
    const void *from;
    void *to;
    const int32_t *segment, *position;
    int64_t rows, T, cols, rows_per_program, from_stride, to_stride;
    bool mean; /* of the document's rows, else their sum */
} DocumentSummaryArguments;

#endif
