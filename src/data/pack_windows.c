#include "data/pack_windows.h"

#include <stdlib.h>

#include "base/check.h"

static int64_t *allocate(int64_t count) {
    int64_t *array = calloc((size_t)count, sizeof *array);
    CHECK_MEMORY(array, "no memory to pack windows");
    return array;
}

/* Makes a list of the windows of each length: first[l] is the first window of length l, and next[w] the one after w;
 * -1: none. */
static void sort_by_length(const int64_t *length, int64_t count, int64_t row_length, int64_t *first, int64_t *next) {
    for (int64_t l = 0; l <= row_length; l++) first[l] = -1;
    for (int64_t w = count - 1; w >= 0; w--) {
        CHECK(length[w] >= 1 && length[w] <= row_length, "a window of %lld tokens in rows of %lld",
              (long long)length[w], (long long)row_length);
        next[w] = first[length[w]];
        first[length[w]] = w;
    }
}

PackedRows pack_windows(const int64_t *length, int64_t count, int64_t row_length) {
    PackedRows packed = {.start = allocate(count + 1), .order = allocate(count)};
    int64_t *first = allocate(row_length + 1), *next = allocate(count), placed = 0, longest = row_length;
    sort_by_length(length, count, row_length, first, next);
    while (placed < count) {
        while (first[longest] < 0) longest--;
        packed.start[packed.rows++] = placed;
        for (int64_t left = row_length, l = longest; l > 0; l = l < left ? l : left) {
            if (first[l] < 0) {
                l--;
                continue;
            }
            packed.order[placed++] = first[l];
            first[l] = next[first[l]];
            left -= l;
        }
    }
    packed.start[packed.rows] = count;
    free(first);
    free(next);
    return packed;
}

void packed_rows_free(PackedRows *packed) {
    free(packed->start);
    free(packed->order);
    *packed = (PackedRows){0};
}
