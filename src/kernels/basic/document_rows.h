/* For kernels: where the rows of a document are. */
#ifndef FLAME_KERNELS_BASIC_DOCUMENT_ROWS_H
#define FLAME_KERNELS_BASIC_DOCUMENT_ROWS_H

/* The row of the last token of row's document: numbers of documents never decrease within a sequence. */
DEVICE int64_t last_of_document(const int32_t *segment, int64_t T, int64_t row) {
    int64_t inside = row, behind = (row / T + 1) * T;
    while (behind - inside > 1) {
        const int64_t middle = (inside + behind) / 2;
        if (segment[middle] == segment[row])
            inside = middle;
        else
            behind = middle;
    }
    return inside;
}

#endif
