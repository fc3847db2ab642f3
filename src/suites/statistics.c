#include "suites/statistics.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const double normal_quantile_95 = 1.959963984540054;

static double *copy_of(const double *values, int n) {
    double *copy = malloc((size_t)(n ? n : 1) * sizeof *copy);
    CHECK_MEMORY(copy, "out of memory");
    return memcpy(copy, values, (size_t)n * sizeof *copy);
}

static int compare_values(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Computed so that the mean of equal values is exactly their value. */
double sample_mean(const double *values, int n) {
    double above_first = 0;
    for (int i = 0; i < n; i++) above_first += values[i] - values[0];
    return n ? values[0] + above_first / n : NAN;
}

double sample_deviation(const double *values, int n) {
    if (n < 2) return NAN;
    const double mean = sample_mean(values, n);
    double squares = 0;
    for (int i = 0; i < n; i++) squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares / (n - 1));
}

double sample_median(const double *values, int n) {
    if (n == 0) return NAN;
    double *sorted = copy_of(values, n);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_values);
    const double median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    free(sorted);
    return median;
}

Interval mean_interval(const double *values, int n) {
    const double mean = sample_mean(values, n);
    const double half = n < 2 ? NAN : t_quantile_95(n - 1) * sample_deviation(values, n) / sqrt(n);
    return (Interval){mean - half, mean + half};
}

Interval rate_interval(int64_t events, int64_t trials) {
    if (trials == 0) return (Interval){NAN, NAN};
    const double n = (double)trials, rate = (double)events / n, z = normal_quantile_95;
    const double scale = 1 / (1 + z * z / n), middle = (rate + z * z / (2 * n)) * scale;
    const double half = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) * scale;
    /* If there are no events, the lower bound is exactly 0, and if there is nothing else, the upper bound is exactly 1.
     * Rounding may miss these. */
    return (Interval){events == 0 ? 0 : middle - half, events == trials ? 1 : middle + half};
}

/* The continued fraction of the incomplete beta function, by Lentz: it converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b) {
    double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), value = d;
    for (int i = 1; i < 10000; i++) {
        const double even = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i));
        d = 1 / (1 + even * d);
        c = 1 + even / c;
        value *= c * d;
        const double odd = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1));
        d = 1 / (1 + odd * d);
        c = 1 + odd / c;
        value *= c * d;
        if (fabs(c * d - 1) < DBL_EPSILON) break;
    }
    return value;
}

/* The regularised incomplete beta function I_x(a, b), a and b > 0. */
static double incomplete_beta(double x, double a, double b) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double t_two_sided(double t, double degrees) {
    return isinf(t) ? 0 : incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5);
}

double t_quantile_95(double degrees) {
    double low = 0, high = 2;
    while (t_two_sided(high, degrees) > 0.05) high *= 2;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        *(t_two_sided(middle, degrees) > 0.05 ? &low : &high) = middle;
    }
    return high;
}

/* In how many ways `sum` plus or minus each difference is at least `bound` in absolute value. */
static int64_t extreme_signs(const double *difference, int n, double sum, double bound) {
    if (n == 0) return fabs(sum) >= bound;
    return extreme_signs(difference + 1, n - 1, sum + difference[0], bound) +
           extreme_signs(difference + 1, n - 1, sum - difference[0], bound);
}

double paired_permutation(const double *a, const double *b, int n) {
    if (n < 1 || n > PERMUTATION_MAX) return NAN;
    double difference[PERMUTATION_MAX], sum = 0, size = 0;
    for (int i = 0; i < n; i++) {
        difference[i] = a[i] - b[i];
        sum += difference[i];
        size += fabs(difference[i]);
    }
    /* Sums that differ only by rounding count as equal. */
    return (double)extreme_signs(difference, n, 0, fabs(sum) - 1e-12 * size) / (double)((int64_t)1 << n);
}

double paired_permutation_smallest(int n) { return n < 1 ? NAN : ldexp(2, -n); }

/* An unpaired permutation test, decided by the sum of the first group's values. */
typedef struct Choices {
    const double *value; /* relative to the mean of all */
    int count;
    double bound;
    int64_t all, extreme;
} Choices;

/* Goes through all choices of `wanted` values among those from number `next` on. */
static void choose(Choices *choices, int next, int wanted, double sum) {
    if (wanted == 0) {
        choices->all++;
        choices->extreme += fabs(sum) >= choices->bound;
        return;
    }
    for (int i = next; i + wanted <= choices->count; i++) choose(choices, i + 1, wanted - 1, sum + choices->value[i]);
}

