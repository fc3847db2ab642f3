/* Tasks about the sums of subsets: subset sum (is there a subset with sum T?), 3SUM (are there three numbers with sum
 * T?), 0/1 coin change (the fewest coins with sum T) and balanced partition (two halves with nearly the same sum). The
 * features of an element are its value x_i and T. */
#include <stdlib.h>

#include "suites/tropical/tropical.h"

enum { NO_LEAST = -4 * VALUE_MOST };

static TaskSizes with_target_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 2, .classes = 2};
}

/* Writes the features [x_i, T]. Noise does not make a value smaller than `least`. */
static void write_with_target(const Tropical *c, Draws *draws, const int32_t *x, int64_t T, int64_t least, Example e) {
    for (int64_t i = 0; i < c->length; i++) {
        const int64_t noisy = x[i] + tropical_noise(c, draws);
        e.features[2 * i] = (float)(noisy < least ? least : noisy);
        e.features[2 * i + 1] = (float)T;
    }
}

/* The sums of all subsets, which lie in low .. high. */
typedef struct Sums {
    int64_t low, high;
    bool *reached; /* [high - low + 1] */
} Sums;

static bool is_sum(const Sums *sums, int64_t s) {
    return s >= sums->low && s <= sums->high && sums->reached[s - sums->low];
}

/* Each element shifts the sums of those before it. The direction of the scan makes sure that a sum uses an element
 * once. The caller frees `reached`. */
static Sums sums_of(const int32_t *x, int64_t n) {
    Sums sums = {0};
    for (int64_t i = 0; i < n; i++) *(x[i] < 0 ? &sums.low : &sums.high) += x[i];
    sums.reached = tropical_zeros(sums.high - sums.low + 1, sizeof *sums.reached);
    bool *zero = sums.reached - sums.low;
    zero[0] = true;
    for (int64_t i = 0; i < n; i++)
        if (x[i] > 0)
            for (int64_t s = sums.high; s >= sums.low + x[i]; s--) zero[s] |= zero[s - x[i]];
        else
            for (int64_t s = sums.low; s <= sums.high + x[i]; s++) zero[s] |= zero[s - x[i]];
    return sums;
}

/* Draws a number from first .. last that is a sum, or, without `wanted`, one that is not. False if there is none. */
static bool draw_sum(Draws *draws, const Sums *sums, int64_t first, int64_t last, bool wanted, int64_t *sum) {
    int64_t count = 0;
    for (int64_t s = first; s <= last; s++) count += is_sum(sums, s) == wanted;
    if (count == 0) return false;
    int64_t left = draw_below(draws, count);
    for (*sum = first; is_sum(sums, *sum) != wanted || left-- > 0; ++*sum) {
    }
    return true;
}

static const Key subset_sum_keys[] = {LENGTH_KEY(2), VALUE_KEYS("-5", "5", -VALUE_MOST), NOISE_KEYS("10", "30")};

/* Half of the examples have a subset with sum T. In the others T is a number between the least and the largest sum, or
 * above all sums if there is no such number. */
static void subset_sum_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    int32_t *x = tropical_values(c, draws);
    tropical_sort(x, c->length);
    const Sums sums = sums_of(x, c->length);
    const bool solvable = draw_chance(draws, 0.5);
    int64_t T;
    if (!draw_sum(draws, &sums, sums.low, sums.high, solvable, &T)) T = sums.high + draw_between(draws, 1, 5);
    write_with_target(c, draws, x, T, NO_LEAST, e);
    tropical_answer(e, c->length, solvable);
    free(sums.reached);
    free(x);
}

static double subset_sum_trivial(const void *config) { return tropical_all_ones(&subset_sum, config); }

static const Split subset_sum_splits[] = TROPICAL_SPLITS("task.low=-20 task.high=20");

const Task subset_sum = {.name = "subset_sum",
                         .meaning = "is there a subset of sum T?",
                         .form = TASK_POOLED,
                         .keys = subset_sum_keys,
                         .key_count = LENGTH(subset_sum_keys),
                         .config_size = sizeof(Tropical),
                         .sweep = tropical_no_sweep,
                         .splits = subset_sum_splits,
                         .check = tropical_check,
                         .sizes = with_target_sizes,
                         .generate = subset_sum_generate,
                         .trivial = subset_sum_trivial};

static const Key three_sum_keys[] = {LENGTH_KEY(3), VALUE_KEYS("-20", "20", -VALUE_MOST),
                                     TARGET_KEYS("-75", "75", -VALUE_MOST, "sum T"), NOISE_KEYS("40", "60")};

/* Whether two of the numbers, which are in ascending order, have that sum. The two ends move towards each other. */
static bool have_pair(const int32_t *x, int64_t n, int64_t sum) {
    int64_t i = 0, j = n - 1;
    while (i < j && x[i] + x[j] != sum)
        if (x[i] + x[j] < sum)
            i++;
        else
            j--;
    return i < j;
}

static void three_sum_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    int32_t *x = tropical_values(c, draws);
    tropical_sort(x, c->length);
    const int64_t T = draw_between(draws, c->target_low, c->target_high);
    bool found = false;
    for (int64_t i = 0; i < c->length - 2 && !found; i++) found = have_pair(x + i + 1, c->length - i - 1, T - x[i]);
    write_with_target(c, draws, x, T, NO_LEAST, e);
    tropical_answer(e, c->length, found);
    free(x);
}

static double three_sum_trivial(const void *config) { return tropical_all_ones(&three_sum, config); }

