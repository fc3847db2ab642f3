/* The linear recurrence of single channels (HGRN, arXiv 2311.04823); equations in diagonal_scan.h. A thread walks down
 * its own columns, so that no sync() is needed. */
#include "tile/tile.h"
#include "kernels/recurrences/diagonal_scan/diagonal_scan.h"
#include "kernels/recurrences/scan_part.h"

/* On a GPU, AT_ONCE rows are loaded together. A CPU prefetches by itself, and jumping between rows on several pages
 * would slow it down. */
enum { COLS = DIAGONAL_SCAN_COLS, ROWS = DIAGONAL_SCAN_ROWS, AT_ONCE = ON_GPU ? 8 : 1 };

/* Programs: x over blocks of columns, y over parts, z over sequences. */
DEVICE ScanPart scan_part(const DiagonalScanArguments *a, int64_t block, int64_t index, int64_t sequence) {
    const ScanPart part = SCAN_PART(a, block, index, sequence);
    return part;
}
DEVICE int64_t columns_of(ScanPart part) { return part.cols < COLS ? part.cols : COLS; }
DEVICE int64_t first_row(const DiagonalScanArguments *a, ScanPart part) {
    return part.sequence * a->T + part.first_chunk * ROWS;
}
DEVICE int64_t end_row(const DiagonalScanArguments *a, ScanPart part) {
    return part.sequence * a->T + (part.end_chunk < a->chunks ? part.end_chunk * ROWS : a->T);
}

/* The part's columns of an array, from row `row` on. */
#define ROWS_OF(part, array, stride, row) ((array) + (row) * (stride) + (part).first_col)

/* Loads row `row` of an array, or 0 if the array is NULL; and stores it. */
DEVICE void load_columns(float *values, const float *array, int64_t stride, ScanPart part, int64_t row) {
    const float *from = array ? ROWS_OF(part, array, stride, row) : NULL;
    EACH (c, columns_of(part)) values[c] = from ? from[c] : 0.0f;
}
DEVICE void store_columns(const float *values, float *array, int64_t stride, ScanPart part, int64_t row) {
    float *to = ROWS_OF(part, array, stride, row);
    EACH (c, columns_of(part)) to[c] = values[c];
}
DEVICE void fill_columns(float *values, float value) {
    EACH (c, COLS) values[c] = value;
}

/* Takes a state through part `other`. */
DEVICE void cross_part(float *state, const DiagonalScanArguments *a, ScanPart part, int64_t other) {
    const int64_t row = part.sequence * a->parts + other;
    const float *decay = ROWS_OF(part, a->part_decay, a->cols, row),
                *added = ROWS_OF(part, a->part_state, a->cols, row);
    EACH (c, columns_of(part)) state[c] = decay[c] * state[c] + added[c];
}

/* 0 if a document begins in the row, else 1. The first row of a sequence goes on from `initial`. */
DEVICE float stays_in(const DiagonalScanArguments *a, ScanPart part, int64_t row) {
    return row == part.sequence * a->T || a->segment[row] == a->segment[row - 1] ? 1.0f : 0.0f;
}

/* Takes the state through `count` rows, a constant of at most AT_ONCE. Without `decay`, stores h of the rows; with it,
 * only multiplies it by the rows' decays. */
DEVICE void scan_rows(float *state, float *decay, const DiagonalScanArguments *a, ScanPart part, int64_t row,
                      const int count) {
    const element *x = ROWS_OF(part, (const element *)a->x, a->x_stride, row);
    const float *g = ROWS_OF(part, a->g, a->g_stride, row);
    element *h = ROWS_OF(part, (element *)a->h, a->h_stride, row);
    float stays[AT_ONCE];
    TILE_UNROLL for (int t = 0; t < count; t++) stays[t] = stays_in(a, part, row + t);
    EACH (c, columns_of(part)) {
        float now = state[c], product = decay ? decay[c] : 1.0f, added[AT_ONCE], gate[AT_ONCE];
        TILE_UNROLL for (int t = 0; t < count; t++) {
            added[t] = to_float(x[c + t * a->x_stride]);
            gate[t] = g[c + t * a->g_stride];
        }
        TILE_UNROLL for (int t = 0; t < count; t++) {
            const float kept = stays[t] * exp_f(gate[t]);
            now = kept * now + added[t];
            if (decay)
                product *= kept;
            else
                h[c + t * a->h_stride] = to_element(now);
        }
        state[c] = now;
        if (decay) decay[c] = product;
    }
}

DEVICE void scan_all_rows(float *state, float *decay, const DiagonalScanArguments *a, ScanPart part) {
    int64_t row = first_row(a, part), end = end_row(a, part);
    for (; row + AT_ONCE <= end; row += AT_ONCE) scan_rows(state, decay, a, part, row, AT_ONCE);
    for (; row < end; row++) scan_rows(state, decay, a, part, row, 1);
}

