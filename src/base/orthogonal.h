/* Random matrices with orthonormal rows, for initial weights. */
#ifndef FLAME_BASE_ORTHOGONAL_H
#define FLAME_BASE_ORTHOGONAL_H

#include <stdint.h>

/* Makes the rows of a [count, length] matrix orthonormal, count <= length: removes from each row its components along
 * the rows before it (modified Gram-Schmidt). Rows drawn from a normal distribution become uniformly distributed over
 * all such matrices. The result does not depend on the number of threads; rows are orthogonal to about 1e-4. */
void orthonormalise_rows(float *matrix, int64_t count, int64_t length);

#endif
