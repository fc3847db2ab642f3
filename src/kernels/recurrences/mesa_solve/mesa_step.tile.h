/* One token of mesa_solve; equations in mesa_step.h and mesa_solve.tile.h. H is symmetric, so that a thread has a
 * column of it and an entry of each vector. */
#include "tile/tile.h"
#include "kernels/recurrences/mesa_solve/mesa_step.h"

enum { COLS_K = MESA_SOLVE_K };

/* Programs: x over heads, y over sequences. */
KERNEL(mesa_step, MesaStepArguments) {
    VECTOR(key, COLS_K);
    VECTOR(lambda, COLS_K);
    VECTOR(x, COLS_K);
    VECTOR(p, COLS_K);
    VECTOR(r, COLS_K); /* q - (H + diag(lambda)) x */
    VECTOR(y, COLS_K); /* (H + diag(lambda)) p */
    const int64_t head = program_x, sequence = program_y, K = a.K, at = (sequence * a.heads + head) * K * K;
    const float decay = exp_f(a.g[sequence * a.g_stride + head]), factor = exp_f(a.s[sequence * a.s_stride + head]);
    const element *const q = (const element *)a.q.data + entry_of_head(a.q, K, sequence, head, 0);
    const element *const k = (const element *)a.k.data + entry_of_head(a.k, K, sequence, head, 0);
    const element *const raw_lambda = (const element *)a.raw_lambda + head * K;
    float *const H = a.final + at;
    EACH (d, K) {
        const float raw = to_float(raw_lambda[d]);
        lambda[d] = a.lower_bound + softplus_f(raw);
        key[d] = to_float(k[d]);
        x[d] = 0;
        p[d] = r[d] = to_float(q[d]);
    }
    sync();
    for (int64_t i = 0; i < K; i++) {
        EACH (d, K) H[i * K + d] = decay * a.state[at + i * K + d] + factor * key[i] * key[d];
    }
    float square = 0;
    SUM(square, d, K, r[d] * r[d]);
    for (int32_t n = 0; n < a.steps; n++) {
        EACH (d, K) y[d] = lambda[d] * p[d];
        for (int64_t i = 0; i < K; i++) {
            EACH (d, K) y[d] += H[i * K + d] * p[i];
        }
        float along = 0, next = 0;
        SUM(along, d, K, p[d] * y[d]);
        const float step = square / (along + a.damping);
        EACH (d, K) {
            x[d] += step * p[d];
            r[d] -= step * y[d];
        }
        SUM(next, d, K, r[d] * r[d]);
        const float turn = next / (square + a.damping);
        EACH (d, K) p[d] = r[d] + turn * p[d];
        square = next;
        sync();
    }
    element *const to = (element *)a.x.data + entry_of_head(a.x, K, sequence, head, 0);
    EACH (d, K) to[d] = to_element(x[d]);
}
