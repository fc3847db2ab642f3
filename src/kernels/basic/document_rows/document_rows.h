/* Arguments of the kernels that move rows within documents, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_BASIC_DOCUMENT_ROWS_DOCUMENT_ROWS_H
#define FLAME_KERNELS_BASIC_DOCUMENT_ROWS_DOCUMENT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct DocumentRowsArguments {
    const void *from;
    void *to;
    const int32_t *segment, *position;
    int64_t rows, T, cols, rows_per_program, from_stride, to_stride;
    bool mean; /* document_sum: the mean of the document's rows; otherwise their sum */
} DocumentRowsArguments;

#endif
