/* codebook_attention for calls that go on with a text; equations in codebook_attention.h and codebook_step.h. */
#include "tile/tile.h"
#include "kernels/softmax/codebook_attention/codebook_step.h"
#include "kernels/softmax/row_products.h"
#include "kernels/softmax/single_query.h"

enum { KEYS = CODEBOOK_STEP_KEYS, COLS = CODEBOOK_STEP_COLS };

/* The row of the token `back` tokens before the newest one. */
DEVICE int64_t row_before(const CodebookStepArguments *a, int64_t sequence, int64_t back) {
    return sequence * a->capacity + (a->newest - back) % a->capacity;
}

DEVICE int64_t value_blocks(const CodebookStepArguments *a) { return blocks_of(a->value_dim, COLS); }

/* Moves the kept memory on, from that of the last token before the call to that of the last token in it. Program:
 * sequence, head and columns of values. */
KERNEL(codebook_attention_advance, CodebookStepArguments) {
    const int64_t sequence = program_x, head = program_y / value_blocks(&a);
    const int64_t first = program_y % value_blocks(&a) * COLS,
                  cols = a.value_dim - first < COLS ? a.value_dim - first : COLS;
    const int64_t last = a.position[sequence * a.position_stride + a.T - 1],
                  memory = (sequence * a.heads + head) * a.codes;
    float *const sums = a.sums + memory * a.value_dim + first, *const numbers = a.numbers + memory;
    const bool begins = last < a.T;
    const int64_t from = begins ? 0 : memory_end(last - a.T, a.block, a.window);
    for (int64_t code = 0; code < a.codes && begins; code++) {
        EACH (i, cols) sums[code * a.value_dim + i] = 0;
        EACH (one, first == 0 ? 1 : 0) numbers[code + one] = 0;
    }
    for (int64_t at = from; at < memory_end(last, a.block, a.window); at++) {
        const int64_t row = row_before(&a, sequence, last - at);
        const int64_t code = ((const int32_t *)a.past_index.data)[row * a.past_index.stride + head];
        const element *const v = (const element *)a.past_v.data + row * a.past_v.stride + head * a.value_dim + first;
        EACH (i, cols) sums[code * a.value_dim + i] += to_float(v[i]);
        EACH (one, first == 0 ? 1 : 0) numbers[code + one] += 1;
    }
}

/* Computes one token of each sequence: first the keys that it sees itself, from the newest on, then the codes. Program:
 * sequence, head and columns of values. */
KERNEL(codebook_attention_step, CodebookStepArguments) {
    VECTOR(query, CODEBOOK_STEP_HEAD);
    VECTOR(sums, COLS);
    VECTOR(scores, KEYS);
    VECTOR(weights, KEYS);
    VECTOR(numbers, KEYS);
    const int64_t sequence = program_x, head = program_y / value_blocks(&a), D = a.head_dim;
    const int64_t first = program_y % value_blocks(&a) * COLS,
                  cols = a.value_dim - first < COLS ? a.value_dim - first : COLS;
    const int64_t position = a.position[sequence * a.position_stride], memory = (sequence * a.heads + head) * a.codes;
    const int64_t kept = memory_end(position, a.block, a.window), there = a.past + 1;
    const int64_t seen = position - kept + 1 < there ? position - kept + 1 : there;
    const int64_t all = seen + (kept > 0 ? a.codes : 0);
    const element *const q = (const element *)a.q.data + entry_of_head(a.q, D, sequence, head, 0);
    const element *const relative =
        (const element *)a.relative.data + entry_of_head(a.relative, a.distances, sequence, head, 0);
    float largest = -1e30f, total = 0;
    EACH (i, D) query[i] = to_float(q[i]) * a.scale;
    EACH (i, cols) sums[i] = 0;
    sync();
    for (int64_t begin = 0; begin < all; begin += KEYS) {
        const int64_t count = all - begin < KEYS ? all - begin : KEYS;
        EACH_SHORT_ROW (j, 0, count, D) {
            const int64_t n = begin + j, code = n - seen;
            const element *const k =
                n == 0     ? (const element *)a.k.data + entry_of_head(a.k, D, sequence, head, 0)
                : n < seen ? (const element *)a.past_k.data + row_before(&a, sequence, n) * a.past_k.stride + head * D
                           : (const element *)a.code + (head * a.codes + code) * D;
            const float number = n < seen ? 1.0f : a.numbers[memory + code];
            const float added = n < seen && n <= a.window ? to_float(relative[n]) : 0.0f;
            float score;
            row_times_vector(score, READ, k, query, D);
            WARP_EACH(one, 1) {
                scores[j + one] = number > 0.0f ? score + added : -1e30f;
                numbers[j + one] = number;
            }
        }
        sync();
        float stays;
        query_weights(weights, scores, count, numbers[j], largest, total, stays);
        EACH (i, cols) sums[i] *= stays;
        for (int64_t j = 0; j < count; j++) {
            const int64_t n = begin + j;
            const element *const v =
                n == 0 ? (const element *)a.v.data + entry_of_head(a.v, a.value_dim, sequence, head, first)
                       : (const element *)a.past_v.data + row_before(&a, sequence, n) * a.past_v.stride +
                             head * a.value_dim + first;
            const float *const of_code = a.sums + (memory + n - seen) * a.value_dim + first;
            if (n < seen)
                EACH (i, cols) sums[i] += weights[j] * to_float(v[i]);
            else
                EACH (i, cols) sums[i] += weights[j] * of_code[i];
        }
        sync();
    }
    element *const out = (element *)a.out.data + entry_of_head(a.out, a.value_dim, sequence, head, first);
    EACH (i, cols) out[i] = to_element(sums[i] / total);
}
