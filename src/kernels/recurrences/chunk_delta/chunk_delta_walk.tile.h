/* The walk of chunk_delta over the chunks of a sequence, which carries the state or its gradient; equations in
 * chunk_delta_chunk.h. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_delta/chunk_delta.h"
#include "kernels/recurrences/chunk_delta/chunk_delta_chunk.h"

/* Loads beta, D, E and scale D for the queries, and returns e^G_last. The caller must sync() afterwards. */
DEVICE float load_gates(float *beta, float *from_start, float *to_end, float *query_decay, const ChunkDeltaArguments *a,
                        DeltaChunk chunk, int64_t sequence, int64_t index, int64_t head) {
    const float *gates = gates_at(a, 0, sequence, index, head);
    EACH (i, ROWS) {
        beta[i] = gates[GATES_BETA * ROWS + i];
        from_start[i] = gates[GATES_FROM_START * ROWS + i];
        to_end[i] = gates[GATES_TO_END * ROWS + i];
        query_decay[i] = gates[GATES_QUERY * ROWS + i];
    }
    return stays_of(a, gates + GATES_FROM_START * ROWS, gates + GATES_QUERY * ROWS, chunk);
}

/* u += T x, or T^T x, for an accumulator x, by way of the tile `values`. A second product adds what rounding to
 * elements takes from x, because errors in U would add up over the rows of a chunk and then over the chunks. x becomes
 * this rest. */
#define mma_with_rest(product, u, T, x, values)                                                                        \
    do {                                                                                                               \
        MAP(x, i_, j_, x_, const float rounded_ = to_float(to_element(x_)); PUT(values, i_, j_, rounded_);             \
            x_ -= rounded_);                                                                                           \
        sync();                                                                                                        \
        product(u, T, values);                                                                                         \
        if (sizeof(element) < sizeof(float)) {                                                                         \
            sync();                                                                                                    \
            tile_cast(values, x);                                                                                      \
            sync();                                                                                                    \
            product(u, T, values);                                                                                     \
        }                                                                                                              \
    } while (0)

/* Copies a state's block of V, with all of K, from `from` + offset to `to`, WIDTH rows at a time; zeros if `from` is
 * NULL. */
#define MOVE_STATE(accumulator, to, to_stride, from, offset, from_stride)                                              \
    for (int64_t d_ = 0; d_ < a.K; d_ += WIDTH) {                                                                      \
        accumulator_zero(accumulator);                                                                                 \
        if (from)                                                                                                      \
            accumulator_load(accumulator, (from) + (offset) + d_ * (from_stride), from_stride, a.K - d_, cols_v);      \
        accumulator_store_f32(accumulator, (to) + d_ * (to_stride), to_stride, a.K - d_, cols_v);                      \
    }

/* Computes U, and the states, o, or both, for heads of any size. The state is in memory, which costs little on the
 * host's cores. Program: sequence and value head, block of V. */
KERNEL(chunk_delta_state, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(S, WIDTH, WIDTH);
    TILE(T, ROWS, ROWS);
    TILE(P, ROWS, ROWS);
    TILE(values, ROWS, WIDTH); /* v, then beta (v - D k S), then U, then E U */
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    ACCUMULATOR(read, ROWS, WIDTH);
    ACCUMULATOR(u, ROWS, WIDTH);
    ACCUMULATOR(out, ROWS, WIDTH);
    ACCUMULATOR(state, WIDTH, WIDTH);
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * WIDTH;
    float *carried = a.carried + program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(state, carried, a.V, a.initial, program_x * a.K * a.initial_stride + program_y * WIDTH,
               a.initial_stride);
    sync();
    for (int64_t index = 0; index < a.chunks; index++) {
        const DeltaChunk chunk = delta_chunk_at(&a, sequence, index);
        const int64_t at = state_offset(&a, sequence, index, head) + program_y * WIDTH;
        const int64_t square = products_offset(&a, sequence, index, head);
        const float stays = load_gates(beta, from_start, to_end, query_decay, &a, chunk, sequence, index, head);
        tile_load(T, (const element *)a.inverse + square, ROWS, ROWS, ROWS);
        tile_load_block(values, a.v, a.V, chunk.updates, head, program_y);
        accumulator_zero(read);
        accumulator_zero(out);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t first = block * WIDTH * a.V, rows = a.K - block * WIDTH;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            if (a.o.data) tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
            tile_load_f32(S, carried + first, a.V, rows, cols_v);
            sync();
            mma_nn(read, k, S);
            if (a.o.data) mma_nn(out, q, S);
            if (a.state) tile_store(S, (element *)a.state + at + first, a.V, rows, cols_v);
            sync();
        }
        MAP(read, i, j, x, x = beta[i] * (AT(values, i, j) - from_start[i] * x));
        accumulator_zero(u);
        mma_with_rest(mma_nn, u, T, read, values);
        if (a.u.data) accumulator_store_block(u, a.u, a.V, chunk.updates, head, program_y);
        sync();
        if (a.o.data) {
            tile_cast(values, u);
            tile_load(P, (const element *)a.products + square, ROWS, ROWS, ROWS);
            MAP(out, i, j, x, x *= query_decay[i]);
            sync();
            mma_nn(out, P, values);
            accumulator_store_block(out, a.o, a.V, chunk.tokens, head, program_y);
            sync();
        }
        if (index + 1 == a.chunks && !a.final) break;
        MAP(u, i, j, x, PUT(values, i, j, to_end[i] * x));
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            float *at_block = carried + block * WIDTH * a.V;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            accumulator_load(state, at_block, a.V, a.K - block * WIDTH, cols_v);
            MAP(state, d, j, x, x *= stays);
            sync();
            mma_tn(state, k, values);
            accumulator_store_f32(state, at_block, a.V, a.K - block * WIDTH, cols_v);
            sync();
        }
    }
    if (!a.final) return;
    float *final = a.final + program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(state, final, a.V, carried, 0, a.V);
}