double unpaired_permutation(const double *a, int n, const double *b, int m) {
    if (n < 1 || m < 1 || n + m > PERMUTATION_MAX) return NAN;
    double value[PERMUTATION_MAX], sum = 0, size = 0;
    memcpy(value, a, (size_t)n * sizeof *value);
    memcpy(value + n, b, (size_t)m * sizeof *value);
    /* If values are taken relative to the mean of all, the difference of the groups' means is a multiple of the first
     * group's sum. */
    const double mean = sample_mean(value, n + m);
    for (int i = 0; i < n + m; i++) {
        value[i] -= mean;
        size += fabs(value[i]) + fabs(mean);
        if (i < n) sum += value[i];
    }
    Choices choices = {.value = value, .count = n + m, .bound = fabs(sum) - 1e-12 * size};
    choose(&choices, 0, n, 0);
    return (double)choices.extreme / (double)choices.all;
}

double unpaired_permutation_smallest(int n, int m) {
    double choices = 1;
    for (int i = 1; i <= m; i++) choices *= (double)(n + i) / i;
    /* If both groups have the same size, exchanging them gives the same difference with the other sign. */
    return (n == m ? 2 : 1) / choices;
}

double welch_test(const double *a, int n, const double *b, int m) {
    if (n < 2 || m < 2) return NAN;
    const double va = pow(sample_deviation(a, n), 2) / n, vb = pow(sample_deviation(b, m), 2) / m;
    if (va + vb == 0) return NAN;
    const double t = (sample_mean(a, n) - sample_mean(b, m)) / sqrt(va + vb);
    return t_two_sided(t, (va + vb) * (va + vb) / (va * va / (n - 1) + vb * vb / (m - 1)));
}

double sign_test(int64_t positive, int64_t negative) {
    if (positive == negative) return 1;
    /* Twice the probability that, of fewer + more fair coins, at most `fewer` fall on one given side. */
    const double fewer = (double)(positive < negative ? positive : negative),
                 more = (double)(positive + negative) - fewer;
    return fmin(1, 2 * incomplete_beta(0.5, more, fewer + 1));
}

void holm_correct(double *p, int count) {
    int left = 0;
    for (int i = 0; i < count; i++) left += !isnan(p[i]);
    double *sorted = malloc((size_t)(left ? left : 1) * sizeof *sorted);
    double *corrected = malloc((size_t)(left ? left : 1) * sizeof *corrected), worst = 0;
    CHECK_MEMORY(sorted && corrected, "out of memory");
    for (int i = 0, n = 0; i < count; i++)
        if (!isnan(p[i])) sorted[n++] = p[i];
    qsort(sorted, (size_t)left, sizeof *sorted, compare_values);
    for (int k = 0; k < left; k++) corrected[k] = worst = fmin(1, fmax(worst, (left - k) * sorted[k]));
    for (int i = 0; i < count; i++) {
        const double *place = isnan(p[i]) ? NULL : bsearch(&p[i], sorted, (size_t)left, sizeof *sorted, compare_values);
        /* Equal p-values get the corrected value of the first of them, which is the largest. */
        while (place && place > sorted && place[-1] == *place) place--;
        if (place) p[i] = corrected[place - sorted];
    }
    free(corrected);
    free(sorted);
}

static double *ranks_of(const double *values, int n) {
    double *rank = copy_of(values, n);
    for (int i = 0; i < n; i++) {
        int below = 0, equal = 0;
        for (int j = 0; j < n; j++) {
            below += values[j] < values[i];
            equal += values[j] == values[i];
        }
        rank[i] = below + (equal - 1) / 2.0;
    }
    return rank;
}

double rank_correlation(const double *a, const double *b, int n) {
    double *x = ranks_of(a, n), *y = ranks_of(b, n), xy = 0, xx = 0, yy = 0;
    const double mean = (n - 1) / 2.0;
    for (int i = 0; i < n; i++) {
        xy += (x[i] - mean) * (y[i] - mean);
        xx += (x[i] - mean) * (x[i] - mean);
        yy += (y[i] - mean) * (y[i] - mean);
    }
    free(x);
    free(y);
    return xx == 0 || yy == 0 ? NAN : xy / sqrt(xx * yy);
}
