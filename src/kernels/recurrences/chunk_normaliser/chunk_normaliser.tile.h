/* The normaliser of linear attention: its output for values that are all 1. Sequences are taken in chunks of 64 rows:
 * first the sum that each chunk adds, then the sum before each chunk, then the rows. A thread goes down a column of K.
 * All sums are fp32.
 *
 * With x' the gradient of x, and n'_t the gradient of n_t from row t on:
 *
 *   n'_t = scale z'_t q_t + e^g_t+1 n'_t+1            q'_t = scale z'_t n_t            k'_t = e^s_t n'_t
 *   s'_t = k_t . k'_t                                 g'_t = e^g_t n_t-1 . n'_t = z'_t z_t - s'_t + g'_t+1
 *
 * g' is thus a sum from the end of the chunk, where it begins with n . n' of the chunk's last row, counting later rows
 * only. Over a whole document the sum is 0, so it may begin after the end of the document. At the first row of a
 * document the factor is 0 instead of e^g. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_normaliser/chunk_normaliser.h"
#include "tile/rows.h"

enum { ROWS = CHUNK_ROWS, COLS = CHUNK_NORMALISER_COLS, CARRY_ROWS = 32 /* chunks that the carry takes together */ };

/* e^g (decay_of) and e^s (input_of) of row i of a chunk; 1 and 0 past its end. */
DEVICE float decay_of(const ChunkNormaliserArguments *a, Chunk chunk, int64_t head, int64_t i) {
    if (i >= chunk.rows.count) return 1.0f;
    const int64_t row = chunk.rows.first + i;
    const bool first = row % a->T == 0;
    if (first ? !a->has_initial : a->segment[row] != a->segment[row - 1]) return 0.0f;
    return a->g ? exp_f(a->g[row * a->g_stride + head]) : 1.0f;
}

DEVICE float input_of(const ChunkNormaliserArguments *a, Chunk chunk, int64_t head, int64_t i) {
    if (i >= chunk.rows.count) return 0.0f;
    return a->s ? exp_f(a->s[(chunk.rows.first + i) * a->s_stride + head]) : 1.0f;
}

DEVICE float dz_of(const ChunkNormaliserArguments *a, Chunk chunk, int64_t head, int64_t i) {
    return i < chunk.rows.count ? a->scale * a->dz[(chunk.rows.first + i) * a->z_stride + head] : 0.0f;
}

DEVICE int64_t sums_at(const ChunkNormaliserArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return chunk_offset(a->chunks, a->heads, sequence, index, head, a->K);
}

/* Computes what a chunk adds to n or, for the gradient, to n' of the row before it. Programs: x over columns of K, y
 * over chunks, z over sequences and heads. */
KERNEL(chunk_normaliser_totals, ChunkNormaliserArguments) {
    TILE(keys, ROWS, COLS);
    VECTOR(decays, ROWS);
    VECTOR(inputs, ROWS);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads, cols = a.K - program_x * COLS;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    float *to = a.sums + sums_at(&a, sequence, program_y, head) + program_x * COLS;
    tile_load_block(keys, a.k, a.K, chunk.rows, head, program_x);
    EACH (i, ROWS) {
        decays[i] = decay_of(&a, chunk, head, i);
        inputs[i] = input_of(&a, chunk, head, i);
    }
    sync();
    COLUMN_WALK(n, j, COLS, i, ROWS, n = decays[i] * n + inputs[i] * AT(keys, i, j);
                if (i == ROWS - 1 && j < cols) to[j] = n);
    sync();
    vector_cumprod(decays);
    sync();
    if (program_x == 0)
        EACH (one, 1) a.decays[(sequence * a.chunks + program_y) * a.heads + head] = decays[ROWS - 1];
}

KERNEL(chunk_normaliser_dtotals, ChunkNormaliserArguments) {
    TILE(queries, ROWS, COLS);
    VECTOR(decays, ROWS);
    VECTOR(inputs, ROWS);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads, cols = a.K - program_x * COLS;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    float *to = a.dsums + sums_at(&a, sequence, program_y, head) + program_x * COLS;
    tile_load_block(queries, a.q, a.K, chunk.rows, head, program_x);
    EACH (i, ROWS) {
        decays[i] = decay_of(&a, chunk, head, i);
        inputs[i] = dz_of(&a, chunk, head, i);
    }
    sync();
    COLUMN_WALK(dn, j, COLS, up, ROWS, const int i = ROWS - 1 - up;
                dn = decays[i] * (dn + inputs[i] * AT(queries, i, j)); if (i == 0 && j < cols) to[j] = dn);
}

