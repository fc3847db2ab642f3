/* Arguments of the chunk_simple_gla kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_CHUNK_SIMPLE_GLA_CHUNK_SIMPLE_GLA_H
#define FLAME_KERNELS_RECURRENCES_CHUNK_SIMPLE_GLA_CHUNK_SIMPLE_GLA_H

#include <stdint.h>

#include "kernels/chunk.h"

enum {
    CHUNK_SIMPLE_GLA_K = 64, /* the widths of the blocks of K and of V that a program works on */
    CHUNK_SIMPLE_GLA_V = 64,
    CHUNK_SIMPLE_GLA_STATE_K = 128, /* width of K where the state is carried: each block of K reads v again */
    CHUNK_SIMPLE_GLA_PARTS = 5,     /* parts of the gates' gradients, besides two for each block of K */
    CHUNK_SIMPLE_GLA_HEADS = 32,    /* heads of a program that computes decays or gates' gradients */
    CHUNK_SIMPLE_GLA_DECAYS = 64    /* heads with a constant decay, at most */
};

/* The number of chunks of a span. A state is stored once for each span: for two chunks on a GPU, where storing and
 * loading it is what costs time. */
#define CHUNK_SIMPLE_GLA_SPAN(gpu) ((gpu) ? 2 : 1)
/* Rows of decays of a chunk and head. */
#define CHUNK_SIMPLE_GLA_DECAY_ROWS(gpu) ((gpu) ? 4 : 5)

/* Head n of `heads` reads query head n * q_heads / heads, and so on. k_heads divides q_heads; q_heads and v_heads
 * divide heads. Heads have one row per token, with entries of the element type. All other arrays except the gates and
 * the initial state are contiguous. A kernel's caller may leave out (NULL) what the kernel does not use; the gates,
 * `skip`, `initial`, `final` and their gradients may always be left out. */
typedef struct ChunkSimpleGlaArguments {
    Heads q, k, v;          /* [N, q_heads*K], [N, k_heads*K], [N, v_heads*V] */
    const float *g;         /* [N, heads]; NULL: log_decay */
    const float *s;         /* [N, heads]; NULL: 0 */
    const void *skip;       /* elements [heads]; NULL: 0 */
    const int32_t *segment; /* [N] */
    const float *initial;   /* [B*heads*K, V] */
    float *decays;          /* [B, chunks, heads, CHUNK_SIMPLE_GLA_DECAY_ROWS(gpu), 64] */
    void *state;            /* elements [B, spans, heads, K, V], before each span */
    float *final;           /* [B*heads*K, V] */
    Heads o;                /* [N, heads*V] */
    int64_t g_stride, s_stride, initial_stride;

    Heads do_;                   /* gradient of o */
    const float *dfinal;         /* gradient of final */
    void *dstate;                /* elements [B, spans, heads, K, V]: gradient of the state after each span */
    float *products, *dproducts; /* [B, chunks, q_heads, 64, 64]: P and its gradient */
    float *crossing, *dcrossing; /* the same of a span's second chunk with its first */
    float *parts;                /* [B, chunks, heads, parts, 64]: parts of the gradients of g, s and skip */
    Heads dq, dk, dv;
    float *dg, *ds, *dinitial;
    float *dskip; /* [B, spans, heads]: parts of the gradient of skip */

    int64_t T, chunks, heads, q_heads, k_heads, v_heads, K, V;
    float scale;                              /* factor of q */
    float log_decay[CHUNK_SIMPLE_GLA_DECAYS]; /* by head, for every token */
} ChunkSimpleGlaArguments;

/* Code that the kernels share. */
#ifdef FLAME_KERNEL_FILE
enum {
    ROWS = CHUNK_ROWS,
    WIDTH_K = CHUNK_SIMPLE_GLA_K,
    WIDTH_V = CHUNK_SIMPLE_GLA_V,
    STATE_K = CHUNK_SIMPLE_GLA_STATE_K,
    HALF = CHUNK_HALF,
    SPAN = CHUNK_SIMPLE_GLA_SPAN(ON_GPU)
};

DEVICE int64_t spans_of(const ChunkSimpleGlaArguments *a) { return (a->chunks + SPAN - 1) / SPAN; }

