/* Attention to selected blocks of keys, for heads of up to 32, 64 and 128 columns. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/selected_attention/selected_attention.h"
#include "kernels/softmax/grouped_gradients.h"

/* Keys, or on a GPU also rows of queries, that are loaded at a time. */
enum { SELECTED_TILE = ON_GPU ? 32 : 64 };

/* The word of a token's set that holds the bit of this block. */
DEVICE const int32_t *selected_word(const SelectedArguments *a, int64_t token, int64_t kv_head, int block) {
    return a->selected + (token * a->grouped.kv_heads + kv_head) * a->words + block / BITS_OF_WORD;
}
DEVICE bool has_selected(const SelectedArguments *a, int64_t token, int64_t kv_head, int block) {
    return (uint32_t)*selected_word(a, token, kv_head, block) >> block % BITS_OF_WORD & 1u;
}

/* An iterator over the tiles of keys that some token of a program has selected: for one document after another, the
 * tiles of each selected block, in the order of blocks. */
typedef struct SelectedTiles {
    int64_t sequence, keys; /* the sequence's first row in this call, of tokens, and of k and v */
    int64_t kv_head;
    int last;          /* the program's last token */
    int t0, t1, start; /* tokens t0 .. t1 of a document that begins at token `start`, below 0 if in an earlier call */
    int word, block;
    uint32_t bits; /* the blocks in `word` that are still to come */
    int s0, end;   /* the tile's first key, and the end of the block's keys, none of which is after t1 */
} SelectedTiles;

DEVICE void to_document_of(SelectedTiles *at, const int32_t *position, int t) {
    at->t0 = at->t1 = t;
    at->start = t - position[at->sequence + t];
    while (at->t1 < at->last && position[at->sequence + at->t1 + 1] != 0) at->t1++;
    at->word = -1;
}

DEVICE SelectedTiles selected_tiles(const SelectedArguments *a, int64_t sequence, int64_t kv_head, int first,
                                    int last) {
    SelectedTiles at = {
        sequence * a->grouped.T, sequence * a->rows + a->grouped.before, kv_head, last, 0, 0, 0, 0, 0, 0, 0, 0};
    to_document_of(&at, a->grouped.position, first);
    return at;
}

/* Goes to the next word and finds its blocks that some token has selected. */
DEVICE void to_next_word(SelectedTiles *at, const SelectedArguments *a) {
    at->word++;
    for (int t = at->t0; t <= at->t1; t++)
        at->bits |= (uint32_t)*selected_word(a, at->sequence + t, at->kv_head, at->word * BITS_OF_WORD);
}

/* Goes to the next tile. Returns false after the last. */
DEVICE bool to_next_tile(SelectedTiles *at, const SelectedArguments *a) {
    const int block = (int)a->block;
    at->s0 += SELECTED_TILE;
    if (at->s0 < at->end) return true;
    while (at->bits == 0) {
        if ((at->word + 1) * BITS_OF_WORD * block > at->t1 - at->start) {
            if (at->t1 == at->last) return false;
            to_document_of(at, a->grouped.position, at->t1 + 1);
        }
        to_next_word(at, a);
    }
    at->block = at->word * BITS_OF_WORD + lowest_bit(at->bits);
    at->bits &= at->bits - 1u;
    at->s0 = at->start + at->block * block;
    at->end = at->s0 + block <= at->t1 ? at->s0 + block : at->t1 + 1;
    return true;
}

/* How many keys of the tile a token sees: those up to itself, if it selected the block. */
DEVICE int keys_seen(const SelectedTiles *at, const SelectedArguments *a, int t) {
    if (t < at->t0 || t > at->t1 || !has_selected(a, at->sequence + t, at->kv_head, at->block)) return 0;
    return (t + 1 < at->end ? t + 1 : at->end) - at->s0;
}

/* The same for a band's token. On a GPU, where a band has rows of several tokens, all keys of a tile. */
DEVICE int keys_seen_by_band(const SelectedTiles *at, const SelectedArguments *a, GroupedRows band) {
    return ON_GPU ? SELECTED_TILE : keys_seen(at, a, token_of_row(band, band.m0));
}

