#include "training/not_finite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static bool is_finite(const char *value, DType type) {
    return isfinite(type == BF16 ? bf16_to_float(*(const bf16 *)value) : *(const float *)value);
}

/* The first row with a value that is not finite, or -1. */
static int64_t bad_row(const Device *device, const Tensor *x) {
    const int64_t size = dtype_size(x->type), row = x->cols * size;
    char *copy = malloc((size_t)(x->rows * row) + 1);
    CHECK_MEMORY(copy, "no memory for %lld values", (long long)(x->rows * x->cols));
    device->copy(copy, row, x->data, x->stride * size, x->rows, row);
    device->synchronize();
    int64_t at = 0;
    const int64_t count = x->rows * x->cols;
    while (at < count && is_finite(copy + at * size, x->type)) at++;
    free(copy);
    return at < count ? at / x->cols : -1;
}

/* Finds the first op of the tape with an output that is not finite. */
static void find_op(const Tape *tape, NotFinite *found) {
    for (int i = 0; i < tape->nodes; i++)
        for (int o = 0; o < tape->node[i].outputs; o++) {
            const Node *node = &tape->node[i];
            const Tensor *x = node->out[o];
            if (node->in_scratch || (x->type != F32 && x->type != BF16)) continue;
            const int64_t row = bad_row(tape->device, x);
            if (row < 0) continue;
            if (x->rows == tape->batch->B * tape->batch->T) found->row = row;
            snprintf(found->op, sizeof found->op, "%s", node->op->name);
            return;
        }
}

NotFinite not_finite_find(const Runner *runner, int64_t layers) {
    NotFinite found = {.layer = NOT_FINITE_NOWHERE};
    for (int64_t l = 0; l <= layers; l++) {
        found.row = bad_row(runner_tape(runner, -1)->device, runner_boundary(runner, l));
        if (found.row < 0) continue;
        found.layer = l - 1;
        find_op(runner_tape(runner, l - 1), &found);
        return found;
    }
    const Tape *head = runner_tape(runner, layers);
    find_op(head, &found);
    if (found.op[0]) found.layer = layers;
    return found;
}