/* Whether another chunk of the chunk's span comes before it (follows) or after it (followed). */
DEVICE bool follows(int64_t index) { return index % SPAN > 0; }
DEVICE bool followed(const ChunkSimpleGlaArguments *a, int64_t index) {
    return index % SPAN < SPAN - 1 && index + 1 < a->chunks;
}

/* Offset of entry (k, v) of the state of (the chunk's span, head). */
DEVICE int64_t state_offset(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t head, int64_t k,
                            int64_t v) {
    return chunk_offset(spans_of(a), a->heads, sequence, index / SPAN, head, a->K * a->V) + k * a->V + v;
}

/* Offset of the 64 x 64 products of (chunk index, query head). */
DEVICE int64_t products_offset(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t q_head) {
    return chunk_offset(a->chunks, a->q_heads, sequence, index, q_head, ROWS * ROWS);
}

/* For each (chunk index, head), rows of 64 numbers that are parts of the gradients of its gates: the sums over rows and
 * over columns of A'_ij A_ij below the diagonal; the same for the products with the chunk before (by rows) and with the
 * chunk after (by columns); the diagonal of A'; and, for each block k of K, what it reads of the state before the span
 * and writes to the state after it. */
enum { OF_ROWS, OF_COLUMNS, CROSS_ROWS, CROSS_COLUMNS, DIAGONAL, PARTS = CHUNK_SIMPLE_GLA_PARTS };
DEVICE float *parts_of(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    const int64_t blocks = (a->K + WIDTH_K - 1) / WIDTH_K;
    return a->parts + chunk_offset(a->chunks, a->heads, sequence, index, head, (PARTS + 2 * blocks) * ROWS);
}
DEVICE float *reads_of(float *parts, int64_t k) { return parts + (PARTS + 2 * k) * ROWS; }
DEVICE float *writes_of(float *parts, int64_t k) { return reads_of(parts, k) + ROWS; }

/* The numbers of token i of a chunk from which the rows of M are stored: the sum of the logarithms up to i or, on the
 * CPU, M_ri for the last row r of the first half; e^g; e^s; and s times log2(e). */
typedef struct TokenDecays {
    float of_m, step, start, scale;
} TokenDecays;

/* The rows of decays of (chunk index, head): those of M, for MULTIPLY_BY_DECAYS, then u (UPTO) and w (AFTER). */
#if defined(__CUDACC__) || defined(TILE_EMULATOR)
enum { LOG_UPTO, LOG_FROM, UPTO, AFTER, DECAYS };
DEVICE void store_of_m(float *decays, int64_t i, TokenDecays token) {
    decays[LOG_UPTO * ROWS + i] = token.of_m;
    decays[LOG_FROM * ROWS + i] = token.of_m - token.scale;
}
#else
enum { TO_HALF, STEP, START, UPTO, AFTER, DECAYS };
DEVICE void store_of_m(float *decays, int64_t i, TokenDecays token) {
    decays[TO_HALF * ROWS + i] = i < HALF ? token.of_m : 0.0f;
    decays[STEP * ROWS + i] = token.step;
    decays[START * ROWS + i] = token.start;
}
#endif
enum { OF_M = UPTO }; /* rows of M */
TILE_ASSERT((int)DECAYS == CHUNK_SIMPLE_GLA_DECAY_ROWS(ON_GPU), "the host reserves another number of rows");
#define LEAST_LOG (-150.0f) /* of a step: 2^-150 is 0 in fp32. A sum of 64 is exact to 1e-3 or better */
DEVICE float *decays_of(const ChunkSimpleGlaArguments *a, int64_t sequence, int64_t index, int64_t head) {
    return a->decays + chunk_offset(a->chunks, a->heads, sequence, index, head, DECAYS * ROWS);
}

/* MULTIPLY_BY_DECAYS(A, decays) multiplies the accumulator's entries on and below the diagonal by M_ij, and sets those
 * above it to 0. PRODUCTS(P) declares P in registers, which products_load fills. TILE_OF_A(A, P, decays, D) makes the
 * tile A from P, with D added on the diagonal; it does not touch the upper right quarter. */
#if defined(__CUDACC__) || defined(TILE_EMULATOR)
/* M_ij is 2^(the sum of the logarithms up to i minus that up to j). */
#define DECAYED(x, decays, i, j)                                                                                       \
    ((j) <= (i) ? (x)*exp2_f(ENTRY(decays, LOG_UPTO, i) - ENTRY(decays, LOG_FROM, j)) : 0.0f)
