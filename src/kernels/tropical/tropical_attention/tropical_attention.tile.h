/* Attention by the tropical distance of queries and keys, on a GPU; equations in tropical_attention.h. Scores and
 * differences are fp32. Programs: x over tokens, y over heads, z over sequences. */
#include "tile/tile.h"
#include "kernels/tropical/tropical_attention/tropical_attention.h"

DEVICE float difference(const element *q, const element *k, int64_t d) { return to_float(q[d]) - to_float(k[d]); }

DEVICE float largest_difference(TEAM, const element *q, const element *k, int64_t cols) {
    float largest = -INFINITY;
    WARP_MAXIMUM(largest, d, cols, difference(q, k, d));
    return largest;
}

/* The first entry whose difference is `wanted`. */
DEVICE float entry_with(TEAM, float wanted, const element *q, const element *k, int64_t cols) {
    float entry = 1.0f - (float)cols;
    WARP_MAXIMUM(entry, d, cols, difference(q, k, d) == wanted ? -(float)d : -INFINITY);
    return -entry;
}

KERNEL(tropical_attention, TropicalArguments) {
    VECTOR(score, TROPICAL_TOKENS);
    VECTOR(largest, TROPICAL_COLS);
    const int64_t t = a.T - 1 - program_x, last = a.before + t;
    const int64_t first = last - a.position[program_z * a.T + t];
    const element *q = ROW(a.q, const element, t);
    int32_t *choice = ROW(a.choice, int32_t, t);
    EACH (d, a.cols) {
        largest[d] = -INFINITY;
        choice[d] = (int32_t)last;
    }
    for (int64_t s0 = first; s0 <= last; s0 += TROPICAL_TOKENS) {
        const int64_t s1 = s0 + TROPICAL_TOKENS <= last ? s0 + TROPICAL_TOKENS : last + 1;
        sync();
        EACH_ROW (s, s0, s1) {
            const element *k = KEY_ROW(a.k, s);
            const float distance =
                largest_difference(TEAM_HERE, q, k, a.cols) + largest_difference(TEAM_HERE, k, q, a.cols);
            WARP_EACH(i, 1) score[s - s0 + i] = -distance;
        }
        sync();
        for (int64_t s = s0; s < s1; s++) {
            const element *v = KEY_ROW(a.v, s);
            EACH (d, a.cols) {
                const float sum = score[s - s0] + to_float(v[d]);
                choice[d] = sum > largest[d] ? (int32_t)s : choice[d];
                largest[d] = sum > largest[d] ? sum : largest[d];
            }
        }
    }
    element *out = ROW(a.out, element, t);
    EACH (d, a.cols) out[d] = to_element(largest[d]);
}

KERNEL(tropical_queries, TropicalArguments) {
    VECTOR(up, TROPICAL_COLS); /* where q differs most, up and down, from the key that column d has chosen */
    VECTOR(down, TROPICAL_COLS);
    VECTOR(dq, TROPICAL_COLS);
    const element *q = ROW(a.q, const element, program_x), *dout = ROW(a.dout, const element, program_x);
    const int32_t *choice = ROW(a.choice, const int32_t, program_x);
    EACH_ROW (d, 0, a.cols) {
        const element *k = ROW(a.k, const element, choice[d]);
        const float most = largest_difference(TEAM_HERE, q, k, a.cols);
        const float least = -largest_difference(TEAM_HERE, k, q, a.cols);
        const float up_here = entry_with(TEAM_HERE, most, q, k, a.cols);
        const float down_here = entry_with(TEAM_HERE, least, q, k, a.cols);
        WARP_EACH(i, 1) {
            up[d + i] = up_here;
            down[d + i] = down_here;
        }
    }
    sync();
    EACH (i, a.cols) dq[i] = 0;
    for (int64_t d = 0; d < a.cols; d++) {
        const float ds = to_float(dout[d]);
        EACH (i, a.cols) dq[i] += (down[d] == (float)i ? ds : 0.0f) - (up[d] == (float)i ? ds : 0.0f);
    }
    element *to = ROW(a.dq, element, program_x);
    EACH (i, a.cols) to[i] = to_element(dq[i]);
}

/* No query of another document has chosen a key of this one. */
KERNEL(tropical_keys, TropicalArguments) {
    VECTOR(choices, TROPICAL_TOKENS); /* how many columns of query i have chosen the key */
    VECTOR(share, TROPICAL_TOKENS);   /* ds_ij, and below the entries to which it goes */
    VECTOR(up, TROPICAL_TOKENS);
    VECTOR(down, TROPICAL_TOKENS);
    VECTOR(dk, TROPICAL_COLS);
    VECTOR(dv, TROPICAL_COLS);
    const int64_t j = program_x;
    const int32_t *position = a.position + program_z * a.T;
    const element *k = ROW(a.k, const element, j);
    EACH (d, a.cols) dk[d] = dv[d] = 0;
    for (int64_t t0 = j; t0 < a.T && t0 - position[t0] <= j; t0 += TROPICAL_TOKENS) {
        const int64_t t1 = t0 + TROPICAL_TOKENS < a.T ? t0 + TROPICAL_TOKENS : a.T;
        sync();
        EACH_ROW (t, t0, t1) {
            const element *q = ROW(a.q, const element, t), *dout = ROW(a.dout, const element, t);
            const int32_t *choice = ROW(a.choice, const int32_t, t);
            float count = 0, ds = 0, up_here = 0, down_here = 0;
            WARP_SUM(count, d, a.cols, choice[d] == j ? 1.0f : 0.0f);
            if (count > 0) {
                WARP_SUM(ds, d, a.cols, choice[d] == j ? to_float(dout[d]) : 0.0f);
                up_here = entry_with(TEAM_HERE, largest_difference(TEAM_HERE, q, k, a.cols), q, k, a.cols);
                down_here = entry_with(TEAM_HERE, -largest_difference(TEAM_HERE, k, q, a.cols), q, k, a.cols);
            }
            WARP_EACH(i, 1) {
                choices[t - t0 + i] = count;
                share[t - t0 + i] = ds;
                up[t - t0 + i] = up_here;
                down[t - t0 + i] = down_here;
            }
        }
        sync();
        for (int64_t t = t0; t < t1; t++) {
            if (choices[t - t0] == 0) continue;
            const element *dout = ROW(a.dout, const element, t);
            const int32_t *choice = ROW(a.choice, const int32_t, t);
            const float ds = share[t - t0];
            EACH (d, a.cols) {
                dk[d] += (up[t - t0] == (float)d ? ds : 0.0f) - (down[t - t0] == (float)d ? ds : 0.0f);
                dv[d] += choice[d] == j ? to_float(dout[d]) : 0.0f;
            }
        }
    }
    element *to_k = ROW(a.dk, element, j), *to_v = ROW(a.dv, element, j);
    EACH (d, a.cols) {
        if (a.dk.data) to_k[d] = to_element(dk[d]);
        if (a.dv.data) to_v[d] = to_element(dv[d]);
    }
}
