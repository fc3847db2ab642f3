#include "suites/tropical/tropical.h"

#include <stdlib.h>

#include "base/log.h"

const char *const tropical_no_sweep[] = {NULL};

Status tropical_range(const char *prefix, double low, double high) {
    if (low <= high) return OK;
    log_error("task.%slow must be at most task.%shigh; they are %.15g and %.15g", prefix, prefix, low, high);
    return USAGE;
}

Status tropical_check(const void *config) {
    const Tropical *c = config;
    Status status = tropical_range("", (double)c->low, (double)c->high);
    if (status == OK) status = tropical_range("weight_", (double)c->weight_low, (double)c->weight_high);
    if (status == OK) status = tropical_range("target_", (double)c->target_low, (double)c->target_high);
    if (status == OK) status = tropical_range("noise_", (double)c->noise_low, (double)c->noise_high);
    return status;
}

void *tropical_zeros(int64_t count, size_t size) {
    void *zeros = calloc((size_t)count, size);
    CHECK_MEMORY(zeros, "out of memory");
    return zeros;
}

int32_t *tropical_values(const Tropical *c, Draws *draws) {
    int32_t *value = tropical_zeros(c->length, sizeof *value);
    for (int64_t i = 0; i < c->length; i++) value[i] = (int32_t)draw_between(draws, c->low, c->high);
    return value;
}

static int ascending(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

void tropical_sort(int32_t *value, int64_t count) { qsort(value, (size_t)count, sizeof *value, ascending); }

int64_t tropical_noise(const Tropical *c, Draws *draws) {
    return draw_chance(draws, c->noise) ? draw_between(draws, c->noise_low, c->noise_high) : 0;
}

float tropical_place(int64_t i, int64_t n) { return (float)i / (float)(n - 1); }

void tropical_answer(Example e, int64_t T, int32_t label) {
    for (int64_t t = 0; t < T; t++) e.labels[t] = IGNORED_LABEL;
    e.labels[T - 1] = label;
}

static Example example_new(TaskSizes s) {
    return (Example){.features = tropical_zeros(s.T * s.features, sizeof(float)),
                     .labels = tropical_zeros(s.T, sizeof(int32_t)),
                     .values = s.classes ? NULL : tropical_zeros(s.T, sizeof(float))};
}

static void example_free(Example e) {
    free(e.features);
    free(e.labels);
    free(e.values);
}

LabelFacts tropical_facts(const Task *task, const void *config) {
    enum { EXAMPLES = 4000 };
    const TaskSizes s = task->sizes(config);
    int64_t *count = tropical_zeros(s.classes + 2, sizeof *count), most = 0;
    double labels = 0, sum = 0, squares = 0;
    Example e = example_new(s);
    for (int64_t i = 0; i < EXAMPLES; i++) {
        task_example(task, config, 0, "facts", i, e);
        for (int64_t t = 0; t < s.T; t++) {
            if (e.labels[t] == IGNORED_LABEL) continue;
            const double value = e.values ? e.values[t] : 0;
            labels++;
            count[e.labels[t]]++;
            sum += value;
            squares += value * value;
        }
    }
    for (int64_t k = 0; k < s.classes; k++)
        if (count[k] > most) most = count[k];
    const LabelFacts facts = {.positive = (double)count[1] / labels,
                              .majority = (double)most / labels,
                              .variance = squares / labels - sum / labels * (sum / labels)};
    example_free(e);
    free(count);
    return facts;
}

/* This answer finds all positive labels, and a share p of it is right, so F1 = 2 p / (p + 1). */
double tropical_all_ones(const Task *task, const void *config) {
    const double p = tropical_facts(task, config).positive;
    return 2 * p / (p + 1);
}
