/* Softmax over keys that come in tiles, which keeps for each row the maximum so far and the sum of e^(score - maximum):
 * FlashAttention-2 (arXiv 2307.08691), in the words of the kernel language. */
#ifndef FLAME_KERNELS_SOFTMAX_ONLINE_SOFTMAX_H
#define FLAME_KERNELS_SOFTMAX_ONLINE_SOFTMAX_H

#ifdef FLAME_KERNEL_FILE
#define LOG2_E 1.44269504f

/* To be called before the first tile of keys. */
#define softmax_begin(maximum, sum)                                                                                    \
    do {                                                                                                               \
        EACH_ROW_VALUE(maximum, r, i) {                                                                                \
            maximum[r] = -1e30f; /* finite, because a row may see no key of its first tiles */                         \
            sum[r] = 0;                                                                                                \
        }                                                                                                              \
    } while (0)
/* Turns p, the scores of the rows by a tile of keys (-infinity where a row does not see a key), into e^(score -
 * maximum). Sums over earlier tiles must then be multiplied by `rescale`. Maxima are to base 2. A row keeps its maximum
 * while no score exceeds it by more than MAXIMUM_SLACK, so that `rescale` is 1 for most tiles. Any number near the
 * maximum serves as well, because powers of up to 2^MAXIMUM_SLACK are as precise as those up to 1. */
#define MAXIMUM_SLACK 8.0f
#define softmax_weights(p, maximum, sum, rescale, exponent_scale)                                                      \
    do {                                                                                                               \
        ROW_VALUES(tile_value_, p##_rows);                                                                             \
        row_values_maximum(tile_value_, p);                                                                            \
        EACH_ROW_VALUE(maximum, r, i) {                                                                                \
            const float before_ = maximum[r], of_tile_ = tile_value_[r] * (exponent_scale);                            \
            maximum[r] = of_tile_ > before_ + MAXIMUM_SLACK ? of_tile_ : before_;                                      \
            rescale[r] = exp2_f(before_ - maximum[r]);                                                                 \
        }                                                                                                              \
        MAP(p, i, j, x, x = exp2_f(x * (exponent_scale)-ROW_VALUE(maximum, i)));                                       \
        row_values_share(tile_value_, p);                                                                              \
        EACH_ROW_VALUE(sum, r, i) sum[r] = sum[r] * rescale[r] + tile_value_[r];                                       \
    } while (0)
/* Multiplies x, a sum over earlier tiles, by `rescale`, unless that is 1 for all rows that this thread has. */
#define rescale_sum(x, rescale)                                                                                        \
    do {                                                                                                               \
        bool same_ = true;                                                                                             \
        EACH_ROW_VALUE(rescale, r, i) same_ &= rescale[r] == 1.0f;                                                     \
        if (!same_) MAP(x, i, j, y, y *= ROW_VALUE(rescale, i));                                                       \
    } while (0)
/* softmax_weights, then rescales `out`, the sum of p v so far, so that p v of these keys can be added to it. */
#define softmax_rescale(out, p, maximum, sum, exponent_scale)                                                          \
    do {                                                                                                               \
        ROW_VALUES(rescale_, p##_rows);                                                                                \
        softmax_weights(p, maximum, sum, rescale_, exponent_scale);                                                    \
        rescale_sum(out, rescale_);                                                                                    \
    } while (0)
#define softmax_add(out, p, v, maximum, sum, exponent_scale)                                                           \
    do {                                                                                                               \
        softmax_rescale(out, p, maximum, sum, exponent_scale);                                                         \
        accumulator_mma_nn(out, p, v);                                                                                 \
    } while (0)
/* Sets out to out / sum, or 0 for a row that has seen no key, and to[i] to the log_sum_exp of row i < count. */
#define softmax_end(out, maximum, sum, to, count)                                                                      \
    do {                                                                                                               \
        row_values_total(sum);                                                                                         \
        EACH_ROW_VALUE(sum, r, i) {                                                                                    \
            if (i < (count)) (to)[i] = sum[r] > 0 ? maximum[r] + logf(sum[r]) * LOG2_E : 0.0f;                         \
            sum[r] = sum[r] > 0 ? 1 / sum[r] : 0.0f;                                                                   \
        }                                                                                                              \
        MAP(out, i, j, x, x *= ROW_VALUE(sum, i));                                                                     \
    } while (0)
#endif

#endif
