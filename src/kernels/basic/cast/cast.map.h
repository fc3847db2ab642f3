/* fp32 to the element type, a block per program. */
#include "tile/tile.h"
#include "kernels/basic/cast/cast.h"

KERNEL(cast, CastArguments) {
    const int64_t first = program_x * CAST_BLOCK, left = a.count - first;
    const float *from = a.from + first;
    element *to = (element *)a.to + first;
    EACH_VECTOR(i, left < CAST_BLOCK ? left : CAST_BLOCK) {
        READ_F32(x, from + i);
        WRITE(to + i, x);
    }
}
