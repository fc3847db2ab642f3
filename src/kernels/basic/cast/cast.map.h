/* fp32 to the element type, a block per program. */
#include "tile/tile.h"
#include "kernels/basic/cast/cast.h"

KERNEL(cast, CastArguments) {
    const int64_t first = program_x * CAST_BLOCK, left = a.count - first;
    const float *from = a.from + first;
    element *to = (element *)a.to + first;
    EACH (i, left < CAST_BLOCK ? left : CAST_BLOCK) to[i] = to_element(from[i]);
}