static const Split three_sum_splits[] = TROPICAL_SPLITS("task.low=-375 task.high=375");

const Task three_sum = {.name = "three_sum",
                        .meaning = "are there three elements of sum T?",
                        .form = TASK_POOLED,
                        .keys = three_sum_keys,
                        .key_count = LENGTH(three_sum_keys),
                        .config_size = sizeof(Tropical),
                        .sweep = tropical_no_sweep,
                        .splits = three_sum_splits,
                        .check = tropical_check,
                        .sizes = with_target_sizes,
                        .generate = three_sum_generate,
                        .trivial = three_sum_trivial};

static const Key min_coin_change_keys[] = {LENGTH_KEY(2), VALUE_KEYS("1", "10", 1), TARGET_KEYS("10", "20", 1, "sum T"),
                                           NOISE_KEYS("1", "5")};

/* Marks the fewest coins with sum T, or none if there are no such coins. fewest[t] is the smallest number of the coins
 * so far with sum t; a coin is taken if it lowers that number. */
static void mark_coins(const int32_t *coin, int64_t n, int64_t T, int32_t *label) {
    int32_t *fewest = tropical_zeros(T + 1, sizeof *fewest);
    bool *taken = tropical_zeros(n * (T + 1), sizeof *taken);
    for (int64_t t = 1; t <= T; t++) fewest[t] = LENGTH_MOST + 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = T; t >= coin[i]; t--) {
            const int32_t with = fewest[t - coin[i]] + 1;
            taken[i * (T + 1) + t] = with < fewest[t];
            if (with < fewest[t]) fewest[t] = with;
        }
    for (int64_t i = n - 1, t = T; i >= 0; i--) {
        label[i] = taken[i * (T + 1) + t];
        if (label[i]) t -= coin[i];
    }
    free(taken);
    free(fewest);
}

/* T is a sum of coins in half of the examples, as far as the range of T contains both sums and other numbers. */
static void min_coin_change_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    int32_t *coin = tropical_values(c, draws);
    tropical_sort(coin, c->length);
    const Sums sums = sums_of(coin, c->length);
    const bool solvable = draw_chance(draws, 0.5);
    int64_t T;
    if (!draw_sum(draws, &sums, c->target_low, c->target_high, solvable, &T))
        draw_sum(draws, &sums, c->target_low, c->target_high, !solvable, &T);
    mark_coins(coin, c->length, T, e.labels);
    write_with_target(c, draws, coin, T, 1, e);
    free(sums.reached);
    free(coin);
}

static double min_coin_change_trivial(const void *config) { return tropical_all_ones(&min_coin_change, config); }

static const Split min_coin_change_splits[] = TROPICAL_SPLITS("task.low=11 task.high=21");

const Task min_coin_change = {.name = "min_coin_change",
                              .meaning = "which coins are the fewest of sum T, each used once?",
                              .form = TASK_SET,
                              .keys = min_coin_change_keys,
                              .key_count = LENGTH(min_coin_change_keys),
                              .config_size = sizeof(Tropical),
                              .sweep = tropical_no_sweep,
                              .splits = min_coin_change_splits,
                              .check = tropical_check,
                              .sizes = with_target_sizes,
                              .generate = min_coin_change_generate,
                              .trivial = min_coin_change_trivial};

static const Key balanced_partition_keys[] = {LENGTH_KEY(2), VALUE_KEYS("1", "10", 1), NOISE_KEYS("10", "30")};

static TaskSizes balanced_partition_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 1, .classes = 2};
}

/* Marks a subset whose sum is the largest up to half of the total. first[s] is one plus the number of the element that
 * first reached the sum s; the marked elements are found by going back from s to 0. */
static void mark_half(const int32_t *x, int64_t n, int32_t *label) {
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) total += x[i];
    int32_t *first = tropical_zeros(total / 2 + 1, sizeof *first);
    for (int64_t i = 0; i < n; i++)
        for (int64_t s = total / 2; s >= x[i]; s--)
            if (first[s] == 0 && (s == x[i] || first[s - x[i]] != 0)) first[s] = (int32_t)(i + 1);
    int64_t s = total / 2;
    while (s > 0 && first[s] == 0) s--;
    for (int64_t i = 0; i < n; i++) label[i] = 0;
    for (; s > 0; s -= x[first[s] - 1]) label[first[s] - 1] = 1;
    free(first);
}

static void balanced_partition_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    int32_t *x = tropical_values(c, draws);
    tropical_sort(x, c->length);
    mark_half(x, c->length, e.labels);
    for (int64_t i = 0; i < c->length; i++) e.features[i] = (float)(x[i] + tropical_noise(c, draws));
    free(x);
}

static double balanced_partition_trivial(const void *config) { return tropical_all_ones(&balanced_partition, config); }

static const Split balanced_partition_splits[] = TROPICAL_SPLITS("task.low=11 task.high=100");

const Task balanced_partition = {.name = "balanced_partition",
                                 .meaning = "which elements have a sum nearest to that of the others?",
                                 .form = TASK_SET,
                                 .keys = balanced_partition_keys,
                                 .key_count = LENGTH(balanced_partition_keys),
                                 .config_size = sizeof(Tropical),
                                 .protocol = "training.epochs=1000",
                                 .quick = "training.epochs=20",
                                 .sweep = tropical_no_sweep,
                                 .splits = balanced_partition_splits,
                                 .check = tropical_check,
                                 .sizes = balanced_partition_sizes,
                                 .generate = balanced_partition_generate,
                                 .trivial = balanced_partition_trivial};
