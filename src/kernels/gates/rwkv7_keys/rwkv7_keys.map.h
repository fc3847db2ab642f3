/* The keys of RWKV-7's state update; equations in rwkv7_keys.h. Sums are fp32. */
#include "tile/tile.h"
#include "kernels/gates/rwkv7_keys/rwkv7_keys.h"
#include "tile/rows.h"

KERNEL(rwkv7_keys, Rwkv7KeysArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    EACH_GROUP (row, head, first, end, a.heads, a.cols) {
        const int64_t column = head * a.cols, at = row * a.stride + column;
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *rate = (const element *)a.rate + row * a.rate_stride + column;
        const element *scale = (const element *)a.scale + column, *mix = (const element *)a.mix + column;
        element *key = (element *)a.key + at, *reader = (element *)a.reader + at, *writer = (element *)a.writer + at;
        VECTORS_OF(x, rate, scale, mix, key, reader, writer);
        float square = 0;
        WARP_SUM_VECTOR(i, a.cols, square) {
            READ(n, x + i);
            READ(s, scale + i);
            EACH_LANE(e) square += n[e] * s[e] * (n[e] * s[e]);
        }
        WARP_TOTAL(square);
        const float inverse = reciprocal_root_f(square + a.eps);
        WARP_VECTOR(i, a.cols) {
            READ(n, x + i);
            READ(s, scale + i);
            READ(r, rate + i);
            READ(m, mix + i);
            EACH_LANE(e) {
                m[e] = n[e] * (1.0f + (r[e] - 1.0f) * m[e]);
                n[e] *= s[e] * inverse;
                r[e] *= n[e];
                n[e] = -n[e];
            }
            WRITE(key + i, m);
            WRITE(reader + i, n);
            WRITE(writer + i, r);
        }
        WARP_EACH(one, 1) a.inverse[row * a.heads + head] = inverse;
    }
}

/* Programs: x over rows, y over heads. */
KERNEL(rwkv7_keys_backward, Rwkv7KeysBackwardArguments) {
    COLUMNS(scale_sums, 1, WARP_COLS);
    COLUMNS(mix_sums, 1, WARP_COLS);
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t head = program_y, column = head * a.cols;
    columns_zero(scale_sums, WARP_COLS, a.cols);
    columns_zero(mix_sums, WARP_COLS, a.cols);
    EACH_SHORT_ROW (row, first, end, a.cols) {
        const int64_t at = row * a.stride + column;
        const element *x = (const element *)a.x + row * a.x_stride + column;
        const element *rate = (const element *)a.rate + row * a.rate_stride + column;
        const element *scale = (const element *)a.scale + column, *mix = (const element *)a.mix + column;
        const element *dkey = (const element *)a.dkey + at, *dreader = (const element *)a.dreader + at;
        const element *dwriter = (const element *)a.dwriter + at;
        element *dx = (element *)a.dx + row * a.x_stride + column;
        element *drate = (element *)a.drate + row * a.rate_stride + column;
        const float inverse = a.inverse[row * a.heads + head];
        VECTORS_OF(x, rate, scale, mix, dkey, dreader, dwriter, dx, drate);
        float dot = 0; /* sum(n dn) / inverse */
        WARP_SUM_VECTOR(i, a.cols, dot) {
            READ(value, x + i);
            READ(s, scale + i);
            READ(r, rate + i);
            READ(from_reader, dreader + i);
            READ(written, dwriter + i);
            EACH_LANE(e) dot += value[e] * s[e] * (r[e] * written[e] - from_reader[e]);
        }
        WARP_TOTAL(dot);
        const float along = dot * inverse;
        WARP_VECTOR(i, a.cols) {
            READ(value, x + i);
            READ(s, scale + i);
            READ(r, rate + i);
            READ(m, mix + i);
            READ(d, dkey + i);
            READ(from_reader, dreader + i);
            READ(written, dwriter + i);
            EACH_LANE(e) {
                const float n = value[e] * s[e] * inverse, past = r[e] - 1.0f;
                const float dz = inverse * (r[e] * written[e] - from_reader[e] - n * along);
                r[e] = n * written[e] + d[e] * value[e] * m[e];
                from_reader[e] = d[e] * value[e] * past;
                written[e] = dz * value[e];
                value[e] = d[e] * (1.0f + past * m[e]) + dz * s[e];
            }
            ADD_COLUMNS(scale_sums, i, written);
            ADD_COLUMNS(mix_sums, i, from_reader);
            WRITE(dx + i, value);
            WRITE(drate + i, r);
        }
    }
    sync();
    const int64_t to = program_x * a.heads * a.cols + column;
    EACH_VECTOR(i, a.cols) {
        READ_TOTALS(dscale, scale_sums, i, a.cols);
        READ_TOTALS(dmix, mix_sums, i, a.cols);
        WRITE_F32(a.partial_scale + to + i, dscale);
        WRITE_F32(a.partial_mix + to + i, dmix);
    }
}
