/* Attention to the means of blocks, and the selection of blocks by it, for heads of up to 32, 64 and 128 columns. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/compressed_attention/compressed_attention.h"
#include "kernels/softmax/grouped_gradients.h"

/* The rows of k that a token sees, first .. end - 1: those of the whole blocks of its document that end at or before
 * it. */
typedef struct SeenRows {
    int first, end;
} SeenRows;

DEVICE SeenRows seen_rows(const CompressedArguments *a, int64_t sequence, int t) {
    const int position = a->grouped.position[sequence * a->grouped.T + t];
    const int first = (int)((a->grouped.before + t - position) / a->block);
    const SeenRows seen = {first, first + (position + 1) / (int)a->block};
    return seen;
}

/* The rows that any of the tokens first .. last sees: from those of the first token to those of the last. */
DEVICE SeenRows rows_between(const CompressedArguments *a, int64_t sequence, int first, int last) {
    const SeenRows seen = {seen_rows(a, sequence, first).first, seen_rows(a, sequence, last).end};
    return seen;
}

/* The rows that a band's token sees. Only for a CPU, because a GPU's band has rows of several tokens. */
DEVICE SeenRows seen_by_band(const CompressedArguments *a, int64_t sequence, GroupedRows band) {
    return seen_rows(a, sequence, token_of_row(band, band.m0));
}
DEVICE bool sees_of_tile(SeenRows seen, int r0) { return seen.first < r0 + GROUPED_TILE && r0 < seen.end; }
DEVICE bool sees_whole_tile(SeenRows seen, int r0) { return seen.first <= r0 && r0 + GROUPED_TILE <= seen.end; }

/* Loads the rows from r0 on of k or v, for the program's sequence and head. */
#define load_block_rows(tile, heads, r0)                                                                               \
    do {                                                                                                               \
        const Rows block_rows_ = {sequence * a.rows + (r0), a.rows - (r0)};                                            \
        tile_load_block(tile, heads, g.head_dim, block_rows_, kv_head, 0);                                             \
    } while (0)

/* Word w of the set of all blocks below `end`. */
DEVICE uint32_t bits_below(int end, int w) {
    const int left = end - w * BITS_OF_WORD;
    return left >= BITS_OF_WORD ? 0xffffffffu : left <= 0 ? 0u : (1u << left) - 1u;
}
DEVICE uint32_t bit_of(int block, int w) { return block / BITS_OF_WORD == w ? 1u << block % BITS_OF_WORD : 0u; }

/* The order in which blocks are selected: by decreasing importance, and of equal ones the first one first. */
DEVICE bool comes_after(float importance, int block, float last, int last_block) {
    return importance < last || (importance == last && block > last_block);
}

/* Selects `count` blocks for a token: the first of its document, its own, the one before it, and of the others those
 * with the largest importance; or all blocks if there are no more than `count`. `importance` has an entry for each
 * block. */
DEVICE void select_blocks(TEAM, const CompressedArguments *a, int64_t token, int64_t kv_head, const float *importance) {
    const int own = a->grouped.position[token] / (int)a->block, others = own - 2, count = (int)a->count;
    const bool all = own < count;
    uint32_t *selected = (uint32_t *)a->selected + (token * a->grouped.kv_heads + kv_head) * a->words;
    WARP_EACH(w, a->words)
    selected[w] = all ? bits_below(own + 1, (int)w) : bit_of(0, (int)w) | bit_of(own, (int)w) | bit_of(own - 1, (int)w);
    float last = INFINITY;
    int last_block = 0;
    for (int n = FORCED_BLOCKS; n < count && !all; n++) {
        float best = -1, nearest = -INFINITY;
        WARP_MAXIMUM(best, i, others,
                     comes_after(importance[1 + i], 1 + (int)i, last, last_block) ? importance[1 + i] : -1.0f);
        WARP_MAXIMUM(nearest, i, others,
                     importance[1 + i] == best && comes_after(importance[1 + i], 1 + (int)i, last, last_block)
                         ? -(float)(1 + i)
                         : -INFINITY);
        if (best < 0) break; /* NaN */
        last = best;
        last_block = (int)-nearest;
        WARP_EACH(w, a->words) selected[w] |= bit_of(last_block, (int)w);
    }
}

/* Program: tokens, key head, sequence. */
KERNEL(compressed_delta, CompressedArguments) {
    grouped_delta(&a.grouped, program_z, program_y, program_x * GROUPED_DELTA_TOKENS);
}

/* Computes dk and dv from the sums of the parts. Program: row, dk or dv. */
KERNEL(compressed_sum, CompressedArguments) {
    grouped_key_sums(&a.grouped, sums_of_keys(&a.grouped, a.partial, a.parts, a.B * a.rows), program_x, program_y);
}

#define COMPRESSED_KERNEL(name) SIZED_KERNEL(name, HEAD, CompressedArguments)

#define HEAD 32
#include "kernels/softmax/compressed_attention/compressed_head.h"
#define HEAD 64
#include "kernels/softmax/compressed_attention/compressed_head.h"
#define HEAD 128
#include "kernels/softmax/compressed_attention/compressed_head.h"
