/* The gradients of chunk_dplr, except for the walk over the chunks; equations in chunk_dplr_chunk.h. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

#define WRITERS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dproducts.h"
#define WRITERS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dproducts.h"

/* Computes the gradient of v with two writers. Program: block of V, chunk, sequence and head. */
KERNEL(chunk_dplr_dv, ChunkDplrArguments) {
    enum { STAGES = 3, AHEAD = STAGES - 2 };
    TILE(k_stages, STAGES * ROWS, WIDTH_K);
    TILE(gradients, STAGES * WIDTH_V, WIDTH_K);
    TILE(A, ROWS, ROWS);
    TILE(M, ROWS, ROWS); /* M^T */
    TILE(dO, ROWS, WIDTH_V);
    TILE(dU, ROWS, WIDTH_V);
    HALVES(dv, WIDTH_V);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const element *dstate = state_at(&a, a.dstate, sequence, program_y, head, program_x * WIDTH_V, 0);
    const int64_t rows_v = a.V - program_x * WIDTH_V;
    const int steps = (int)blocks_of(a.K, WIDTH_K);
    tile_load(A, products_at(&a, a.products[1], sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load(M, products_at(&a, a.solve, sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(dO, a.do_, a.V, chunk.rows, head, program_x);
    tile_load_block(dU, a.du, a.V, chunk.rows, head, program_x);
    halves_zero(dv);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(k, k_stages, load % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(dS, gradients, load % STAGES * WIDTH_V, 0, WIDTH_V, WIDTH_K);
            tile_load_block(k, a.k_decayed, a.K, chunk.rows, head, load);
            tile_load(dS, dstate + load * WIDTH_K, a.K, rows_v, a.K - load * WIDTH_K);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(k, k_stages, step % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(dS, gradients, step % STAGES * WIDTH_V, 0, WIDTH_V, WIDTH_K);
            halves_mma_nt(dv, k, dS);
        }
    }
    halves_mma_lower_tn(dv, A, dO);
    halves_mma_nn(dv, M, dU);
    halves_store_block(dv, a.dv, a.V, chunk, head, program_x);
}
