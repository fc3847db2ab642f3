/* Kernels whose accesses to memory are known by heart. */
#include "tile/tile.h"
#include "meter/counted.h"

/* 32 of 128 threads read and write. */
KERNEL(counted_narrow, CountedArguments) {
    EACH (i, 32) a.out[i] = a.f[i];
}
/* Every second float. */
KERNEL(counted_stride, CountedArguments) {
    EACH (i, 128) a.out[i] = a.f[2 * i];
}
/* Lanes i and i + 16 of a warp want different words of one bank. */
KERNEL(counted_conflict, CountedArguments) {
    VECTOR(x, 256);
    EACH (i, 256) x[i] = 0;
    sync();
    EACH (i, 128) a.out[i] = x[2 * i];
}
KERNEL(counted_load, CountedArguments) {
    TILE(tile, 32, 64);
    tile_load(tile, (const element *)a.elements, a.stride, 32, 64);
    sync();
    EACH (i, 32) a.out[i] = AT(tile, (int)i, 0);
}
KERNEL(counted_product, CountedArguments) {
    TILE(left, 64, 32);
    TILE(right, 32, 64);
    ACCUMULATOR(product, 64, 64);
    EACH_TILE(left, i, j, x, x = (float)(i + j));
    EACH_TILE(right, i, j, x, x = (float)(i - j));
    sync();
    accumulator_zero(product);
    mma_nn(product, left, right);
    accumulator_store_f32(product, a.out, 64, 64, 64);
}
/* All programs read the same 128 floats, and each writes its own. */
KERNEL(counted_grid, CountedArguments) {
    float *out = a.out + (program_y * 4 + program_x) * 128;
    EACH (i, 128) out[i] = a.f[i];
}
/* Four programs in a row read the same 128 floats, and each writes its own. */
KERNEL(counted_groups, CountedArguments) {
    const float *f = a.f + program_z / 4 * 128;
    float *out = a.out + program_z * 128;
    EACH (i, 128) out[i] = f[i];
}
/* The sum along a column of which each element needs the one before. */
KERNEL(counted_chain, CountedArguments) {
    VECTOR(x, 64);
    EACH (i, 64) x[i] = 1;
    sync();
    EACH (j, 1) {
        for (int i = 1; i < 64; i++) x[i + j] += x[i + j - 1];
    }
    sync();
    EACH (i, 64) a.out[i] = x[i];
}
/* The second time the floats are in the cache. */
KERNEL(counted_twice, CountedArguments) {
    float sum = 0;
    SUM(sum, i, 1024, a.f[i]);
    SUM(sum, i, 1024, a.f[i] * a.f[i]);
    EACH (i, 1) a.out[i] = sum;
}
/* counted_narrow with more to compute. */
KERNEL(counted_arithmetic, CountedArguments) {
    EACH (i, 32) a.out[i] = exp_f(exp_f(exp_f(a.f[i])));
}
