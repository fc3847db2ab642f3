/* Softmax cross-entropy and its gradient, one row per program. */
#include "tile/tile.h"
#include "kernels/vocabulary/linear_cross_entropy/linear_cross_entropy.h"

/* The maximum of x and the sum of e^(x_i - maximum), which EXPONENTIAL gives afterwards.
 *
 * A core has the row in its cache and is slow at e^x: it reads the row twice and keeps the exponentials in its place. A
 * GPU reads it once: each thread has a maximum of what it has seen, and scales its sum down when that grows. */
#define KEEPS_EXPONENTIALS (VECTOR == 1)
#define EXPONENTIAL(x)     (KEEPS_EXPONENTIALS ? (x) : exp_f((x)-maximum))

DEVICE void sum_exponentials(float *x, int64_t cols, float *maximum_of_row, float *sum_of_row) {
    float maximum = -INFINITY, sum = 0;
    if (KEEPS_EXPONENTIALS) {
        MAXIMUM(maximum, i, cols, x[i]);
        SUM(sum, i, cols, x[i] = exp_f(x[i] - maximum));
    } else {
        EACH_VECTOR(i, cols) {
            READ_F32(value, x + i);
            float largest = maximum;
            EACH_LANE(e) largest = LANE_INSIDE(e) ? fmaxf(largest, value[e]) : largest;
            sum *= exp_f(maximum - largest);
            EACH_LANE(e) sum += LANE_INSIDE(e) ? exp_f(value[e] - largest) : 0.0f;
            maximum = largest;
        }
        const float largest = maximum;
        PROGRAM_MAXIMUM(maximum);
        sum *= exp_f(largest - maximum);
        PROGRAM_SUM(sum);
    }
    *maximum_of_row = maximum;
    *sum_of_row = sum;
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
        EACH_LANE(e) y[e] = cap * (2.0f * sigmoid_f(2.0f * y[e] / cap) - 1.0f);
        WRITE_F32(x + i, y);
    }
    sync();
}

/* scale: what makes a share of the loss of an exponential. capped is a constant where this is inlined, so the loop has
 * no branches. The derivative of the cap is 1 - (y / cap)^2. */
DEVICE void write_gradient(const CrossEntropyArguments *a, element *gradient, const float *x, int64_t label,
                           float maximum, float scale, bool capped) {
    const float pull = a->pull * maximum, target = 1.0f - a->smoothing, others = a->smoothing / (float)a->cols;
    EACH_VECTOR(i, a->cols) {
        READ_F32(y, x + i);
        EACH_LANE(e) {
            const float exponential = EXPONENTIAL(y[e]); /* 1 of the largest */
            const float logit = KEEPS_EXPONENTIALS ? maximum + log_f(exponential) : y[e];
            y[e] =
                exponential * scale - (i + e == label ? target : 0.0f) + (exponential == 1.0f ? pull : 0.0f) - others;
            if (capped) y[e] *= 1.0f - logit / a->cap * (logit / a->cap);
        }
        WRITE(gradient + i, y);
    }
}

KERNEL(cross_entropy, CrossEntropyArguments) {
    float *x = a.logits + program_x * a.stride;
    element *gradient = a.gradient ? (element *)a.gradient + program_x * a.stride : NULL;
    const int64_t label = a.labels[program_x];
    if (label < 0) {
        a.losses[program_x] = 0;
        if (gradient) EACH_VECTOR(i, a.cols) {
                float zero[VECTOR];
                EACH_LANE(e) zero[e] = 0;
                WRITE(gradient + i, zero);
            }
        return;
    }
    if (a.bias) add_bias(x, a.cols, (const element *)a.bias);
    if (a.cap > 0.0f) cap_logits(x, a.cols, a.cap);
    const float x_label = x[label]; /* before any thread overwrites it, which the barriers below ensure */
    const float mean = a.smoothing > 0.0f ? mean_of_row(x, a.cols) : x_label;
    float maximum, sum;
    sum_exponentials(x, a.cols, &maximum, &sum);
    const float z = logf(sum) + maximum, scale = (1.0f + 2.0f * a.z_loss * z) / sum;
    a.losses[program_x] = z - x_label + a.smoothing * (x_label - mean) + a.z_loss * z * z;
    if (!gradient) return;
    if (a.cap > 0.0f)
        write_gradient(&a, gradient, x, label, maximum, scale, true);
    else
        write_gradient(&a, gradient, x, label, maximum, scale, false);
}
