/* For tests of tasks: a task with its settings, and room for one example. Include cmocka.h before. */
#ifndef FLAME_TESTS_EXAMPLES_H
#define FLAME_TESTS_EXAMPLES_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/settings.h"
#include "suites/suites.h"

enum { SEED = 12345 };

typedef struct Made {
    const Task *task;
    void *config;
    TaskSizes sizes;
    Example e;
} Made;

static inline const Task *find(const char *name) {
    for (const Suite *const *suite = all_suites; *suite; suite++) {
        const Task *task = suite_task(*suite, name);
        if (task) return task;
    }
    fail_msg("there is no task %s", name);
    return NULL;
}

static inline Status read_keys(const Task *task, const char *keys, void **config) {
    ConfigValue *root = config_value_new(VALUE_MAPPING, NULL, 0);
    assert_int_equal(settings_apply(root, keys), OK);
    const Status status = task_config_read(task, settings_section(root, "task"), config);
    config_value_free(root);
    return status;
}

static inline Made make(const char *name, const char *keys) {
    Made m = {.task = find(name)};
    assert_int_equal(read_keys(m.task, keys, &m.config), OK);
    m.sizes = m.task->sizes(m.config);
    m.e.labels = calloc((size_t)m.sizes.T, sizeof(int32_t));
    if (m.sizes.tokens) m.e.inputs = calloc((size_t)m.sizes.T, sizeof(int32_t));
    if (m.sizes.features) m.e.features = calloc((size_t)(m.sizes.T * m.sizes.features), sizeof(float));
    if (m.sizes.classes == 0) m.e.values = calloc((size_t)m.sizes.T, sizeof(float));
    return m;
}

/* Fills the example with bytes that are no valid token, label or number, so that entries that are not written are
 * found. */
static inline void example(Made *m, const char *split, int64_t number) {
    const size_t T = (size_t)m->sizes.T;
    memset(m->e.labels, 0x7f, T * sizeof(int32_t));
    if (m->e.inputs) memset(m->e.inputs, 0xff, T * sizeof(int32_t));
    if (m->e.features) memset(m->e.features, 0xff, T * (size_t)m->sizes.features * sizeof(float));
    if (m->e.values) memset(m->e.values, 0xff, T * sizeof(float));
    task_example(m->task, m->config, SEED, split, number, m->e);
}

static inline void done(Made *m) {
    task_config_free(m->task, m->config);
    free(m->e.inputs);
    free(m->e.features);
    free(m->e.labels);
    free(m->e.values);
}

static inline void assert_near(double value, double expected, double bound) {
    if (!(fabs(value - expected) <= bound)) fail_msg("%.4f is not within %.4f of %.4f", value, bound, expected);
}

#endif
