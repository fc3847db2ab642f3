/* The knapsack: from items with a value and a weight, choose those with the largest sum of values whose total weight
 * does not exceed the capacity. Items are taken whole in the 0/1 form, and also in part in the fractional form. The
 * features of an item are its value, its weight and the capacity. */
#include <math.h>
#include <stdlib.h>

#include "suites/tropical/tropical.h"

typedef struct Item {
    int32_t value, weight, number; /* number: in the order in which they were drawn */
} Item;

#define ITEM_KEYS                                                                                                      \
    VALUE_KEYS("1", "10", 1), KEY(Tropical, weight_low, KEY_INTEGER, "1", 1, VALUE_MOST, NULL, "smallest weight"),     \
        KEY(Tropical, weight_high, KEY_INTEGER, "10", 1, VALUE_MOST, NULL, "largest weight"),                          \
        TARGET_KEYS("10", "20", 1, "capacity")

static const Key knapsack_keys[] = {LENGTH_KEY(2), ITEM_KEYS, NOISE_KEYS("10", "30")};
static const Key fractional_keys[] = {LENGTH_KEY(2), ITEM_KEYS, NOISE_KEYS("1", "5")};

static int by_value(const void *a, const void *b) {
    const Item *x = a, *y = b;
    return x->value != y->value ? x->value - y->value : x->number - y->number;
}

static int by_ratio(const void *a, const void *b) {
    const Item *x = a, *y = b;
    const int32_t first = x->value * y->weight, second = y->value * x->weight;
    return first != second ? (first > second ? -1 : 1) : x->number - y->number;
}

/* Draws the items, in ascending order of their values. The caller frees them. */
static Item *draw_items(const Tropical *c, Draws *draws) {
    Item *item = tropical_zeros(c->length, sizeof *item);
    for (int64_t i = 0; i < c->length; i++) {
        item[i].value = (int32_t)draw_between(draws, c->low, c->high);
        item[i].weight = (int32_t)draw_between(draws, c->weight_low, c->weight_high);
        item[i].number = (int32_t)i;
    }
    qsort(item, (size_t)c->length, sizeof *item, by_value);
    return item;
}

/* Noise changes the value and the weight of an item together; a weight stays at least 1. */
static void write_items(const Tropical *c, Draws *draws, const Item *item, int64_t capacity, float *features) {
    for (int64_t i = 0; i < c->length; i++) {
        const bool noisy = draw_chance(draws, c->noise);
        const int64_t value = noisy ? draw_between(draws, c->noise_low, c->noise_high) : 0;
        const int64_t weight = item[i].weight + (noisy ? draw_between(draws, c->noise_low, c->noise_high) : 0);
        features[3 * i] = (float)(item[i].value + value);
        features[3 * i + 1] = (float)(weight < 1 ? 1 : weight);
        features[3 * i + 2] = (float)capacity;
    }
}

/* best[i][w] is the largest value of the first i items within weight w. Going back from the last item, an item is taken
 * if it makes this value larger. */
static void mark_items(const Item *item, int64_t n, int64_t capacity, int32_t *label) {
    const int64_t row = capacity + 1;
    int32_t *best = tropical_zeros((n + 1) * row, sizeof *best);
    for (int64_t i = 0; i < n; i++)
        for (int64_t w = 0; w <= capacity; w++) {
            const int32_t without = best[i * row + w];
            const int32_t with = item[i].weight <= w ? best[i * row + w - item[i].weight] + item[i].value : 0;
            best[(i + 1) * row + w] = with > without ? with : without;
        }
    for (int64_t i = n - 1, w = capacity; i >= 0; i--) {
        label[i] = best[(i + 1) * row + w] != best[i * row + w];
        if (label[i]) w -= item[i].weight;
    }
    free(best);
}

static TaskSizes knapsack_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 3, .classes = 2};
}

static void knapsack_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    const int64_t capacity = draw_between(draws, c->target_low, c->target_high);
    Item *item = draw_items(c, draws);
    mark_items(item, c->length, capacity, e.labels);
    write_items(c, draws, item, capacity, e.features);
    free(item);
}

static double knapsack_trivial(const void *config) { return tropical_all_ones(&knapsack, config); }

static TaskSizes fractional_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 3};
}

/* Takes the items with the largest value per weight first. Reorders the items. */
static double fractional_value(Item *item, int64_t n, int64_t capacity) {
    double value = 0;
    qsort(item, (size_t)n, sizeof *item, by_ratio);
    for (int64_t i = 0; i < n && capacity > 0; i++) {
        const int64_t taken = item[i].weight < capacity ? item[i].weight : capacity;
        value += (double)item[i].value * (double)taken / (double)item[i].weight;
        capacity -= taken;
    }
    return value;
}

static void fractional_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    const int64_t capacity = draw_between(draws, c->target_low, c->target_high);
    Item *item = draw_items(c, draws);
    write_items(c, draws, item, capacity, e.features);
    tropical_answer(e, c->length, 0);
    e.values[c->length - 1] = (float)log1p(fractional_value(item, c->length, capacity));
    free(item);
}

/* The mean squared error of the mean. */
static double fractional_trivial(const void *config) { return tropical_facts(&fractional_knapsack, config).variance; }

static const Split knapsack_splits[] = TROPICAL_SPLITS("task.low=11 task.high=21");

const Task knapsack = {.name = "knapsack",
                       .meaning = "which whole items have the largest value within the capacity?",
                       .form = TASK_SET,
                       .keys = knapsack_keys,
                       .key_count = LENGTH(knapsack_keys),
                       .config_size = sizeof(Tropical),
                       .sweep = tropical_no_sweep,
                       .splits = knapsack_splits,
                       .check = tropical_check,
                       .sizes = knapsack_sizes,
                       .generate = knapsack_generate,
                       .trivial = knapsack_trivial};

const Task fractional_knapsack = {.name = "fractional_knapsack",
                                  .meaning = "log(1 + v) of the largest value v of parts of items within the capacity",
                                  .form = TASK_POOLED,
                                  .keys = fractional_keys,
                                  .key_count = LENGTH(fractional_keys),
                                  .config_size = sizeof(Tropical),
                                  .sweep = tropical_no_sweep,
                                  .splits = knapsack_splits,
                                  .check = tropical_check,
                                  .sizes = fractional_sizes,
                                  .generate = fractional_generate,
                                  .trivial = fractional_trivial};
