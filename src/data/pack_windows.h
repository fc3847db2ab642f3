/* Packs short sequences into rows of equal length, several to a row. */
#ifndef FLAME_DATA_PACK_WINDOWS_H
#define FLAME_DATA_PACK_WINDOWS_H

#include <stdint.h>

/* The windows of row r are order[start[r] .. start[r + 1] - 1]. */
typedef struct PackedRows {
    int64_t rows;
    int64_t *start; /* [rows + 1] */
    int64_t *order; /* [count] */
} PackedRows;

/* length[w]: of window w, 1 .. row_length. Each row takes the longest window that is left, then the longest that fits
 * into what it has left, and so on; windows of equal length in their order. */
PackedRows pack_windows(const int64_t *length, int64_t count, int64_t row_length);
void packed_rows_free(PackedRows *rows);

#endif
