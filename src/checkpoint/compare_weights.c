#include "checkpoint/compare_weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/tensor_folder.h"

enum { BLOCK = 1 << 16, SHAPE_TEXT = 160 };

typedef struct Difference {
    int64_t values; /* number of values that differ */
    double largest; /* |a - b| */
    double square;  /* sum of (a - b)^2 */
    double square_a;
} Difference;

typedef struct Counts {
    int64_t equal, other_values, other_shapes, only_a, only_b;
} Counts;

static void add_value(Difference *d, double a, double b) {
    d->square_a += a * a;
    if (a == b || (isnan(a) && isnan(b))) return;
    const double difference = fabs(a - b);
    d->values++;
    d->square += difference * difference;
    /* Written so that a NaN becomes and stays the largest. */
    if (!(difference <= d->largest)) d->largest = difference;
}

static Status compare_values(const SafeTensor *a, const SafeTensor *b, Difference *difference) {
    float *block = malloc(2 * (size_t)BLOCK * sizeof *block);
    CHECK_MEMORY(block, "no memory to compare tensors");
    Status status = OK;
    for (int64_t first = 0, count; first < a->elements && status == OK; first += count) {
        count = a->elements - first < BLOCK ? a->elements - first : BLOCK;
        status = safetensors_read_floats(a, first, count, block);
        if (status == OK) status = safetensors_read_floats(b, first, count, block + BLOCK);
        for (int64_t i = 0; i < count && status == OK; i++)
            add_value(difference, (double)block[i], (double)block[BLOCK + i]);
    }
    free(block);
    return status;
}

static bool same_shape(const SafeTensor *a, const SafeTensor *b) {
    return a->dims == b->dims && memcmp(a->shape, b->shape, (size_t)a->dims * sizeof *a->shape) == 0;
}

static void print_shapes(const SafeTensor *a, const SafeTensor *b) {
    char shape_a[SHAPE_TEXT], shape_b[SHAPE_TEXT];
    safetensors_shape_text(a->dims, a->shape, shape_a, sizeof shape_a);
    safetensors_shape_text(b->dims, b->shape, shape_b, sizeof shape_b);
    printf("%-60s %s | %s\n", a->name, shape_a, shape_b);
}

static Status compare_pair(const SafeTensor *a, const SafeTensor *b, Counts *counts) {
    if (!same_shape(a, b)) {
        counts->other_shapes++;
        print_shapes(a, b);
        return OK;
    }
    Difference d = {0};
    const Status status = compare_values(a, b, &d);
    if (status) return status;
    if (d.values == 0) {
        counts->equal++;
        return OK;
    }
    counts->other_values++;
    printf("%-60s %12" PRId64 " of %12" PRId64 "  %10.3g  %10.3g\n", a->name, d.values, a->elements, d.largest,
           sqrt(d.square / d.square_a));
    return OK;
}

static Status compare_folders(const TensorFolder *a, const TensorFolder *b, Counts *counts) {
    Status status = OK;
    for (int64_t i = 0; i < tensor_folder_count(a) && status == OK; i++) {
        const SafeTensor *one = tensor_folder_entry(a, i), *other = tensor_folder_find(b, one->name);
        if (other) {
            status = compare_pair(one, other, counts);
        } else {
            counts->only_a++;
            printf("%-60s only in the first\n", one->name);
        }
    }
    for (int64_t i = 0; i < tensor_folder_count(b) && status == OK; i++)
        if (!tensor_folder_find(a, tensor_folder_entry(b, i)->name)) {
            counts->only_b++;
            printf("%-60s only in the second\n", tensor_folder_entry(b, i)->name);
        }
    return status;
}

Status compare_weights(const char *a, const char *b, const char *stem, bool *equal) {
    TensorFolder *first = NULL, *second = NULL;
    Counts counts = {0};
    Status status = tensor_folder_open(a, stem, &first);
    if (status == OK) status = tensor_folder_open(b, stem, &second);
    if (status == OK) {
        printf("%-60s %28s  %10s  %10s\n", stem, "values that differ", "largest", "relative");
        status = compare_folders(first, second, &counts);
    }
    if (status == OK)
        printf("%s: %" PRId64 " tensors equal, %" PRId64 " with other values, %" PRId64 " with other shapes, %" PRId64
               " only in the first, %" PRId64 " only in the second\n",
               stem, counts.equal, counts.other_values, counts.other_shapes, counts.only_a, counts.only_b);
    *equal = status == OK && counts.other_values + counts.other_shapes + counts.only_a + counts.only_b == 0;
    tensor_folder_close(first);
    tensor_folder_close(second);
    return status;
}
