/* MFU is at most 1, even if the machine was busy while the speed of products was measured. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/device.h"
#include "training/peak.h"

static void utilisation_is_a_fraction(void **state) {
    (void)state;
    const Device *cpu = device_cpu();
    bool again = true;
    double peak = 1e9;
    assert_true(peak_utilisation(cpu, F32, 1, 5e8, &peak, &again) == 0.5 && peak == 1e9 && !again);

    peak = 1; /* as measured on a busy machine */
    const double fraction = peak_utilisation(cpu, F32, 1, 1e6, &peak, &again);
    assert_true(again && peak > 1e6);
    assert_true(fraction == 1e6 / peak && fraction < 1);

    peak = 1;
    assert_true(peak_utilisation(cpu, F32, 2, 1e18, &peak, &again) == 1 && peak == 1e18 && again);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(utilisation_is_a_fraction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
