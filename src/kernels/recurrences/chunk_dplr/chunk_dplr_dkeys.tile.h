/* The gradients of the keys, queries and gates of chunk_dplr; equations in chunk_dplr_chunk.h. */
#if defined(TILE_ELEMENT_F32) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900)
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 3
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

/* Gradients of rows of q and a wait at the start of their block, those of b and k at its end (at its start if it is not
 * steep). Past block c, what waits for the rows below decays over the block, and its rows of b and k join; for the rows
 * above likewise. */
#define BELOW(dx, dA, y, c)                                                                                            \
    do {                                                                                                               \
        TILE_VIEW(y_, y, (c)*BLOCK, 0, BLOCK, WIDTH_K);                                                                \
        for (int n_ = (c) + 1; n_ < BLOCKS; n_++) {                                                                    \
            TILE_VIEW(dA_, dA, n_ *BLOCK, (c)*BLOCK, BLOCK, BLOCK);                                                    \
            block_mma_nn(dx, n_ *BLOCK, 0, dA_, y_);                                                                   \
        }                                                                                                              \
    } while (0)
#define PASS_DOWN(dx, dAb, dAk, c)                                                                                     \
    do {                                                                                                               \
        if (steep) MAP(dx, i, d, x, x *= i / BLOCK > (c) ? ENTRY(inside, c, d) : 1.0f);                                \
        BELOW(dx, dAb, b_near, c);                                                                                     \
        if (TWO) BELOW(dx, dAk, k_near, c);                                                                            \
        if (!steep) MAP(dx, i, d, x, x *= i / BLOCK > (c) ? ENTRY(inside, c, d) : 1.0f);                               \
    } while (0)
#define ABOVE(dy, dA, x, c)                                                                                            \
    do {                                                                                                               \
        TILE_VIEW(x_, x, (c)*BLOCK, 0, BLOCK, WIDTH_K);                                                                \
        for (int n_ = 0; n_ < (c); n_++) {                                                                             \
            TILE_VIEW(dA_, dA, (c)*BLOCK, n_ *BLOCK, BLOCK, BLOCK);                                                    \
            block_mma_tn(dy, n_ *BLOCK, 0, dA_, x_);                                                                   \
        }                                                                                                              \
    } while (0)
#define PASS_UP(dy, dAq, dAa, c)                                                                                       \
    do {                                                                                                               \
        MAP(dy, j, d, x, x *= j / BLOCK < (c) ? ENTRY(inside, c, d) : 1.0f);                                           \
        ABOVE(dy, dAq, q_near, c);                                                                                     \
        ABOVE(dy, dAa, a_near, c);                                                                                     \
    } while (0)
/* dx += dA y and dy += dA^T x inside blocks that are not steep. */
#define INSIDE(dx, dy, dA, x, y)                                                                                       \
    for (int row = 0; row < ROWS; row += BLOCK) {                                                                      \
        TILE_VIEW(dA_, dA, row, row, BLOCK, BLOCK);                                                                    \
        TILE_VIEW(x_, x, row, 0, BLOCK, WIDTH_K);                                                                      \
        TILE_VIEW(y_, y, row, 0, BLOCK, WIDTH_K);                                                                      \
        block_mma_nn(dx, row, 0, dA_, y_);                                                                             \
        block_mma_tn(dy, row, 0, dA_, x_);                                                                             \
    }
/* The same inside steep blocks, for the pairs of rows `apart`, given the decay between them, and what it gives g. */
#define STEEP_PAIRS(dx, dgx, dy, dA, x, y)                                                                             \
    do {                                                                                                               \
        MAP(dx, i, d, gradient, {                                                                                      \
            if (i % BLOCK >= apart) {                                                                                  \
                const float part = AT(dA, i, i - apart) * AT(y, i - apart, d) * ENTRY(P, i - apart, d);                \
                gradient += part;                                                                                      \
                PEER(dgx, i, d) += AT(x, i, d) * part;                                                                 \
            }                                                                                                          \
        });                                                                                                            \
        MAP(dy, j, d, gradient, {                                                                                      \
            if (j % BLOCK + apart < BLOCK) {                                                                           \
                const float part = AT(dA, j + apart, j) * AT(x, j + apart, d) * ENTRY(P, j, d);                        \
                gradient += part;                                                                                      \
                PEER(dg, j, d) -= AT(y, j, d) * part;                                                                  \
            }                                                                                                          \
        });                                                                                                            \
    } while (0)
#define STORE_GRADIENT(accumulator, heads) accumulator_store_block(accumulator, heads, a.K, chunk.rows, head, program_x)

#define WRITTEN_KEYS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dkeys.h"
#define WRITTEN_KEYS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dkeys.h"
