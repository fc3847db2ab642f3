/* Causal softmax attention, one program per 64 queries or 64 keys of a head, for heads of up to 32, 64, 128 and 256. */
#include "tile/tile.h"
#include "kernels/softmax/attention/attention.h"

/* Tokens of one document have one segment number, and numbers never decrease: what query t sees is a range of keys. */
DEVICE int64_t first_key(const int32_t *segment, int64_t window, int64_t t) {
    int64_t low = t - window + 1 > 0 ? t - window + 1 : 0, high = t;
    while (segment[low] != segment[t]) {
        const int64_t middle = (low + high) / 2;
        if (segment[middle] == segment[t])
            high = middle;
        else
            low = middle;
        if (low + 1 >= high) low = high;
    }
    return low;
}

/* The last query that sees key t. */
DEVICE int64_t last_query(const int32_t *segment, int64_t window, int64_t T, int64_t t) {
    int64_t low = t, high = t + window < T ? t + window - 1 : T - 1;
    while (segment[high] != segment[t]) {
        const int64_t middle = (low + high) / 2;
        if (segment[middle] == segment[t])
            low = middle;
        else
            high = middle;
        if (low + 1 >= high) high = low;
    }
    return high;
}

DEVICE float larger(float x, float y) { return x > y ? x : y; }

/* delta = sum over the head of out * its gradient: what the softmax's backward subtracts. One token per program. */
KERNEL(attention_delta, AttentionArguments) {
    for (int64_t head = 0; head < a.heads; head++) {
        const int64_t at = program_x * a.out_stride + head * a.head_dim;
        const element *out = (const element *)a.out + at, *gradient = (const element *)a.out_gradient + at;
        float delta = 0;
        SUM(delta, i, a.head_dim, to_float(out[i]) * to_float(gradient[i]));
        EACH (i, 1) a.delta[program_x * a.heads + head] = delta;
    }
}

#define ATTENTION_KERNEL(name) KERNEL(name, AttentionArguments) /* expands name first */

#define HEAD              32
#define attention_forward attention_forward_32
#define attention_queries attention_queries_32
#define attention_keys    attention_keys_32
#include "kernels/softmax/attention/attention_head.h"
#define HEAD              64
#define attention_forward attention_forward_64
#define attention_queries attention_queries_64
#define attention_keys    attention_keys_64
#include "kernels/softmax/attention/attention_head.h"
#define HEAD              128
#define attention_forward attention_forward_128
#define attention_queries attention_queries_128
#define attention_keys    attention_keys_128
#include "kernels/softmax/attention/attention_head.h"
#define HEAD              256
#define attention_forward attention_forward_256
#define attention_queries attention_queries_256
#define attention_keys    attention_keys_256
#include "kernels/softmax/attention/attention_head.h"
