/* Tasks about the order of elements: quickselect (which elements are the k-th smallest?), bin packing by first fit
 * (which elements open a bin?) and the longest increasing subsequence (how long is it?). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/tropical/tropical.h"

static const Key quickselect_keys[] = {
    LENGTH_KEY(2), VALUE_KEYS("1", "10", -VALUE_MOST),
    KEY(Tropical, max_k, KEY_INTEGER, "8", 2, LENGTH_MOST, NULL, "largest k; the least is 2"),
    KEY(Tropical, noise, KEY_REAL, "0", 0, 1, NULL, "probability that a number of 0 to 1 is added to both features")};

static TaskSizes quickselect_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 2, .classes = 2};
}

/* Features: the value and k, each scaled by its range in the example. */
static void quickselect_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    const int64_t n = c->length, k = draw_between(draws, 2, c->max_k < n ? c->max_k : n);
    int32_t *x = tropical_values(c, draws), *sorted = tropical_zeros(n, sizeof *sorted);
    memcpy(sorted, x, (size_t)n * sizeof *x);
    tropical_sort(sorted, n);
    const int32_t least = sorted[0], range = sorted[n - 1] > least ? sorted[n - 1] - least : 1;
    for (int64_t i = 0; i < n; i++) {
        const float noise = draw_chance(draws, c->noise) ? (float)draw_unit(draws) : 0;
        e.labels[i] = x[i] == sorted[k - 1];
        e.features[2 * i] = (float)(x[i] - least) / (float)range + noise;
        e.features[2 * i + 1] = tropical_place(k - 1, n) + noise;
    }
    free(sorted);
    free(x);
}

static double quickselect_trivial(const void *config) { return tropical_all_ones(&quickselect, config); }

static const Split quickselect_splits[] = TROPICAL_SPLITS("task.low=11 task.high=21");

const Task quickselect = {.name = "quickselect",
                          .meaning = "which elements are the k-th smallest?",
                          .form = TASK_SET,
                          .keys = quickselect_keys,
                          .key_count = LENGTH(quickselect_keys),
                          .config_size = sizeof(Tropical),
                          .sweep = tropical_no_sweep,
                          .splits = quickselect_splits,
                          .check = tropical_check,
                          .sizes = quickselect_sizes,
                          .generate = quickselect_generate,
                          .trivial = quickselect_trivial};

static const Key bin_packing_keys[] = {LENGTH_KEY(2), VALUE_KEYS("1", "10", 1),
                                       TARGET_KEYS("10", "30", 1, "capacity of a bin"), NOISE_KEYS("10", "30")};

static TaskSizes bin_packing_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 3, .classes = 2};
}

/* Each element goes into the first bin that has room for it. */
static void mark_openers(const int32_t *size, int64_t n, int64_t capacity, int32_t *label) {
    int64_t *load = tropical_zeros(n, sizeof *load), bins = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t bin = 0;
        while (bin < bins && load[bin] + size[i] > capacity) bin++;
        label[i] = bin == bins;
        bins += bin == bins;
        load[bin] += size[i];
    }
    free(load);
}

static int64_t within(int64_t size, int64_t capacity) { return size < 1 ? 1 : size > capacity ? capacity : size; }

/* Features: the size, the capacity, and the place in descending order. */
static void bin_packing_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    const int64_t n = c->length, capacity = draw_between(draws, c->target_low, c->target_high);
    int32_t *sorted = tropical_values(c, draws), *size = tropical_zeros(n, sizeof *size);
    tropical_sort(sorted, n);
    for (int64_t i = 0; i < n; i++) size[i] = (int32_t)within(sorted[n - 1 - i], capacity);
    mark_openers(size, n, capacity, e.labels);
    for (int64_t i = 0; i < n; i++) {
        e.features[3 * i] = (float)within(size[i] + tropical_noise(c, draws), capacity);
        e.features[3 * i + 1] = (float)capacity;
        e.features[3 * i + 2] = tropical_place(i, n);
    }
    free(size);
    free(sorted);
}

static double bin_packing_trivial(const void *config) { return tropical_all_ones(&bin_packing, config); }

static const Split bin_packing_splits[] = TROPICAL_SPLITS("task.low=11 task.high=100");

const Task bin_packing = {.name = "bin_packing",
                          .meaning = "which elements, in descending order, open a new bin by first fit?",
                          .form = TASK_SET,
                          .keys = bin_packing_keys,
                          .key_count = LENGTH(bin_packing_keys),
                          .config_size = sizeof(Tropical),
                          .protocol = "training.epochs=1000",
                          .quick = "training.epochs=20",
                          .sweep = tropical_no_sweep,
                          .splits = bin_packing_splits,
                          .check = tropical_check,
                          .sizes = bin_packing_sizes,
                          .generate = bin_packing_generate,
                          .trivial = bin_packing_trivial};

static const Key increasing_keys[] = {
    LENGTH_KEY(2), VALUE_KEYS("1", "10", -VALUE_MOST),
    KEY(Tropical, noise, KEY_REAL, "0", 0, 1, NULL, "probability that an element is changed, before its label is made"),
    KEY(Tropical, noise_low, KEY_INTEGER, "10", -VALUE_MOST, VALUE_MOST, NULL, "least that noise adds"),
    KEY(Tropical, noise_high, KEY_INTEGER, "30", -VALUE_MOST, VALUE_MOST, NULL, "most that noise adds")};

static TaskSizes increasing_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 2};
}

/* end[l] is the smallest last element of an increasing subsequence of l + 1 elements so far. */
static int64_t increasing_length(const int32_t *x, int64_t n) {
    int32_t *end = tropical_zeros(n, sizeof *end);
    int64_t longest = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t l = 0;
        while (l < longest && end[l] < x[i]) l++;
        end[l] = x[i];
        if (l == longest) longest++;
    }
    free(end);
    return longest;
}

/* Features: the value, and exp(place), because the positions of a set have no order of their own. */
static void increasing_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    int32_t *x = tropical_values(c, draws);
    for (int64_t i = 0; i < c->length; i++) {
        x[i] += (int32_t)tropical_noise(c, draws);
        e.features[2 * i] = (float)x[i];
        e.features[2 * i + 1] = expf(tropical_place(i, c->length));
    }
    tropical_answer(e, c->length, 0);
    e.values[c->length - 1] = (float)increasing_length(x, c->length);
    free(x);
}

/* The mean squared error of the mean. */
static double increasing_trivial(const void *config) {
    return tropical_facts(&longest_increasing_subsequence, config).variance;
}

static const Split increasing_splits[] = TROPICAL_SPLITS("task.low=11 task.high=21");

const Task longest_increasing_subsequence = {.name = "longest_increasing_subsequence",
                                             .meaning = "the length of the longest strictly increasing subsequence",
                                             .form = TASK_POOLED,
                                             .keys = increasing_keys,
                                             .key_count = LENGTH(increasing_keys),
                                             .config_size = sizeof(Tropical),
                                             .sweep = tropical_no_sweep,
                                             .splits = increasing_splits,
                                             .check = tropical_check,
                                             .sizes = increasing_sizes,
                                             .generate = increasing_generate,
                                             .trivial = increasing_trivial};
