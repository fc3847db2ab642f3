/* The tasks of Tropical Attention (Hashemi et al. 2025, arXiv 2505.17190), as the authors' program generates them: the
 * exact answers of algorithms on a few small numbers, on points and on graphs. Models are trained on 8 elements, and
 * tested on more elements, on other ranges of numbers and with noise on the features.
 *
 * An instance is drawn before its noise, so that example number n is the same instance with noise and without. */
#ifndef FLAME_SUITES_TROPICAL_H
#define FLAME_SUITES_TROPICAL_H

#include "suites/task.h"

extern const Task balanced_partition, bin_packing, convex_hull, floyd_warshall, fractional_knapsack, knapsack,
    longest_increasing_subsequence, min_coin_change, quickselect, strongly_connected_components, subset_sum, three_sum;

/* The settings of tasks on lists of numbers. A task has keys for those that it uses; the others are 0. */
typedef struct Tropical {
    int64_t length;                  /* elements */
    int64_t low, high;               /* range of the elements' values */
    int64_t weight_low, weight_high; /* range of the weights of a knapsack's items */
    int64_t target_low, target_high; /* range of the capacity, or of the sum that is searched for */
    int64_t max_k;                   /* largest k of quickselect */
    double noise;                    /* probability that an element's features are changed */
    int64_t noise_low, noise_high;   /* range of what is added to them */
} Tropical;

enum { VALUE_MOST = 10000, LENGTH_MOST = 1024 }; /* sums fit 32 bits, and features are exact in float */

#define LENGTH_KEY(least) KEY(Tropical, length, KEY_INTEGER, "8", least, LENGTH_MOST, NULL, "elements")
#define VALUE_KEYS(from, to, least)                                                                                    \
    KEY(Tropical, low, KEY_INTEGER, from, least, VALUE_MOST, NULL, "smallest value of an element"),                    \
        KEY(Tropical, high, KEY_INTEGER, to, least, VALUE_MOST, NULL, "largest value of an element")
#define TARGET_KEYS(from, to, least, what)                                                                             \
    KEY(Tropical, target_low, KEY_INTEGER, from, least, VALUE_MOST, NULL, "smallest " what),                           \
        KEY(Tropical, target_high, KEY_INTEGER, to, least, VALUE_MOST, NULL, "largest " what)
#define NOISE_KEYS(from, to)                                                                                           \
    KEY(Tropical, noise, KEY_REAL, "0", 0, 1, NULL, "probability that an element is changed, but not its label"),      \
        KEY(Tropical, noise_low, KEY_INTEGER, from, -VALUE_MOST, VALUE_MOST, NULL, "least that noise adds"),           \
        KEY(Tropical, noise_high, KEY_INTEGER, to, -VALUE_MOST, VALUE_MOST, NULL, "most that noise adds")

/* The splits of a task, with one change each. */
#define TROPICAL_SPLITS(values)                                                                                        \
    {                                                                                                                  \
        {"length 2x", "task.length=2x"}, {"length 4x", "task.length=4x"}, {"length 8x", "task.length=8x"},             \
            {"values", values}, {"noise", "task.noise=0.5"}, {                                                         \
            NULL, NULL                                                                                                 \
        }                                                                                                              \
    }

extern const char *const tropical_no_sweep[];

/* Task.check of every task with this struct: no range may end before it begins. */
Status tropical_check(const void *config);
/* USAGE (logged) if task.<prefix>low is above task.<prefix>high. */
Status tropical_range(const char *prefix, double low, double high);

/* Zeroed memory; the caller frees it. */
void *tropical_zeros(int64_t count, size_t size);
/* Draws the values of the elements. The caller frees them. */
int32_t *tropical_values(const Tropical *c, Draws *draws);
/* Sorts values in ascending order. */
void tropical_sort(int32_t *value, int64_t count);
/* Draws what noise adds to an element: with probability c->noise a number from noise_low .. noise_high, otherwise 0. */
int64_t tropical_noise(const Tropical *c, Draws *draws);
/* Maps i in 0 .. n - 1 to a number in 0 .. 1. */
float tropical_place(int64_t i, int64_t n);
/* Sets the label of the whole example, which is at its last position. */
void tropical_answer(Example e, int64_t T, int32_t label);

/* Statistics of all scored labels in 4,000 examples of a setting. */
typedef struct LabelFacts {
    double positive; /* share of class 1 */
    double majority; /* share of the most frequent class */
    double variance; /* of the values */
} LabelFacts;

LabelFacts tropical_facts(const Task *task, const void *config);
/* The F1 of answering 1 everywhere. */
double tropical_all_ones(const Task *task, const void *config);

#endif