/* Computes the gradients of the states, and R'. Program: as chunk_delta_state. */
KERNEL(chunk_delta_dstate, ChunkDeltaArguments) {
    TILE(q, ROWS, WIDTH);
    TILE(k, ROWS, WIDTH);
    TILE(dS, WIDTH, WIDTH);
    TILE(T, ROWS, ROWS);
    TILE(P, ROWS, ROWS);
    TILE(dO, ROWS, WIDTH);
    TILE(values, ROWS, WIDTH); /* U', then -D beta R' */
    VECTOR(beta, ROWS);
    VECTOR(from_start, ROWS);
    VECTOR(to_end, ROWS);
    VECTOR(query_decay, ROWS);
    ACCUMULATOR(du, ROWS, WIDTH);
    ACCUMULATOR(dr, ROWS, WIDTH);
    ACCUMULATOR(dstate, WIDTH, WIDTH);
    const int64_t sequence = program_x / a.v_heads, head = program_x % a.v_heads;
    const int64_t k_head = head * a.heads / a.v_heads, cols_v = a.V - program_y * WIDTH;
    float *carried = a.carried + program_x * a.K * a.V + program_y * WIDTH;
    MOVE_STATE(dstate, carried, a.V, a.dfinal, program_x * a.K * a.V + program_y * WIDTH, a.V);
    sync();
    for (int64_t index = a.chunks - 1; index >= 0; index--) {
        const DeltaChunk chunk = delta_chunk_at(&a, sequence, index);
        const int64_t square = products_offset(&a, sequence, index, head);
        const float stays = load_gates(beta, from_start, to_end, query_decay, &a, chunk, sequence, index, head);
        element *to = (element *)a.dstate + state_offset(&a, sequence, index, head) + program_y * WIDTH;
        tile_load(T, (const element *)a.inverse + square, ROWS, ROWS, ROWS);
        tile_load(P, (const element *)a.products + square, ROWS, ROWS, ROWS);
        tile_load_block(dO, a.do_, a.V, chunk.tokens, head, program_y);
        accumulator_zero(du);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            const int64_t first = block * WIDTH * a.V, rows = a.K - block * WIDTH;
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            tile_load_f32(dS, carried + first, a.V, rows, cols_v);
            sync();
            mma_nn(du, k, dS);
            tile_store(dS, to + first, a.V, rows, cols_v);
            sync();
        }
        MAP(du, i, j, x, x *= to_end[i]);
        mma_tn(du, P, dO);
        accumulator_zero(dr);
        mma_with_rest(mma_tn, dr, T, du, values);
        accumulator_store_block(dr, a.dr, a.V, chunk.updates, head, program_y);
        if (index == 0 && !a.dinitial) break;
        sync();
        MAP(dr, i, j, x, PUT(values, i, j, -from_start[i] * beta[i] * x));
        EACH_TILE(dO, i, j, x, x *= query_decay[i]);
        for (int64_t block = 0; block * WIDTH < a.K; block++) {
            float *at_block = carried + block * WIDTH * a.V;
            tile_load_block(q, a.q, a.K, chunk.tokens, k_head, block);
            tile_load_block(k, a.k, a.K, chunk.updates, k_head, block);
            accumulator_load(dstate, at_block, a.V, a.K - block * WIDTH, cols_v);
            MAP(dstate, d, j, x, x *= stays);
            sync();
            mma_tn(dstate, q, dO);
            mma_tn(dstate, k, values);
            accumulator_store_f32(dstate, at_block, a.V, a.K - block * WIDTH, cols_v);
            sync();
        }
    }
    if (!a.dinitial) return;
    float *dinitial = a.dinitial + program_x * a.K * a.initial_stride + program_y * WIDTH;
    MOVE_STATE(dstate, dinitial, a.initial_stride, carried, 0, a.V);
}

#define store_state(accumulator, states, index)                                                                        \
    accumulator_store_shuffled(                                                                                        \
        accumulator, (element *)(states) + state_offset(&a, sequence, index, head) + first_v * a.state_stride,         \
        a.state_stride, cols_v, a.state_stride)

/* u = T x (with accumulator_mma_nt) or T^T x (accumulator_mma_nn) of transposed accumulators; T lacks its diagonal. As
 * in mma_with_rest the product is also with the rest of x, except that 256 key columns leave no registers for it. U and
 * the states have the same bits in chunk_delta_output, which stores them, and in chunk_delta_state, which recomputes
 * them. */
#define apply_inverse(product, u, T, x)                                                                                \
    do {                                                                                                               \
        MAP(u, j_, i_, u_, u_ = PEER(x, j_, i_));                                                                      \
        if (COLS_K < 256)                                                                                              \
            product##_with_rest(u, x, T);                                                                              \
        else                                                                                                           \
            product(u, x, T);                                                                                          \
    } while (0)

/* With 256 key columns chunk_delta_output needs all registers. It does not spill as long as its numbers have this type
 * and the index of its chunk has 32 bits. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
typedef int HeldNumber;
#else
typedef uint32_t HeldNumber;
#endif

#define HELD_KERNEL(name) SIZED_KERNEL(name, COLS_K, ChunkDeltaArguments)

#define COLS_K 64
#include "kernels/recurrences/chunk_delta/chunk_delta_held.h"
#define COLS_K 128
#include "kernels/recurrences/chunk_delta/chunk_delta_held.h"
#define COLS_K 256
#include "kernels/recurrences/chunk_delta/chunk_delta_held.h"
