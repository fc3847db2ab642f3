/* Softmax attention of one query to keys that come a few at a time, for generation of one token at a time. Scores and
 * weights are vectors of the program. */
#ifndef FLAME_KERNELS_SOFTMAX_SINGLE_QUERY_H
#define FLAME_KERNELS_SOFTMAX_SINGLE_QUERY_H

/* Turns the next `count` scores into weights e^(score - largest); key j counts `times` times, an expression of j.
 * Earlier sums must then be multiplied by `kept`. Before the first call, largest = -1e30f and total = 0. */
#define query_weights(weights, scores, count, times, largest, total, kept)                                             \
    do {                                                                                                               \
        float most_ = largest, sum_of_weights_ = 0;                                                                    \
        MAXIMUM(most_, j, count, scores[j]);                                                                           \
        EACH (j, count) weights[j] = exp_f(scores[j] - most_);                                                         \
        sync();                                                                                                        \
        SUM(sum_of_weights_, j, count, weights[j] * (times));                                                          \
        kept = exp_f(largest - most_);                                                                                 \
        total = total * kept + sum_of_weights_;                                                                        \
        largest = most_;                                                                                               \
    } while (0)

#endif
