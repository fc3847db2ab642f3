/* Sinusoidal positions. */
#include "tile/tile.h"
#include "kernels/positions/sinusoid_table/sinusoid_table.h"
#include "tile/rows.h"

KERNEL(sinusoid_table, SinusoidTableArguments) {
    const int64_t first = program_x * a.rows_per_program;
    EACH_ROW (p, first, end_of_program(first, a.rows, a.rows_per_program)) {
        element *const y = (element *)a.y + p * 2 * a.half;
        WARP_EACH(i, a.half) {
            float sine, cosine;
            sine_and_cosine((double)p * exp(-a.step * (double)i), &sine, &cosine);
            y[i] = to_element(sine);
            y[a.half + i] = to_element(cosine);
        }
    }
}
