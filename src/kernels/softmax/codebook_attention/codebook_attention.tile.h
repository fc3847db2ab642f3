/* Softmax attention to a window and, before it, to codes, for keys of up to 32, 64, 128 and 256 columns. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/codebook_attention/codebook_attention.h"
#include "kernels/softmax/codebook_attention/codebook_step.h"
#include "kernels/softmax/online_softmax.h"
#include "kernels/softmax/row_products.h"
#include "tile/rows.h"

enum { KEYS_AT_ONCE = CODEBOOK_TILE(ON_GPU) };

/* The sequence of a program, and its head. */
typedef struct Sequence {
    int64_t number, head, first_row; /* its first row in matrices */
    const int32_t *position, *segment;
} Sequence;

DEVICE Sequence sequence_of(const CodebookArguments *a, int64_t number, int64_t head) {
    const int64_t row = number * a->T;
    const Sequence sequence = {number, head, row, a->position + row, a->segment + row};
    return sequence;
}

/* The rows of matrices for the tokens t .. end - 1. */
DEVICE Rows rows_of_tokens(Sequence sequence, int64_t t, int64_t end) {
    const Rows rows = {sequence.first_row + t, end - t};
    return rows;
}

/* The offset of the numbers of a head's tokens in log_sum_exp and delta. */
DEVICE int64_t tokens_at(const CodebookArguments *a, Sequence sequence) {
    return (sequence.number * a->heads + sequence.head) * a->T;
}

/* The offset of a memory's codes, counted in codes. */
DEVICE int64_t memory_at(const CodebookArguments *a, Sequence sequence, int memory) {
    return ((sequence.number * a->memories + memory) * a->heads + sequence.head) * a->codes;
}

/* The start of the token's block, and the first token that the token sees itself, not through its code. */
DEVICE int block_start(const CodebookArguments *a, Sequence sequence, int t) {
    return t - sequence.position[t] % (int)a->block;
}
DEVICE int first_key(const CodebookArguments *a, Sequence sequence, int t) {
    const int document = t - sequence.position[t], first = block_start(a, sequence, t) - (int)a->window;
    const int seen = first > document ? first : document;
    return seen > 0 ? seen : 0; /* seen < 0: the rows begin inside the document, and nobody needs this query */
}
/* The number of the memory that the token reads, or -1 if it sees all of its document. */
DEVICE int memory_of_token(const CodebookArguments *a, Sequence sequence, int t) {
    const int start = block_start(a, sequence, t);
    return start - (int)a->window > t - sequence.position[t] ? start / (int)a->block : -1;
}

/* A memory: it holds the tokens first .. end - 1 of a document, or none if it is empty. The block that begins at
 * `start` reads it. */
typedef struct Memory {
    int first, end, start;
} Memory;

DEVICE Memory memory_number(const CodebookArguments *a, Sequence sequence, int number) {
    const int block = (int)a->block, t = number * block;
    const int start = t + (block - sequence.position[t] % block) % block;
    Memory memory = {0, 0, 0};
    if (start < a->T && sequence.segment[start] == sequence.segment[t]) {
        memory.first = start - sequence.position[start];
        memory.end = start - (int)a->window;
        memory.start = start;
    }
    return memory;
}
/* The first row that is not in the kept memory, if the document of that memory goes on in the call; otherwise -1. */
DEVICE int first_not_kept(const CodebookArguments *a, Sequence sequence) {
    const int first_row = (int)a->past, position = sequence.position[first_row]; /* of the call */
    if (!a->sums || position == 0) return -1;
    return first_row - position + (int)memory_end(position - 1, a->block, a->window);
}
DEVICE bool is_empty(Memory memory) { return memory.end <= memory.first; }
/* The first token that the memory adds to the document's memory before it, which holds all earlier ones. */
DEVICE int first_added(const CodebookArguments *a, Memory memory) {
    const int first = memory.end - (int)a->block;
    return first > memory.first ? first : memory.first;
}

/* The score of query t and key s; -infinity if the query does not see the key itself. */
DEVICE float window_score(const CodebookArguments *a, Sequence sequence, int t, int first, int s, float product) {
    if (s > t || s < first) return -INFINITY;
    const element *const relative = (const element *)a->relative.data +
                                    entry_of_head(a->relative, a->distances, sequence.first_row + t, sequence.head, 0);
    return product * a->scale + (t - s <= a->window ? to_float(relative[t - s]) : 0.0f);
}

/* Loads the codes, or the means of a memory, from code s0 on. */
#define load_codes(tile, s0)                                                                                           \
    tile_load(tile, (const element *)a.code + (sequence.head * a.codes + (s0)) * a.head_dim, a.head_dim,               \
              a.codes - (s0), a.head_dim)
#define load_means(tile, memory, s0, column)                                                                           \
    tile_load(tile,                                                                                                    \
              (const element *)a.mean + (memory_at(&a, sequence, memory) + (s0)) * a.value_dim + (column)*tile##_cols, \
              a.value_dim, a.codes - (s0), a.value_dim - (column)*tile##_cols)

/* Program: tokens, sequence. */
KERNEL(codebook_attention_ranges, CodebookArguments) {
    const Sequence sequence = sequence_of(&a, program_y, 0);
    const int64_t t0 = program_x * CODEBOOK_ROWS;
    EACH (i, a.T - t0 < CODEBOOK_ROWS ? a.T - t0 : CODEBOOK_ROWS) {
        const int64_t t = t0 + i, at = sequence.position[t], document = t - at;
        const int64_t last_start = (at + a.window) / a.block * a.block, end = document + last_start + a.block;
        int64_t low = t, high = (end < a.T ? end : a.T) - 1;
        while (low < high) {
            const int64_t middle = (low + high + 1) / 2;
            if (sequence.segment[middle] == sequence.segment[t])
                low = middle;
            else
                high = middle - 1;
        }
        a.last_query[sequence.first_row + t] = (int32_t)low;
    }
}

/* delta = the sum over the head's columns of out * its gradient. Program: rows. */
KERNEL(codebook_attention_delta, CodebookArguments) {
    const int64_t first = program_x * a.rows_per_program, V = a.value_dim;
    EACH_GROUP (row, head, first, end_of_program(first, a.B * a.T, a.rows_per_program), a.heads, V) {
        const element *const out = (const element *)a.out.data + entry_of_head(a.out, V, row, head, 0);
        const element *const dout = (const element *)a.dout.data + entry_of_head(a.dout, V, row, head, 0);
        float delta;
        row_times_row(delta, out, dout, V);
        WARP_EACH(one, 1) a.delta[(row / a.T * a.heads + head) * a.T + row % a.T] = delta;
    }
}

#define CODEBOOK_KERNEL(name) SIZED_KERNEL(name, HEAD, CodebookArguments)

#define HEAD 32
#include "kernels/softmax/codebook_attention/codebook_attention_head.h"
#define HEAD 64
#include "kernels/softmax/codebook_attention/codebook_attention_head.h"
#define HEAD 128
#include "kernels/softmax/codebook_attention/codebook_attention_head.h"
#define HEAD 256
#include "kernels/softmax/codebook_attention/codebook_attention_head.h"
