/* Softmax cross-entropy and its gradient, one row per program. */
#include "tile/tile.h"
#include "kernels/vocabulary/linear_cross_entropy/linear_cross_entropy.h"

KERNEL(cross_entropy, CrossEntropyArguments) {
    float *x = a.logits + program_x * a.cols;
    element *gradient = a.gradient ? (element *)a.gradient + program_x * a.cols : NULL;
    const int64_t label = a.labels[program_x];
    if (label < 0) {
        a.losses[program_x] = 0;
        if (gradient)
            EACH (i, a.cols) gradient[i] = to_element(0);
        return;
    }
    const float x_label = x[label];
    float maximum = -INFINITY, sum = 0;
    MAXIMUM(maximum, i, a.cols, x[i]);
    sync(); /* every thread has read x_label */
    SUM(sum, i, a.cols, x[i] = exp_f(x[i] - maximum));
    a.losses[program_x] = logf(sum) + maximum - x_label;
    const float scale = 1.0f / sum;
    if (gradient)
        EACH (i, a.cols) gradient[i] = to_element(x[i] * scale - (i == label ? 1.0f : 0.0f));
}
