/* The walk of chunk_dplr over the chunks of a sequence, which carries the state or its gradient; equations in
 * chunk_dplr_chunk.h. A program holds WIDTH_V columns of V of the state, with all of K, in registers. All its
 * accumulators are transposed, so that what a product leaves in a warp's registers is the left operand of the warp's
 * next product. */
#include "tile/tile.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr.h"
#include "kernels/recurrences/chunk_dplr/chunk_dplr_chunk.h"

/* Load an accumulator [values, keys] from `from` [K, V], or with 0 if that is NULL, and store one to `to` [K, V]. */
#define transposed_load(accumulator, from, stride)                                                                     \
    MAP(accumulator, v_, d_, x_, x_ = (from) && v_ < cols_v && d_ < a.K ? (from)[d_ * (stride) + v_] : 0.0f)
#define transposed_store(accumulator, to, stride)                                                                      \
    MAP(accumulator, v_, d_, x_, if (v_ < cols_v && d_ < a.K)(to)[d_ * (stride) + v_] = x_)
#define store_state(accumulator, states, index)                                                                        \
    accumulator_store(accumulator, state_at(&a, states, sequence, index, head, first_v, 0), a.K, cols_v, a.K)

/* Kernels for states of up to KEYS key columns. */
#define STATE_KERNEL_FOR(name, written, keys) KERNEL(name##_##written##_##keys, ChunkDplrArguments)
#define STATE_KERNEL_OF(name, written, keys)  STATE_KERNEL_FOR(name, written, keys)
#define STATE_KERNEL(name)                    STATE_KERNEL_OF(name, WRITTEN_KEYS, KEYS)
#define DSTATE_KERNEL(name)                   KERNEL_OF(name, KEYS)

#define KEYS 64
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dstate.h"
#define WRITTEN_KEYS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#define WRITTEN_KEYS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#undef KEYS
#define KEYS 128
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dstate.h"
#define WRITTEN_KEYS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#define WRITTEN_KEYS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#undef KEYS
#define KEYS 256
#include "kernels/recurrences/chunk_dplr/chunk_dplr_dstate.h"
#define WRITTEN_KEYS 1
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#define WRITTEN_KEYS 2
#include "kernels/recurrences/chunk_dplr/chunk_dplr_state.h"
#undef KEYS