/* Computes the state that a part leaves if it begins with 0, and the product of its decays. Not for the last part. */
KERNEL(diagonal_scan_part, DiagonalScanArguments) {
    VECTOR(state, COLS);
    VECTOR(decay, COLS);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    fill_columns(state, 0);
    fill_columns(decay, 1);
    scan_all_rows(state, decay, &a, part);
    store_columns(state, a.part_state, a.cols, part, part.part);
    store_columns(decay, a.part_decay, a.cols, part, part.part);
}

KERNEL(diagonal_scan, DiagonalScanArguments) {
    VECTOR(state, COLS);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    load_columns(state, a.initial, a.initial_stride, part, part.sequence);
    for (int64_t other = 0; other < part.index; other++) cross_part(state, &a, part, other);
    scan_all_rows(state, NULL, &a, part);
    if (a.final && part.end_chunk == a.chunks) store_columns(state, a.final, a.cols, part, part.sequence);
}

/* The same backward: takes `carried` through the `count` rows from `row` on, from the last to the first. None of them
 * is the first of its sequence, which has another state before it. */
DEVICE void scan_rows_back(float *carried, float *decay, const DiagonalScanArguments *a, ScanPart part, int64_t row,
                           const int count) {
    const element *before = ROWS_OF(part, (const element *)a->h, a->h_stride, row - 1);
    const element *dh = ROWS_OF(part, (const element *)a->dh, a->h_stride, row);
    const float *g = ROWS_OF(part, a->g, a->g_stride, row);
    element *dx = ROWS_OF(part, (element *)a->dx, a->x_stride, row);
    float *dg = ROWS_OF(part, a->dg, a->g_stride, row);
    float stays[AT_ONCE];
    TILE_UNROLL for (int t = 0; t < count; t++) stays[t] = stays_in(a, part, row - t);
    EACH (c, columns_of(part)) {
        float now = carried[c], product = decay ? decay[c] : 1.0f, state[AT_ONCE], added[AT_ONCE], gate[AT_ONCE];
        TILE_UNROLL for (int t = 0; t < count; t++) {
            added[t] = to_float(dh[c - t * a->h_stride]);
            gate[t] = g[c - t * a->g_stride];
            state[t] = decay ? 0.0f : to_float(before[c - t * a->h_stride]);
        }
        TILE_UNROLL for (int t = 0; t < count; t++) {
            const float kept = stays[t] * exp_f(gate[t]), sum = added[t] + now;
            now = kept * sum;
            if (decay) {
                product *= kept;
            } else {
                dx[c - t * a->x_stride] = to_element(sum);
                dg[c - t * a->g_stride] = state[t] * now;
            }
        }
        carried[c] = now;
        if (decay) decay[c] = product;
    }
}

DEVICE void scan_all_rows_back(float *carried, float *decay, const DiagonalScanArguments *a, ScanPart part) {
    const int64_t first = first_row(a, part) + (part.index == 0);
    int64_t row = end_row(a, part) - 1;
    for (; row - AT_ONCE + 1 >= first; row -= AT_ONCE) scan_rows_back(carried, decay, a, part, row, AT_ONCE);
    for (; row >= first; row--) scan_rows_back(carried, decay, a, part, row, 1);
}

DEVICE void first_row_back(float *carried, const DiagonalScanArguments *a, ScanPart part) {
    const int64_t row = part.sequence * a->T;
    const float *initial = a->initial ? ROWS_OF(part, a->initial, a->initial_stride, part.sequence) : NULL;
    const element *dh = ROWS_OF(part, (const element *)a->dh, a->h_stride, row);
    const float *g = ROWS_OF(part, a->g, a->g_stride, row);
    element *dx = ROWS_OF(part, (element *)a->dx, a->x_stride, row);
    float *dg = ROWS_OF(part, a->dg, a->g_stride, row);
    EACH (c, columns_of(part)) {
        const float sum = to_float(dh[c]) + carried[c];
        carried[c] = exp_f(g[c]) * sum;
        dx[c] = to_element(sum);
        dg[c] = initial ? initial[c] * carried[c] : 0.0f;
    }
    if (a->dinitial) store_columns(carried, a->dinitial, a->initial_stride, part, part.sequence);
}

/* Computes the gradient that a part passes to the rows before it if it gets 0 from those after it, and the product of
 * its decays. Not for the first part. */
KERNEL(diagonal_scan_dpart, DiagonalScanArguments) {
    VECTOR(carried, COLS);
    VECTOR(decay, COLS);
    const ScanPart part = scan_part(&a, program_x, program_y + 1, program_z);
    fill_columns(carried, 0);
    fill_columns(decay, 1);
    scan_all_rows_back(carried, decay, &a, part);
    store_columns(carried, a.part_state, a.cols, part, part.part);
    store_columns(decay, a.part_decay, a.cols, part, part.part);
}

KERNEL(diagonal_scan_backward, DiagonalScanArguments) {
    VECTOR(carried, COLS);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    load_columns(carried, a.dfinal, a.cols, part, part.sequence);
    for (int64_t other = a.parts - 1; other > part.index; other--) cross_part(carried, &a, part, other);
    scan_all_rows_back(carried, NULL, &a, part);
    if (part.index == 0) first_row_back(carried, &a, part);
}
