/* The walks of path_attention over pairs of blocks, for heads of up to 32, 64 and 128 columns. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/path_attention/path_attention.h"
#include "kernels/softmax/path_attention/path_attention_block.h"

/* Queries that a block of keys gets at a time. */
enum { QUERY_TILE = ON_GPU ? 32 : 64, QUERY_TILES = ROWS / QUERY_TILE };

/* The offset of a pair of blocks of the current round in `passed`. */
DEVICE int64_t pair_at(const PathAttentionArguments *a, int64_t sequence, int64_t head, int64_t queries, int64_t keys) {
    return ((sequence * a->heads + head) * a->query_blocks + queries - a->first_query_block) * a->key_blocks + keys;
}

/* The queries that a block of keys gets at a time: QUERY_TILE rows of block `own` of a head. */
typedef struct QueryTile {
    int64_t head, own, first_row, pair;
} QueryTile;

/* Tile number `step` of the tiles of the blocks begin .. end - 1, head after head. */
DEVICE QueryTile query_tile(const PathAttentionArguments *a, int64_t sequence, int64_t first_head, int64_t index,
                            int64_t begin, int64_t end, int step) {
    const int tiles = (int)(end - begin) * QUERY_TILES, tile = step % tiles;
    QueryTile result;
    result.head = first_head + step / tiles;
    result.own = begin + tile / QUERY_TILES;
    result.first_row = tile % QUERY_TILES * QUERY_TILE;
    result.pair = pair_at(a, sequence, result.head, result.own, index);
    return result;
}

/* The block of queries after the last block of the round that sees some key of the block. */
DEVICE int64_t end_of_queries(const PathAttentionArguments *a, Rows keys) {
    return lesser_index(a->first_query_block + a->query_blocks,
                        a->last_query[token_of_block(keys, ROWS - 1)] / ROWS + 1);
}

/* Loads the rows of a tile of queries from `passing` or `dpassing`. */
#define load_passing(tile, from, queries)                                                                              \
    tile_load(tile, (const element *)(from) + ((queries).pair * ROWS + (queries).first_row) * a.head_dim, a.head_dim,  \
              QUERY_TILE, a.head_dim)

/* Block `number` of several blocks of keys in one tile, and one of two stages of queries. */
#define KEYS_VIEW(name, keys, number)    TILE_VIEW(name, keys, (number)*ROWS, 0, ROWS, keys##_cols)
#define STAGE_VIEW(name, queries, stage) TILE_VIEW(name, queries, (stage)*QUERY_TILE, 0, QUERY_TILE, queries##_cols)

/* Loads the block `index` of keys of two matrices. */
#define load_keys(x_tile, x, y_tile, y, index)                                                                         \
    do {                                                                                                               \
        const Rows keys_ = rows_of_chunk(a.T, ROWS, sequence, index);                                                  \
        tile_load_block(x_tile, x, a.head_dim, keys_, kv_head, 0);                                                     \
        tile_load_block(y_tile, y, a.head_dim, keys_, kv_head, 0);                                                     \
    } while (0)

#define PATH_KERNEL(name) SIZED_KERNEL(name, HEAD, PathAttentionArguments)

#define HEAD 32
#include "kernels/softmax/path_attention/path_attention_head.h"
#define HEAD 64
#include "kernels/softmax/path_attention/path_attention_head.h"
#define HEAD 128
#include "kernels/softmax/path_attention/path_attention_head.h"