/* Replaces what each chunk adds by n before the chunk. Programs: x over columns of K, y over sequences and heads. */
KERNEL(chunk_normaliser_carry, ChunkNormaliserArguments) {
    MATRIX(sums, CARRY_ROWS, COLS);
    VECTOR(decays, CARRY_ROWS);
    VECTOR(carried, COLS);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, first = program_x * COLS;
    const int64_t cols = a.K - first;
    EACH (j, COLS) carried[j] = a.initial && j < cols ? a.initial[program_y * a.initial_stride + first + j] : 0.0f;
    for (int64_t index = 0; index < a.chunks; index += CARRY_ROWS) {
        const int64_t count = a.chunks - index < CARRY_ROWS ? a.chunks - index : CARRY_ROWS;
        float *from = a.sums + sums_at(&a, sequence, index, head) + first;
        matrix_load(sums, from, a.heads * a.K, count, cols);
        EACH (i, count) decays[i] = a.decays[(sequence * a.chunks + index + i) * a.heads + head];
        sync();
        BLOCK_WALK(n, carried[j], b, 1, j, COLS, i, count, const float after = decays[i] * n + ENTRY(sums, i, j);
                   ENTRY(sums, i, j) = n; n = after; carried[j] = n);
        sync();
        matrix_store(sums, from, a.heads * a.K, count, cols);
        sync();
    }
    if (a.final)
        EACH (j, COLS)
            if (j < cols) a.final[program_y * a.K + first + j] = carried[j];
}

/* Replaces what each chunk adds to the row before it by n' of the chunk's last row, counting later rows only. Programs
 * likewise. */
KERNEL(chunk_normaliser_dcarry, ChunkNormaliserArguments) {
    MATRIX(sums, CARRY_ROWS, COLS);
    VECTOR(decays, CARRY_ROWS);
    VECTOR(carried, COLS);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads, first = program_x * COLS;
    const int64_t cols = a.K - first;
    EACH (j, COLS) carried[j] = a.dfinal && j < cols ? a.dfinal[program_y * a.K + first + j] : 0.0f;
    for (int64_t end = a.chunks; end > 0; end -= CARRY_ROWS) {
        const int64_t index = end > CARRY_ROWS ? end - CARRY_ROWS : 0, count = end - index;
        float *from = a.dsums + sums_at(&a, sequence, index, head) + first;
        matrix_load(sums, from, a.heads * a.K, count, cols);
        EACH (i, count) decays[i] = a.decays[(sequence * a.chunks + index + i) * a.heads + head];
        sync();
        BLOCK_WALK(dn, carried[j], b, 1, j, COLS, up, count, const int64_t i = count - 1 - up;
                   const float before = decays[i] * dn + ENTRY(sums, i, j); ENTRY(sums, i, j) = dn; dn = before;
                   carried[j] = dn);
        sync();
        matrix_store(sums, from, a.heads * a.K, count, cols);
        sync();
    }
    if (a.dinitial)
        EACH (j, COLS)
            if (j < cols) a.dinitial[program_y * a.initial_stride + first + j] = carried[j];
}

/* sums[i] += the sum of row i. */
#define ADD_ROWS(sums, matrix)                                                                                         \
    EACH_ROW (i, 0, ROWS) {                                                                                            \
        float row_ = 0;                                                                                                \
        WARP_SUM(row_, j, COLS, ENTRY(matrix, i, j));                                                                  \
        WARP_EACH(one, 1) sums[i] += row_;                                                                             \
    }