/* Loads the keys and values of the tile to one of two stages. */
#define load_selected(stage, at)                                                                                       \
    do {                                                                                                               \
        TILE_VIEW(k_, k, (stage)*SELECTED_TILE, 0, SELECTED_TILE, k##_cols);                                           \
        TILE_VIEW(v_, v, (stage)*SELECTED_TILE, 0, SELECTED_TILE, v##_cols);                                           \
        const Rows keys_ = {(at).keys + (at).s0, (at).end - (at).s0};                                                  \
        tile_load_block(k_, g.k, g.head_dim, keys_, kv_head, 0);                                                       \
        tile_load_block(v_, g.v, g.head_dim, keys_, kv_head, 0);                                                       \
    } while (0)

/* Masks scores of rows by a tile of keys: sets them to -infinity where the row's token does not see the key. */
#define mask_selected(scores, rows, at)                                                                                \
    do {                                                                                                               \
        ROW_VALUES(seen_, scores##_rows);                                                                              \
        EACH_ROW_VALUE(seen_, r, i)                                                                                    \
        seen_[r] = (float)keys_seen(&(at), &a, token_of_row(rows, row_inside(rows, i)));                               \
        MAP(scores, i, j, x, x = (float)j < ROW_VALUE(seen_, i) ? x : -INFINITY);                                      \
    } while (0)

/* Whether token t has selected a block of its document that has some of the keys s0 .. s0 + SELECTED_KEYS - 1. */
DEVICE bool selects_of_tile(const SelectedArguments *a, int64_t sequence, int64_t kv_head, int s0, int t) {
    const int start = t - a->grouped.position[sequence + t], block = (int)a->block;
    const int first = s0 > start ? s0 : start, last = s0 + SELECTED_KEYS - 1 < t ? s0 + SELECTED_KEYS - 1 : t;
    if (first > last) return false;
    for (int b = (first - start) / block; b <= (last - start) / block; b++)
        if (has_selected(a, sequence + t, kv_head, b)) return true;
    return false;
}

/* Computes the set of tokens that read a tile of keys. Program: words and tile, key head, sequence. */
KERNEL(selected_queries_of_keys, SelectedArguments) {
    const int64_t T = a.grouped.T, words = blocks_of(T, BITS_OF_WORD), tiles = blocks_of(T, SELECTED_KEYS);
    const int64_t tile = program_x % tiles, first = program_x / tiles * SELECTED_WORDS;
    uint32_t *queries = a.queries + ((program_z * a.grouped.kv_heads + program_y) * tiles + tile) * words + first;
    EACH (w, words - first < SELECTED_WORDS ? words - first : SELECTED_WORDS) {
        uint32_t bits = 0;
        for (int n = 0; n < BITS_OF_WORD; n++) {
            const int t = (int)(first + w) * BITS_OF_WORD + n;
            if (t < T && selects_of_tile(&a, program_z * T, program_y, (int)tile * SELECTED_KEYS, t)) bits |= 1u << n;
        }
        queries[w] = bits;
    }
}

/* An iterator over the rows of the queries in such a set, 16 at a time. */
typedef struct QueryRows {
    const uint32_t *queries;
    int words, word, token, left, group; /* left: rows of the token that are still to come */
    uint32_t bits;
} QueryRows;

/* Goes to the next 16 rows and returns the first of them, or -1 after the last. */
DEVICE int next_rows(QueryRows *at) {
    if (at->left == 0) {
        while (at->bits == 0) {
            if (at->word + 1 >= at->words) return -1;
            at->bits = at->queries[++at->word];
        }
        at->token = at->word * BITS_OF_WORD + lowest_bit(at->bits);
        at->bits &= at->bits - 1u;
        at->left = at->group;
    }
    at->left -= ROWS_OF_TOKEN;
    return (at->token + 1) * at->group - at->left - ROWS_OF_TOKEN;
}

typedef struct TwoRows {
    int first, second;
} TwoRows;
DEVICE TwoRows next_two_rows(QueryRows *at) {
    const int first = next_rows(at), second = first < 0 ? -1 : next_rows(at);
    const TwoRows rows = {first, second};
    return rows;
}

/* A key, the start of its document, and its block in the document. */
typedef struct KeyPlace {
    int key, start, block;
} KeyPlace;

/* Whether row m exists (m >= 0) and its token has selected the key. */
DEVICE bool is_read_by(const SelectedArguments *a, int64_t sequence, int64_t kv_head, KeyPlace place, int m) {
    if (m < 0) return false;
    const int t = m / (int)a->grouped.group;
    return t >= place.key && t - a->grouped.position[sequence + t] == place.start &&
           has_selected(a, sequence + t, kv_head, place.block);
}

/* Program: tokens, key head, sequence. */
KERNEL(selected_delta, SelectedArguments) {
    grouped_delta(&a.grouped, program_z, program_y, program_x * GROUPED_DELTA_TOKENS);
}

/* Computes dk and dv from the sums of the parts. Program: row, dk or dv. */
KERNEL(selected_key_sums, SelectedArguments) {
    grouped_key_sums(&a.grouped, sums_of_keys(&a.grouped, a.partial, a.parts, a.B * a.rows), program_x, program_y);
}

#define SELECTED_KERNEL(name) SIZED_KERNEL(name, HEAD, SelectedArguments)

#define HEAD 32
#include "kernels/softmax/selected_attention/selected_head.h"
#define HEAD 64
#include "kernels/softmax/selected_attention/selected_head.h"
#define HEAD 128
#include "kernels/softmax/selected_attention/selected_head.h"
