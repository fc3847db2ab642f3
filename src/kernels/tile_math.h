/* Functions of one number for kernels: branch-free, so that loops over them vectorise without fast-math. */
#ifndef FLAME_KERNELS_TILE_MATH_H
#define FLAME_KERNELS_TILE_MATH_H

/* e^x to 2 ulp; 0 below -87.3, saturates above 88.3. Splits x = n ln 2 + r and takes a polynomial in r. */
DEVICE float exp_f(float x) {
    const float clamped = x < -87.33f ? -87.33f : (x > 88.37f ? 88.37f : x);
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const float n = clamped * 1.44269504f + shift - shift;
    const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    union {
        uint32_t bits;
        float value;
    } power;
    power.bits = (uint32_t)((int32_t)n + 127) << 23;
    return x < -87.33f ? 0.0f : p * power.value;
}

DEVICE float sigmoid_f(float x) { return 1.0f / (1.0f + exp_f(-x)); }
DEVICE float silu_f(float x) { return x * sigmoid_f(x); }

#endif