/* Programs: x over chunks, y over sequences and heads. */
KERNEL(chunk_normaliser, ChunkNormaliserArguments) {
    TILE(queries, ROWS, COLS);
    TILE(keys, ROWS, COLS);
    MATRIX(products, ROWS, COLS);
    VECTOR(decays, ROWS);
    VECTOR(inputs, ROWS);
    VECTOR(sums, ROWS);
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    const float *n_before = a.sums + sums_at(&a, sequence, program_x, head);
    EACH (i, ROWS) {
        decays[i] = decay_of(&a, chunk, head, i);
        inputs[i] = input_of(&a, chunk, head, i);
        sums[i] = 0;
    }
    for (int64_t first = 0; first < a.K; first += COLS) {
        tile_load_block(queries, a.q, a.K, chunk.rows, head, first / COLS);
        tile_load_block(keys, a.k, a.K, chunk.rows, head, first / COLS);
        sync();
        BLOCK_WALK(n, first + j < a.K ? n_before[first + j] : 0.0f, b, 1, j, COLS, i, ROWS,
                   n = decays[i] * n + inputs[i] * AT(keys, i, j);
                   ENTRY(products, i, j) = AT(queries, i, j) * n);
        sync();
        ADD_ROWS(sums, products);
    }
    sync();
    EACH (i, chunk.rows.count) a.z[(chunk.rows.first + i) * a.z_stride + head] = a.scale * sums[i];
}

/* Programs: as chunk_normaliser. */
KERNEL(chunk_normaliser_backward, ChunkNormaliserArguments) {
    TILE(queries, ROWS, COLS);
    TILE(keys, ROWS, COLS);
    MATRIX(products, ROWS, COLS); /* k k', whose sums are s' */
    VECTOR(decays, ROWS);
    VECTOR(inputs, ROWS);
    VECTOR(dz, ROWS);
    VECTOR(sums, ROWS);
    VECTOR(last, COLS); /* n . n' of the chunk's last row, counting later rows only */
    const int64_t sequence = program_y / a.heads, head = program_y % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_x);
    const int64_t at = sums_at(&a, sequence, program_x, head), count = chunk.rows.count;
    EACH (i, ROWS) {
        decays[i] = decay_of(&a, chunk, head, i);
        inputs[i] = input_of(&a, chunk, head, i);
        dz[i] = dz_of(&a, chunk, head, i);
        sums[i] = 0;
    }
    EACH (j, COLS) last[j] = 0;
    for (int64_t first = 0; first < a.K; first += COLS) {
        element *dq = (element *)a.dq.data + entry_of_head(a.dq, a.K, chunk.rows.first, head, first);
        element *dk = (element *)a.dk.data + entry_of_head(a.dk, a.K, chunk.rows.first, head, first);
        const int64_t cols = a.K - first;
        tile_load_block(queries, a.q, a.K, chunk.rows, head, first / COLS);
        tile_load_block(keys, a.k, a.K, chunk.rows, head, first / COLS);
        sync();
        BLOCK_WALK(n, j < cols ? a.sums[at + first + j] : 0.0f, b, 1, j, COLS, i, ROWS,
                   n = decays[i] * n + inputs[i] * AT(keys, i, j);
                   const float query = dz[i] * n;
                   if (i < count && j < cols) dq[i * a.dq.stride + j] = to_element(query);
                   if (i == ROWS - 1 && j < cols) last[j] += n * a.dsums[at + first + j]);
        BLOCK_WALK(dn, j < cols ? a.dsums[at + first + j] : 0.0f, b, 1, j, COLS, up, ROWS, const int i = ROWS - 1 - up;
                   dn += dz[i] * AT(queries, i, j); const float key = inputs[i] * dn;
                   ENTRY(products, i, j) = key * AT(keys, i, j);
                   if (i < count && j < cols) dk[i * a.dk.stride + j] = to_element(key); dn *= decays[i]);
        sync();
        ADD_ROWS(sums, products);
    }
    sync();
    if (a.ds)
        EACH (i, count) a.ds[(chunk.rows.first + i) * a.s_stride + head] = sums[i];
    if (!a.dg) return;
    float carried = 0;
    SUM(carried, j, COLS, last[j]);
    EACH (i, ROWS) {
        const int64_t entry = (chunk.rows.first + (i < count ? i : 0)) * a.z_stride + head;
        sums[i] = i < count ? a.dz[entry] * a.z[entry] - sums[i] : 0.0f;
    }
    sync();
    vector_cumsum_reverse(sums);
    sync();
    EACH (i, count) a.dg[(chunk.rows.first + i) * a.g_stride + head] = decays[i] > 0.0f ? sums[i] + carried : 0.0f;
}
