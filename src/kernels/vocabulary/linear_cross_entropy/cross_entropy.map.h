/* Softmax cross-entropy and its gradient, one row per program. */
#include "tile/tile.h"
#include "kernels/vocabulary/linear_cross_entropy/linear_cross_entropy.h"

/* Sums over a row x: its maximum, the sum of e^(x_i - maximum), whose terms EXPONENTIAL returns later, and, if there is
 * another row, the sum of e^(x_i - maximum) (x_i - other_i).
 *
 * A CPU core has the row in its cache but is slow at e^x. So it reads the row twice and, if the logits are not needed
 * again, keeps the exponentials in their place. A GPU reads the row once: each thread keeps the maximum of what it has
 * seen, and scales its sums down when that grows. */
typedef struct RowSums {
    float maximum, sum, difference;
} RowSums;

#define ON_CORE                       (VECTOR == 1)
#define EXPONENTIAL(kept, x, maximum) ((kept) ? (x) : exp_f((x) - (maximum)))

/* compares: whether there is another row. keeps: whether the exponentials take the place of x. Inlined with constants
 * for both. */
DEVICE RowSums sum_exponentials(float *x, const float *other, int64_t cols, bool compares, bool keeps) {
    float maximum = -INFINITY, sum = 0, difference = 0;
    if (ON_CORE) {
        MAXIMUM(maximum, i, cols, x[i]);
        SUM_VECTOR(i, cols, sum, difference) {
            const float exponential = exp_f(x[i] - maximum);
            sum += exponential;
            if (compares) difference += exponential * (x[i] - other[i]);
            if (keeps) x[i] = exponential;
        }
    } else {
        EACH_VECTOR(i, cols) {
            READ_F32(value, x + i);
            READ_F32(beside, (compares ? other : x) + i);
            float largest = maximum;
            EACH_LANE(e) largest = LANE_INSIDE(e) ? fmaxf(largest, value[e]) : largest;
            const float smaller = exp_f(maximum - largest);
            sum *= smaller;
            difference *= smaller;
            EACH_LANE(e) {
                const float exponential = LANE_INSIDE(e) ? exp_f(value[e] - largest) : 0.0f;
                sum += exponential;
                if (compares) difference += exponential * (value[e] - beside[e]);
            }
            maximum = largest;
        }
        const float largest = maximum;
        PROGRAM_MAXIMUM(maximum);
        const float smaller = exp_f(largest - maximum);
        sum *= smaller;
        difference *= smaller;
        PROGRAM_SUM(sum);
        if (compares) PROGRAM_SUM(difference);
    }
    const RowSums row = {maximum, sum, difference};
    return row;
}

DEVICE float mean_of_row(const float *x, int64_t cols) {
    float sum = 0;
    SUM(sum, i, cols, x[i]);
    return sum / (float)cols;
}

DEVICE void add_bias(float *x, int64_t cols, const element *bias) {
    EACH_VECTOR(i, cols) {
        READ_F32(y, x + i);
        READ(b, bias + i);
        EACH_LANE(e) y[e] += b[e];
        WRITE_F32(x + i, y);
    }
    sync();
}

DEVICE void cap_logits(float *x, int64_t cols, float cap) {
    EACH_VECTOR(i, cols) {
        READ_F32(y, x + i);
        EACH_LANE(e) y[e] = soft_cap_f(y[e], cap);
        WRITE_F32(x + i, y);
    }
    sync();
}

/* The terms of the gradient; see CrossEntropyArguments. */
typedef struct GradientTerms {
    int64_t label;
    float maximum; /* of the row */
    /* A gradient is scale * its exponential, less target at the label, less others, plus pull at the maximum. */
    float scale, target, others, pull;
    /* share: the teacher's share / sum. relative: makes the teacher's exponentials sum to the row's sum. */
    float share, teacher_maximum, relative;
} GradientTerms;

/* Inlined with constants for `capped` and `teaches`, so the loop has no branches. The derivative of the cap is 1 -
 * (logit / cap)^2. */
