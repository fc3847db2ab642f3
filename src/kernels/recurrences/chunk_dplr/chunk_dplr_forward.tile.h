/* The work of chunk_dplr inside chunks, before and after the walk over them (chunk_dplr_walk.tile.h); equations in
 * chunk_dplr_chunk.h. */
#if defined(TILE_ELEMENT_F32) || (defined(__CUDACC_VER_MAJOR__) && __CUDACC_VER_MAJOR__ < 13)
#define TILE_PROGRAMS 2 /* with CUDA 12, three programs are one register short */
#else
#define TILE_PROGRAMS 3
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

#define WRITERS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_products.h"

/* Computes o. Program: block of V, chunk, sequence and head. */
KERNEL(chunk_dplr_output, ChunkDplrArguments) {
    enum { STAGES = 3, AHEAD = STAGES - 2 };
    TILE(queries, STAGES * ROWS, WIDTH_K);
    TILE(states, STAGES * WIDTH_V, WIDTH_K);
    TILE(A, ROWS, ROWS);
    TILE(values, ROWS, WIDTH_V); /* U, then v */
    HALVES(o, WIDTH_V);
    const int64_t sequence = program_z / a.heads, head = program_z % a.heads;
    const Chunk chunk = chunk_at(a.segment, a.T, ROWS, sequence, program_y);
    const element *state = state_at(&a, a.state, sequence, program_y, head, program_x * WIDTH_V, 0);
    const int64_t rows_v = a.V - program_x * WIDTH_V;
    const int steps = (int)blocks_of(a.K, WIDTH_K);
    tile_load(A, products_at(&a, a.products[0], sequence, program_y, head), ROWS, ROWS, ROWS);
    tile_load_block(values, a.u, a.V, chunk.rows, head, program_x);
    halves_zero(o);
    for (int load = 0; load < steps + STAGES - 1; load++) {
        const int step = load - (STAGES - 1);
        if (step >= 0) sync_after(AHEAD);
        if (load < steps) {
            TILE_VIEW(q, queries, load % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(S, states, load % STAGES * WIDTH_V, 0, WIDTH_V, WIDTH_K);
            tile_load_block(q, a.q_decayed, a.K, chunk.rows, head, load);
            tile_load(S, state + load * WIDTH_K, a.K, rows_v, a.K - load * WIDTH_K);
        }
        copy_commit();
        if (step >= 0) {
            TILE_VIEW(q, queries, step % STAGES * ROWS, 0, ROWS, WIDTH_K);
            TILE_VIEW(S, states, step % STAGES * WIDTH_V, 0, WIDTH_V, WIDTH_K);
            halves_mma_nt(o, q, S);
        }
    }
    halves_mma_lower(o, A, values);
    if (a.products[1]) {
        sync();
        tile_load(A, products_at(&a, a.products[1], sequence, program_y, head), ROWS, ROWS, ROWS);
        tile_load_block(values, a.v, a.V, chunk.rows, head, program_x);
        sync();
        halves_mma_lower(o, A, values);
    }
    halves_store_block(o, a.o, a.V, chunk, head, program_x);
}
