/* Functions of one number for kernels: branch-free, so that loops over them vectorise without fast-math. */
#ifndef FLAME_TILE_TILE_MATH_H
#define FLAME_TILE_TILE_MATH_H

#if defined(__CUDACC__) || defined(TILE_MATH_OF_GPU)
/* e^x to 2 ulp, as 2^n with a correction for the rounding of n = x / ln 2; 0 below -87.3, saturates above 88.3. */
DEVICE float exp_f(float x) {
    const float clamped = greater(lesser(x, 88.37f), -100.0f);
    const float n = clamped * 1.44269504f;
    const float low = fmaf(n, 1.90465421e-9f, fmaf(n, -0.693147182f, clamped));
    const float power = power_of_two(n);
    return fmaf(power, low, power);
}

/* e^x to 2 + |x| ulp in half as many instructions, for sums with 1, whose rounding hides that; 0 below -87.3, saturates
 * above 88.3. */
DEVICE float exp_for_sum_f(float x) { return power_of_two(lesser(x * 1.44269504f, 127.5f)); }

/* 2^x to 2 ulp, 0 below -126: one instruction. */
DEVICE float exp2_f(float x) { return power_of_two(x); }

/* log(1 + u) for 0 <= u <= 1, to 2 ulp: u times a polynomial, which has no choice between two ranges to make. */
DEVICE float log1p_f(float u) {
    float p = -3.2438531e-3f;
    p = fmaf(p, u, 1.98506881e-2f);
    p = fmaf(p, u, -5.69580793e-2f);
    p = fmaf(p, u, 1.06035076e-1f);
    p = fmaf(p, u, -1.53055057e-1f);
    p = fmaf(p, u, 1.96759090e-1f);
    p = fmaf(p, u, -2.49541283e-1f);
    p = fmaf(p, u, 3.33299607e-1f);
    p = fmaf(p, u, -4.99999017e-1f);
    return u * fmaf(p, u, 1.0f);
}

/* a / b to 2 ulp for |b| < 2^126, 0 beyond. */
DEVICE float divide_f(float a, float b) { return a * reciprocal(b); }

/* 1 / sqrt(x) to 2 ulp. */
DEVICE float reciprocal_root_f(float x) { return reciprocal_root(x); }
#else
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

/* 2^x to 2 ulp; 0 below -126, saturates above 127.49. */
DEVICE float exp2_f(float x) {
    const float clamped = x < -126.0f ? -126.0f : (x > 127.49f ? 127.49f : x);
    const float shift = 12582912.0f;
    const float n = clamped + shift - shift;
    const float r = clamped - n;
    float p = 1.535336188e-4f;
    p = p * r + 1.339887440e-3f;
    p = p * r + 9.618437358e-3f;
    p = p * r + 5.550332471e-2f;
    p = p * r + 2.402264791e-1f;
    p = p * r + 6.931472029e-1f;
    p = p * r + 1.0f;
    union {
        uint32_t bits;
        float value;
    } power;
    power.bits = (uint32_t)((int32_t)n + 127) << 23;
    return x < -126.0f ? 0.0f : p * power.value;
}

/* log(1 + u) for 0 <= u <= 1, to 2 ulp. A polynomial in m, where 1 + u = 1 + m or 2 (1 + m), both exact. */
DEVICE float log1p_f(float u) {
    const bool upper = u > 0.41421356f;
    const float m = upper ? (u - 1.0f) * 0.5f : u;
    const float exponent = upper ? 1.0f : 0.0f;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * (m * m) - exponent * 2.12194440e-4f - 0.5f * (m * m);
    return m + p + exponent * 0.693359375f;
}

/* As above, but to the accuracy of exp_f, and correctly rounded. */
DEVICE float exp_for_sum_f(float x) { return exp_f(x); }
DEVICE float divide_f(float a, float b) { return a / b; }
DEVICE float reciprocal_root_f(float x) { return 1.0f / sqrtf(x); }
#endif

/* log(x) for 2^-126 <= x <= 1/2 and for x >= 1, to 2 ulp: x = 2^n (1 + m). */
DEVICE float log_f(float x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = x;
    const float n = (float)((int32_t)(u.bits >> 23) - 127);
    u.bits = (u.bits & 0x7fffffu) | 0x3f800000u;
    return n * 0.693359375f + (log1p_f(u.value - 1.0f) - n * 2.12194440e-4f);
}

DEVICE float sigmoid_f(float x) { return divide_f(1.0f, 1.0f + exp_for_sum_f(-x)); }

/* log sigmoid(x) = min(x, 0) - log(1 + e^-|x|), which neither overflows nor cancels. */
DEVICE float log_sigmoid_f(float x) { return (x < 0.0f ? x : 0.0f) - log1p_f(exp_for_sum_f(-fabsf(x))); }

DEVICE float silu_f(float x) { return x * sigmoid_f(x); }

/* sigmoid'(x) = sigmoid(x) sigmoid(-x), where sigmoid(-x) = e^-x sigmoid(x) keeps its digits and 1 - sigmoid(x) does
 * not. */
DEVICE float sigmoid_derivative_f(float x) {
    const float e = exp_for_sum_f(-x), s = divide_f(1.0f, 1.0f + e);
    return s * (e * s);
}

/* silu'(x) = sigmoid(x) (1 + x sigmoid(-x)) */
DEVICE float silu_derivative_f(float x) {
    const float e = exp_for_sum_f(-x), s = divide_f(1.0f, 1.0f + e);
    return s * (1.0f + x * (e * s));
}

/* Sine and cosine of an angle of up to 2^31, to 2 ulp: reduced to the quarter around 0 in fp64, then polynomials. */
DEVICE void sine_and_cosine(double angle, float *sine, float *cosine) {
    union {
        double value;
        uint64_t bits;
    } quarter;
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer, which the low bits hold */
    quarter.value = angle * 0.63661977236758134308 + shift;
    const float r = (float)(angle - (quarter.value - shift) * 1.57079632679489661923), z = r * r;
    const float s = r + r * z * (-1.6666654611e-1f + z * (8.3321608736e-3f - z * 1.9515295891e-4f));
    const float c =
        1.0f - 0.5f * z + z * z * (4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f));
    const uint32_t n = (uint32_t)quarter.bits;
    const float sine_size = n & 1u ? c : s, cosine_size = n & 1u ? s : c;
    *sine = n & 2u ? -sine_size : sine_size;
    *cosine = (n + 1u) & 2u ? -cosine_size : cosine_size;
}

#endif
