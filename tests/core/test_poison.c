/* Memory that was never written is NaN, also after the CPU's kernels have rounded it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/dtype.h"
#include "core/device.h"
#include "kernels/basic/cast/cast.h"

enum { COUNT = 1003, BEHIND = 8 };

static void is_nan_however_it_is_read(void **state) {
    (void)state;
    const Device *cpu = device_cpu();
    float *memory = calloc(COUNT, sizeof *memory);
    bf16 rounded[COUNT] = {0};
    device_poison(cpu, memory, COUNT * (int64_t)sizeof *memory);
    const CastArguments arguments = {.from = memory, .to = rounded, .count = COUNT};
    cpu->launch(KERNEL_cast, BF16, (Grid){1, 1, 1}, &arguments);
    cpu->synchronize();
    for (int i = 0; i < COUNT; i++) assert_true(isnan(memory[i]) && isnan(bf16_to_float(rounded[i])));
    for (int i = 0; i < 2 * COUNT; i++) assert_true(isnan(bf16_to_float(((bf16 *)memory)[i])));
    free(memory);
}

static void ends_where_the_memory_ends(void **state) {
    (void)state;
    for (int64_t bytes = 0; bytes < 40; bytes++) {
        unsigned char memory[40 + BEHIND] = {0};
        device_poison(device_cpu(), memory, bytes);
        for (int64_t i = 0; i < bytes; i++) assert_true(memory[i] >= 0xfe);
        for (int64_t i = bytes; i < bytes + BEHIND; i++) assert_int_equal(memory[i], 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_nan_however_it_is_read),
                                       cmocka_unit_test(ends_where_the_memory_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
