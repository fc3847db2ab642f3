/* Plans of matrix products: there is one for each shape and alignment, and if there are too many, all are destroyed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "core/gemm_plans.h"

enum { MOST = 8 };

typedef struct Plan {
    int64_t rows, destroyed; /* destroyed: 1 once the plan has been destroyed */
} Plan;

static int64_t destroyed, rows_destroyed;

static void destroy(void *plan) {
    assert_int_equal(((Plan *)plan)->destroyed, 0);
    ((Plan *)plan)->destroyed = 1;
    rows_destroyed += ((Plan *)plan)->rows;
    destroyed++;
}

static Plan *find(GemmPlans *plans, int64_t rows, uint32_t alignment, bool expect_new) {
    const GemmKey key = {{.m = rows, .n = 3, .k = 5}, {alignment}};
    bool is_new;
    Plan *plan = gemm_plans_find(plans, &key, &is_new);
    assert_int_equal(is_new, expect_new);
    if (is_new) {
        assert_true(plan->rows == 0 && !plan->destroyed);
        plan->rows = rows;
    }
    assert_int_equal(plan->rows, rows);
    return plan;
}

static void test_full(void **state) {
    (void)state;
    GemmPlans plans = {.most = MOST, .plan_bytes = sizeof(Plan), .destroy = destroy};
    for (int round = 0; round < 3; round++) {
        destroyed = 0;
        for (int64_t rows = 1; rows < MOST; rows++) {
            gemm_plans_reserve(&plans, 1);
            find(&plans, rows, 16, true);
        }
        gemm_plans_reserve(&plans, 1);
        assert_true(find(&plans, 1, 8, true) != find(&plans, 1, 16, false));
        for (int64_t rows = 1; rows < MOST; rows++) find(&plans, rows, 16, false);
        assert_int_equal(destroyed, 0);
        rows_destroyed = 0;
        gemm_plans_reserve(&plans, 2); /* neither of two plans may be destroyed while the other is made */
        assert_int_equal(destroyed, MOST);
        assert_int_equal(rows_destroyed, MOST * (MOST - 1) / 2 + 1);
        Plan *first = find(&plans, 100, 16, true);
        assert_true(find(&plans, 200, 16, true) != first && first->rows == 100);
        gemm_plans_reserve(&plans, MOST);
        assert_int_equal(destroyed, MOST + 2);
    }
    free(plans.key), free(plans.plan), free(plans.slot);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
