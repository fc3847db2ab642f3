/* Functions of one number for kernels. They have no branches, so that loops which call them vectorise without
 * fast-math. */
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

/* e^x to 2 + |x| ulp in half as many instructions; 0 below -87.3, saturates above 88.3. For sums such as 1 + e^x, whose
 * rounding hides the error. */
DEVICE float exp_for_sum_f(float x) { return power_of_two(lesser(x * 1.44269504f, 127.5f)); }

/* 2^x to 2 ulp, in one instruction; 0 below -126. */
DEVICE float exp2_f(float x) { return power_of_two(x); }

/* a / b to 2 ulp for |b| < 2^126, and 0 for larger |b|. */
DEVICE float divide_f(float a, float b) { return a * reciprocal(b); }

/* 1 / sqrt(x) to 2 ulp. */
DEVICE float reciprocal_root_f(float x) { return reciprocal_root(x); }
#else
/* 1.5 * 2^23 + 127: adding it rounds to an integer n, and leaves n + 127, the exponent of 2^n, in the low bits. */
#define ROUND_TO_EXPONENT 12583039.0f

/* e^x to 2 ulp; 0 below -87.3, saturates above 88.3. Splits x = n ln 2 + r and takes a polynomial in r. The limits
 * apply to the result and not to x, because gcc would compute the polynomial of a limit separately from that of x. */
DEVICE float exp_f(float x) {
    union {
        float value;
        uint32_t bits;
    } shifted, power;
    shifted.value = x * 1.44269504f + ROUND_TO_EXPONENT;
    const float n = shifted.value - ROUND_TO_EXPONENT;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    power.bits = shifted.bits << 23;
    const float value = x > 88.37f ? 2.3911e38f : p * power.value;
    return x < -87.33f ? 0.0f : value;
}

/* 2^x to 2 ulp; 0 below -126, saturates above 127.49. */
DEVICE float exp2_f(float x) {
    union {
        float value;
        uint32_t bits;
    } shifted, power;
    shifted.value = x + ROUND_TO_EXPONENT;
    const float r = x - (shifted.value - ROUND_TO_EXPONENT);
    float p = 1.535336188e-4f;
    p = p * r + 1.339887440e-3f;
    p = p * r + 9.618437358e-3f;
    p = p * r + 5.550332471e-2f;
    p = p * r + 2.402264791e-1f;
    p = p * r + 6.931472029e-1f;
    p = p * r + 1.0f;
    power.bits = shifted.bits << 23;
    const float value = x > 127.49f ? 2.3895e38f : p * power.value;
    return x < -126.0f ? 0.0f : value;
}

/* As for GPUs above, but exp_for_sum_f is as accurate as exp_f, and the quotients and the root are correctly
 * rounded. */
DEVICE float exp_for_sum_f(float x) { return exp_f(x); }
DEVICE float divide_f(float a, float b) { return a / b; }
DEVICE float reciprocal_root_f(float x) { return 1.0f / sqrtf(x); }
#endif

/* log(1 + u) for 0 <= u <= 1, to 2 ulp, by one polynomial. With one for each of two ranges, gcc would compute both
 * wherever another selection comes before. */
DEVICE float log1p_f(float u) {
    float p = -3.67746743e-3f;
    p = p * u + 2.18754274e-2f;
    p = p * u - 6.09214864e-2f;
    p = p * u + 1.10251313e-1f;
    p = p * u - 1.55695372e-1f;
    p = p * u + 1.97743235e-1f;
    p = p * u - 2.49750981e-1f;
    p = p * u + 3.33322506e-1f;
    p = p * u - 0.5f;
    return p * (u * u) + u;
}

/* log(2^n (1 + m)) for 2^-1/2 <= 1 + m <= 2^1/2 */
DEVICE float log_of_parts(float n, float m) {
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * (m * m) - n * 2.12194440e-4f - 0.5f * (m * m);
    return m + p + n * 0.693359375f;
}

/* The n of a number 2^n (1 + m), as in log_of_parts, from its bits minus those of 2^-1/2. */
DEVICE int32_t exponent_of(uint32_t bits) { return (int32_t)(bits - 0x3f3504f3u) >> 23; }

