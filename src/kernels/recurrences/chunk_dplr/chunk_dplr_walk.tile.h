/* The walk of chunk_dplr over the chunks of a sequence, which carries the state or its gradient; equations in
 * chunk_dplr_chunk.h. A program holds WIDTH_V columns of V of the state, with all of K, in registers. All its
 * accumulators are transposed, so that what a product leaves in a warp's registers is the left operand of the warp's
 * next product. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

/* Load an accumulator [V, K] from `from` [K, V], or with 0 if that is NULL, and store one to `to` [K, V]. */
#define transposed_load(accumulator, from, stride)                                                                     \
    MAP(accumulator, v_, d_, x_, x_ = (from) && v_ < cols_v && d_ < a.K ? (from)[d_ * (stride) + v_] : 0.0f)
#define transposed_store(accumulator, to, stride)                                                                      \
    MAP(accumulator, v_, d_, x_, if (v_ < cols_v && d_ < a.K)(to)[d_ * (stride) + v_] = x_)
#define store_state(accumulator, states, index)                                                                        \
    accumulator_store(accumulator, state_at(&a, states, sequence, index, head, first_v, 0), a.K, cols_v, a.K)

/* Kernels for states of up to COLS_K key columns. */
#define STATE_KERNEL_FOR(name, writers, cols_k) KERNEL(name##_##writers##_##cols_k, ChunkDplrArguments)
#define STATE_KERNEL_OF(name, writers, cols_k)  STATE_KERNEL_FOR(name, writers, cols_k)
#define STATE_KERNEL(name)                      STATE_KERNEL_OF(name, WRITERS, COLS_K)
#define DSTATE_KERNEL(name)                     SIZED_KERNEL(name, COLS_K, ChunkDplrArguments)

#define COLS_K 64
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dstate.h"
#define WRITERS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#define WRITERS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#undef COLS_K
#define COLS_K 128
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dstate.h"
#define WRITERS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#define WRITERS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#undef COLS_K
#define COLS_K 256
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dstate.h"
#define WRITERS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#define WRITERS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#undef COLS_K
