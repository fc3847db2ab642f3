/* Statistics of small samples: scores of a few seeds, answers to some thousand examples. Tests are two-sided and return
 * the p-value. If a sample is too small, the result is NaN. */
#ifndef FLAME_SUITES_STATISTICS_H
#define FLAME_SUITES_STATISTICS_H

#include <stdint.h>

typedef struct Interval {
    double low, high;
} Interval;

double sample_mean(const double *values, int n);
/* The square root of the unbiased variance (divided by n - 1); NaN below two values. */
double sample_deviation(const double *values, int n);
double sample_median(const double *values, int n);
/* The 95 % interval of the mean, by Student's t; NaN below two values. */
Interval mean_interval(const double *values, int n);
/* The 95 % interval of a rate of `events` in `trials`, by Wilson. It is meaningful even if there are no events. */
Interval rate_interval(int64_t events, int64_t trials);

/* The probability that |t| is at least this large with this many degrees of freedom. */
double t_two_sided(double t, double degrees);
/* The t that is exceeded on either side with probability 0.025. */
double t_quantile_95(double degrees);

enum { PERMUTATION_MAX = 20 }; /* most values of an exact permutation test, which has about a million cases then */

/* A paired permutation test of whether a and b differ in the mean. a[i] and b[i] belong to the same seed. If the models
 * do not differ, each of the 2^n ways of exchanging the two values of some seeds is as likely as the one observed. NaN
 * above PERMUTATION_MAX. */
double paired_permutation(const double *a, const double *b, int n);
/* The smallest p that paired_permutation can give for n seeds, whatever the values: 2 / 2^n. */
double paired_permutation_smallest(int n);
/* The same for scores of different seeds: each choice of n out of all n + m values is equally likely. NaN if n + m is
 * above PERMUTATION_MAX. */
double unpaired_permutation(const double *a, int n, const double *b, int m);
/* The smallest p that unpaired_permutation can give. */
double unpaired_permutation_smallest(int n, int m);
/* Welch's t test, for samples too large for permutations. NaN below two values, or if neither sample varies. */
double welch_test(const double *a, int n, const double *b, int m);
/* The exact sign test of whether as many differences are positive as negative. Differences of 0 do not count. For the
 * answers of two models to the same examples it is McNemar's exact test. */
double sign_test(int64_t positive, int64_t negative);

/* Holm's correction: replaces the p-values of a family of tests, so that the probability of any false positive among
 * those below 0.05 is at most 0.05. NaN stays NaN and does not count. */
void holm_correct(double *p, int count);

/* Spearman's rank correlation; equal values share their mean rank. NaN below two values, or if all of a or of b are
 * equal. */
double rank_correlation(const double *a, const double *b, int n);

#endif
