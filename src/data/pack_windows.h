/* Packs short sequences into rows of equal length, several in a row. */
#ifndef FLAME_DATA_PACK_WINDOWS_H
#define FLAME_DATA_PACK_WINDOWS_H

#include <stdint.h>

/* The windows of row r are order[start[r] .. start[r + 1] - 1]. */
typedef struct PackedRows {
    int64_t rows;
    int64_t *start; /* [rows + 1] */
    int64_t *order; /* [count] */
} PackedRows;

/* length[w] is the length of window w, from 1 to row_length. Each row takes the longest window that is left, then the
 * longest that fits into the rest of the row, and so on. Windows of equal length are taken in order. The caller calls
 * packed_rows_free. */
PackedRows pack_windows(const int64_t *length, int64_t count, int64_t row_length);
void packed_rows_free(PackedRows *rows);

#endif
