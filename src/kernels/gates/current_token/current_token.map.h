/* The contribution of a token to its own output; equations in current_token.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/gates/current_token/current_token.h"
#include "tile/rows.h"

/* The wider of the two kinds of heads decides how many lanes a head has. */
DEVICE int64_t widest(int64_t K, int64_t V) { return K > V ? K : V; }

KERNEL(current_token, CurrentTokenArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, widest(a.K, a.V)) {
        const element *q = (const element *)a.q + row * a.q_stride + head * a.K;
        const element *k = (const element *)a.k + row * a.k_stride + head * a.K;
        const element *u = (const element *)a.u + head * a.K;
        const element *v = (const element *)a.v + row * a.v_stride + head * a.V;
        const element *o = (const element *)a.o + row * a.o_stride + head * a.V;
        element *z = (element *)a.z + row * a.z_stride + head * a.V;
        VECTORS_OF(q, k, u, v, o, z);
        float sum = 0;
        WARP_SUM_VECTOR(i, a.K, sum) {
            READ(query, q + i);
            READ(key, k + i);
            READ(factor, u + i);
            EACH_LANE(e) sum += query[e] * factor[e] * key[e];
        }
        WARP_TOTAL(sum);
        WARP_VECTOR(i, a.V) {
            READ(value, v + i);
            READ(total, o + i);
            EACH_LANE(e) total[e] += sum * value[e];
            WRITE(z + i, total);
        }
    }
}

/* Programs: x over rows, y over heads. */
KERNEL(current_token_backward, CurrentTokenBackwardArguments) {
    COLUMNS(sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t head = program_y;
    columns_zero(sums, WARP_COLS, a.K);
    EACH_SHORT_ROW (row, first, end, widest(a.K, a.V)) {
        const element *q = (const element *)a.q + row * a.q_stride + head * a.K;
        const element *k = (const element *)a.k + row * a.k_stride + head * a.K;
        const element *u = (const element *)a.u + head * a.K;
        const element *v = (const element *)a.v + row * a.v_stride + head * a.V;
        const element *dz = (const element *)a.dz + row * a.dz_stride + head * a.V;
        element *dq = (element *)a.dq + row * a.q_stride + head * a.K;
        element *dk = (element *)a.dk + row * a.k_stride + head * a.K;
        element *dv = (element *)a.dv + row * a.v_stride + head * a.V;
        VECTORS_OF(q, k, u, v, dz, dq, dk, dv);
        float sum = 0, dsum = 0;
        WARP_SUM_VECTOR(i, a.K, sum) {
            READ(query, q + i);
            READ(key, k + i);
            READ(factor, u + i);
            EACH_LANE(e) sum += query[e] * factor[e] * key[e];
        }
        WARP_SUM_VECTOR(i, a.V, dsum) {
            READ(value, v + i);
            READ(d, dz + i);
            EACH_LANE(e) dsum += d[e] * value[e];
        }
        WARP_TOTAL(sum);
        WARP_TOTAL(dsum);
        WARP_VECTOR(i, a.V) {
            READ(d, dz + i);
            EACH_LANE(e) d[e] *= sum;
            WRITE(dv + i, d);
        }
        WARP_VECTOR(i, a.K) {
            READ(query, q + i);
            READ(key, k + i);
            READ(factor, u + i);
            float product[VECTOR];
            EACH_LANE(e) {
                const float weight = dsum * factor[e], x = query[e];
                product[e] = dsum * x * key[e];
                query[e] = weight * key[e];
                key[e] = weight * x;
            }
            ADD_COLUMNS(sums, i, product);
            WRITE(dq + i, query);
            WRITE(dk + i, key);
        }
    }
    sync();
    float *partial = a.partial + (program_x * a.heads + head) * a.K;
    EACH_VECTOR(i, a.K) {
        READ_TOTALS(total, sums, i, widest(a.K, a.V));
        WRITE_F32(partial + i, total);
    }
}