DEVICE void write_gradient(const CrossEntropyArguments *a, element *gradient, const float *x, const float *teacher,
                           const GradientTerms *t, bool capped, bool teaches) {
    EACH_VECTOR(i, a->cols) {
        READ_F32(y, x + i);
        READ_F32(taught, (teaches ? teacher : x) + i);
        EACH_LANE(e) {
            const float logit = y[e];
            const float exponential = EXPONENTIAL(ON_CORE && !capped, logit, t->maximum); /* 1 for the largest */
            y[e] = exponential * t->scale - (i + e == t->label ? t->target : 0.0f) +
                   (exponential == 1.0f ? t->pull : 0.0f) - t->others;
            if (teaches)
                y[e] += (exponential - EXPONENTIAL(ON_CORE, taught[e], t->teacher_maximum) * t->relative) * t->share;
            if (capped) y[e] *= 1.0f - logit / a->cap * (logit / a->cap);
        }
        WRITE(gradient + i, y);
    }
}

DEVICE void finish_logits(float *x, int64_t cols, const void *bias, float cap) {
    if (bias) add_bias(x, cols, (const element *)bias);
    if (cap > 0.0f) cap_logits(x, cols, cap);
}

/* The results for a row without a label. */
DEVICE void write_zeros(const CrossEntropyArguments *a, int64_t row, element *gradient, bool teaches) {
    a->losses[row] = 0;
    if (a->margins) a->margins[row] = 0;
    if (teaches) a->divergences[row] = 0;
    if (gradient) EACH_VECTOR(i, a->cols) {
            float zero[VECTOR];
            EACH_LANE(e) zero[e] = 0;
            WRITE(gradient + i, zero);
        }
}

/* Inlined with constants for `capped` and `teaches`, so that without a teacher no code for it remains. */
DEVICE void loss_of_row(const CrossEntropyArguments *a, int64_t row, bool capped, bool teaches) {
    float *x = a->logits + row * a->stride, *teacher = teaches ? a->teacher + row * a->stride : NULL;
    element *gradient = a->gradient ? (element *)a->gradient + row * a->stride : NULL;
    const int64_t label = a->labels[row];
    if (label < 0) {
        write_zeros(a, row, gradient, teaches);
        return;
    }
    finish_logits(x, a->cols, a->bias, a->cap);
    RowSums taught = {0, 1, 0};
    if (teaches) {
        finish_logits(teacher, a->cols, a->teacher_bias, a->teacher_cap);
        taught = sum_exponentials(teacher, x, a->cols, true, ON_CORE);
    }
    const float x_label = x[label]; /* read before any thread overwrites it, as the barriers below ensure */
    const float mean = a->smoothing > 0.0f ? mean_of_row(x, a->cols) : x_label;
    const RowSums sums = sum_exponentials(x, NULL, a->cols, false, ON_CORE && !capped);
    const float z = logf(sums.sum) + sums.maximum, rest = teaches ? 1.0f - a->share : 1.0f;
    a->losses[row] = z - x_label + a->smoothing * (x_label - mean) + a->z_loss * z * z;
    if (a->margins) a->margins[row] = x_label - sums.maximum;
    if (teaches) a->divergences[row] = taught.difference / taught.sum - (logf(taught.sum) + taught.maximum) + z;
    if (!gradient) return;
    const GradientTerms terms = {label,
                                 sums.maximum,
                                 rest * (1.0f + 2.0f * a->z_loss * z) / sums.sum,
                                 rest * (1.0f - a->smoothing),
                                 rest * a->smoothing / (float)a->cols,
                                 rest * a->pull * sums.maximum,
                                 teaches ? a->share / sums.sum : 0.0f,
                                 taught.maximum,
                                 sums.sum / taught.sum};
    write_gradient(a, gradient, x, teacher, &terms, capped, teaches);
}

#define LOSS_OF_ROW(teaches)                                                                                           \
    if (a.cap > 0.0f)                                                                                                  \
        loss_of_row(&a, program_x, true, teaches);                                                                     \
    else                                                                                                               \
        loss_of_row(&a, program_x, false, teaches)

KERNEL(cross_entropy, CrossEntropyArguments) { LOSS_OF_ROW(false); }

KERNEL(cross_entropy_taught, CrossEntropyArguments) { LOSS_OF_ROW(true); }