/* log(x) for x >= 2^-126, to 2 ulp. */
DEVICE float log_f(float x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = x;
    const int32_t n = exponent_of(u.bits);
    u.bits -= (uint32_t)n << 23;
    return log_of_parts((float)n, u.value - 1.0f);
}

/* log(1 + u) for 0 <= u < 2^126, to 2 ulp. m is computed from u, because u has digits that the sum 1 + u has lost. */
DEVICE float log1p_any_f(float u) {
    union {
        float value;
        uint32_t bits;
    } sum, scale;
    sum.value = 1.0f + u;
    const int32_t n = exponent_of(sum.bits);
    scale.bits = 0x3f800000u - ((uint32_t)n << 23);
    return log_of_parts((float)n, u * scale.value + (scale.value - 1.0f));
}

/* e^x - 1, to 6 ulp: near 0 by its series, because e^x has lost digits of a small x. */
DEVICE float expm1_f(float x) {
    float p = 1.98412698e-4f;
    p = p * x + 1.38888889e-3f;
    p = p * x + 8.33333333e-3f;
    p = p * x + 4.16666667e-2f;
    p = p * x + 1.66666667e-1f;
    p = p * x + 0.5f;
    return fabsf(x) < 0.35f ? p * (x * x) + x : exp_f(x) - 1.0f;
}

DEVICE float sigmoid_f(float x) { return divide_f(1.0f, 1.0f + exp_for_sum_f(-x)); }

/* log sigmoid(x) = min(x, 0) - log(1 + e^-|x|), which neither overflows nor cancels. */
DEVICE float log_sigmoid_f(float x) { return (x < 0.0f ? x : 0.0f) - log1p_f(exp_for_sum_f(-fabsf(x))); }

/* log(1 + e^x) = -log sigmoid(-x), to 4 ulp for x >= 0, on a GPU to 4 + |x| ulp below. */
DEVICE float softplus_f(float x) { return (x > 0.0f ? x : 0.0f) + log1p_f(exp_for_sum_f(-fabsf(x))); }

/* sigmoid(x), sigmoid(-x) and log sigmoid(x), from one exponential. */
typedef struct Sigmoids {
    float of, of_opposite, log_of;
} Sigmoids;

DEVICE Sigmoids sigmoids_of(float x) {
    const float e = exp_for_sum_f(-fabsf(x)), larger = divide_f(1.0f, 1.0f + e), smaller = e * larger;
    const bool negative = x < 0.0f;
    const Sigmoids sigmoids = {negative ? smaller : larger, negative ? larger : smaller,
                               (negative ? x : 0.0f) - log1p_f(e)};
    return sigmoids;
}

/* tanh(x) to 3 ulp: a polynomial in x^2 near 0, where the quotient of exponentials would lose the digits of x. */
DEVICE float tanh_f(float x) {
    const float square = x * x, far = 2.0f * sigmoid_f(2.0f * x) - 1.0f;
    float p = -5.704986397e-3f;
    p = p * square + 2.063908614e-2f;
    p = p * square - 5.373971537e-2f;
    p = p * square + 1.333144158e-1f;
    p = p * square - 3.333328068e-1f;
    return fabsf(x) < 0.625f ? p * square * x + x : far;
}

/* cap tanh(x / cap), for cap > 0 */
DEVICE float soft_cap_f(float x, float cap) { return cap * tanh_f(divide_f(x, cap)); }

/* Below -1e37, where exp_f saturates, the value is between 0 and -1.3 instead of 0. */
DEVICE float silu_f(float x) { return x * sigmoid_f(x); }

/* sigmoid'(x) = sigmoid(x) sigmoid(-x), where sigmoid(-x) = e^-x sigmoid(x) keeps all digits, unlike 1 - sigmoid(x). */
DEVICE float sigmoid_derivative_f(float x) {
    const float e = exp_for_sum_f(-x), s = divide_f(1.0f, 1.0f + e);
    return s * (e * s);
}

/* silu'(x) = sigmoid(x) (1 + x sigmoid(-x)) */
DEVICE float silu_derivative_f(float x) {
    const float e = exp_for_sum_f(-x), s = divide_f(1.0f, 1.0f + e);
    return s * (1.0f + x * (e * s));
}

/* Sine and cosine of an angle of up to 2^31, to 2 ulp. The angle is reduced in fp64 to the quarter turn around 0;
 * polynomials in fp32 do the rest. */
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