#define MULTIPLY_BY_DECAYS(A, decays) MAP(A, i_, j_, x_, x_ = DECAYED(x_, decays, i_, j_))
#define PRODUCTS(P)                   TRIANGLE(P)
#define products_load(P, from)        triangle_load(P, from)
#define TILE_OF_A(A, P, decays, D)                                                                                     \
    do {                                                                                                               \
        TILE_VIEW(top_, A, 0, 0, HALF, HALF);                                                                          \
        TILE_VIEW(bottom_, A, HALF, 0, HALF, ROWS);                                                                    \
        MAP_INTO(top_, P##_top, i_, j_, x_, x_ = DECAYED(x_, decays, i_, j_) + (j_ == i_ ? (D) : 0.0f));               \
        MAP_INTO(bottom_, P##_bottom, row_, j_, x_, const int i_ = HALF + row_;                                        \
                 x_ = DECAYED(x_, decays, i_, j_) + (j_ == i_ ? (D) : 0.0f));                                          \
    } while (0)
#else
/* M_ij is the product of the steps after row j, computed down the column. The second half of the rows begins with the
 * product over the first half. */
#define EACH_DECAY(decays, i, j, decay, ...)                                                                           \
    BLOCK_WALK(decay, half_ ? ENTRY(decays, TO_HALF, j) : 0.0f, half_, 2, j, ROWS, n_, HALF, {                         \
        const int i = half_ * HALF + n_;                                                                               \
        const float next_ = decay * ENTRY(decays, STEP, i);                                                            \
        decay = j == i ? ENTRY(decays, START, j) : next_;                                                              \
        __VA_ARGS__;                                                                                                   \
    })
#define MULTIPLY_BY_DECAYS(A, decays)                                                                                  \
    EACH_DECAY(decays, i_, j_, decay_, ENTRY(A, i_, j_) = j_ <= i_ ? ENTRY(A, i_, j_) * decay_ : 0.0f)
#define PRODUCTS(P)            ACCUMULATOR(P, ROWS, ROWS)
#define products_load(P, from) accumulator_load(P, from, ROWS, ROWS, ROWS)
#define TILE_OF_A(A, P, decays, D)                                                                                     \
    EACH_DECAY(decays, i_, j_, decay_,                                                                                 \
               PUT(A, i_, j_, j_ <= i_ ? ENTRY(P, i_, j_) * decay_ + (j_ == i_ ? (D) : 0.0f) : 0.0f))
#endif

/* Loads the product of two chunks from memory to the tile, each entry times `factor`, an expression of i and j. It does
 * so half by half, to save registers. */
#define TILE_OF_CROSSING(weights, part, from, i, j, factor)                                                            \
    for (int half_ = 0; half_ < 2; half_++) {                                                                          \
        TILE_VIEW(rows_, weights, half_ *HALF, 0, HALF, ROWS);                                                         \
        accumulator_load(part, (from) + half_ * HALF * ROWS, ROWS, HALF, ROWS);                                        \
        MAP_INTO(rows_, part, row_, j, x_, const int i __attribute__((unused)) = half_ * HALF + row_; x_ *= (factor)); \
    }

DEVICE float skip_of(const ChunkSimpleGlaArguments *a, int64_t head) {
    return a->skip ? to_float(((const element *)a->skip)[head]) : 0.0f;
}
#else
#include "core/tape.h"

/* For ops with the same state (mesa_solve). The caller has set all arguments that the kernels read and write, except
 * the memory for intermediate results. `type` is that of the elements. */

/* Take memory for states and decays, and for products: if `kept` with node_workspace, otherwise from the tape. */
void chunk_simple_gla_take_states(Node *node, DType type, ChunkSimpleGlaArguments *arguments);
void chunk_simple_gla_take_products(Node *node, bool kept, ChunkSimpleGlaArguments *arguments);
/* Compute the decays and the states before each span, and the products. */
void chunk_simple_gla_states(const Node *node, DType type, const ChunkSimpleGlaArguments *arguments);
void chunk_simple_gla_products(const Node *node, DType type, const ChunkSimpleGlaArguments *arguments);
/* Computes the gradients from all of these. */
void chunk_simple_gla_gradients(Node *node, DType type, ChunkSimpleGlaArguments *arguments);
#endif

#endif
