/* Attention with forget gates, and the running sums over time that it needs: those of the log gates, and those of the
 * gradients of these sums. */
#define TILE_PRODUCTS_IN_FULL
#include "tile/tile.h"
#include "kernels/softmax/attention/attention.h"
#include "kernels/softmax/attention/attention_tiles.h"

/* Computes the sums within each tile. Past T the sums stay constant. Program: RUNNING_SUM_WALKS tiles,
 * RUNNING_SUM_HEADS heads, sequence. */
KERNEL(running_sums_within, RunningSumsArguments) {
    const int64_t tile0 = program_x * RUNNING_SUM_WALKS, head0 = program_y * RUNNING_SUM_HEADS;
    BLOCK_WALK(sum, 0.0f, walk, RUNNING_SUM_WALKS, h, RUNNING_SUM_HEADS, i, ATTENTION_TILE, {
        const int64_t t = (tile0 + walk) * ATTENTION_TILE + i, head = head0 + h;
        if (head < a.heads && t < a.tokens) {
            const int64_t from = program_z * a.sequence_stride + t * a.token_stride + head * a.head_stride;
            if (t < a.T) sum += a.factor * (a.minus ? a.x[from] - a.minus[from] : a.x[from]);
            a.sums[(program_z * a.heads + head) * a.sums_of_head + t + (tile0 + walk) * SUMS_BEFORE] = sum;
        }
    });
}

/* Computes the sum before each tile: first the sum of each part of the tiles, then, within each part, from the sum of
 * the parts before it on. Program: head, sequence. */
KERNEL(running_sums_before, RunningSumsArguments) {
    const int64_t head = program_y * a.heads + program_x, tiles = a.tokens / ATTENTION_TILE;
    const int64_t tiles_of_part = (tiles + RUNNING_SUM_PARTS - 1) / RUNNING_SUM_PARTS;
    float *const sums = a.sums + head * a.sums_of_head + ATTENTION_TILE;
    double *const parts = a.parts + head * RUNNING_SUM_PARTS;
    EACH (part, RUNNING_SUM_PARTS) {
        double sum = 0;
        for (int64_t n = part * tiles_of_part; n < tiles && n < (part + 1) * tiles_of_part; n++)
            sum += sums[n * (ATTENTION_TILE + SUMS_BEFORE) - 1];
        parts[part] = sum;
    }
    sync();
    EACH (part, RUNNING_SUM_PARTS) {
        double sum = 0;
        for (int64_t earlier = 0; earlier < part; earlier++) sum += parts[earlier];
        for (int64_t n = part * tiles_of_part; n < tiles && n < (part + 1) * tiles_of_part; n++) {
            float *const before = sums + n * (ATTENTION_TILE + SUMS_BEFORE);
            before[0] = (float)sum;
            before[1] = (float)(sum - (double)before[0]);
            sum += before[-1];
        }
    }
}

/* Program: tokens, head, sequence. */
KERNEL(attention_gate_gradient, GateGradientArguments) {
    const int64_t sequence = program_z * a.T, t0 = program_x * 2 * ATTENTION_TOKENS;
    const float *const sums = a.sums + (program_z * a.heads + program_y) * a.sums_of_head;
    EACH (i, a.T - t0 < 2 * ATTENTION_TOKENS ? a.T - t0 : 2 * ATTENTION_TOKENS) {
        const int t = (int)(t0 + i), end = a.last_query[sequence + t];
        float gradient = 0;
        if (t > 0 && a.segment[sequence + t] == a.segment[sequence + t - 1]) {
            const float *const last = sums_of_tile(sums, end), *const first = sums_of_tile(sums, t - 1);
            gradient = last[end % ATTENTION_TILE] - first[(t - 1) % ATTENTION_TILE] +
                       (last[ATTENTION_TILE] - first[ATTENTION_TILE]) +
                       (last[ATTENTION_TILE + 1] - first[ATTENTION_TILE + 1]);
        }
        a.dg[(sequence + t) * a.stride + program_y] = gradient;
    }
}

#define GATES                  1
#define ATTENTION_KERNEL(name) SIZED_KERNEL(name##_gates, HEAD, AttentionArguments)

#define HEAD 32
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 64
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 128
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 256
#include "kernels/softmax/attention/attention_head.h"
