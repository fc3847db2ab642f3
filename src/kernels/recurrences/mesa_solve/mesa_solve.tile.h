/* The queries of a Mesa layer (arXiv 2506.05233): x_t = (H_t + diag(lambda))^-1 q_t by conjugate gradients, with one
 * program per chunk of 64 tokens and head. H_t = e^g_t H_{t-1} + e^s_t k_t k_t^T is the state of chunk_simple_gla with
 * v = k.
 *
 * All tokens of a chunk iterate together. With the rows p_t of P, u and M of chunk_simple_gla.tile.h, and H, the state
 * before the chunk, the products H_t p_t are the rows of
 *
 *   ((P k^T) * M) k + (diag(u) P) H
 *
 * computed in this order, because registers have no room for A = (P k^T) * M once P is rounded for the product with H.
 *
 * The damping is that of fla. It has an effect: the iteration slows down where the squared residual is near `damping`.
 *
 * Operands are rounded to elements in each product. This costs little: the iteration corrects the errors of P, and the
 * error of H_t is one part in 2^9, as in every op that stores states as elements.
 *
 * Backward: with x' the gradient of x, y_t = (H_t + diag(lambda))^-1 x'_t is found in the same way, and q' = y, lambda'
 * = -y x, H_t' = -y_t x_t^T. As in fla, this is the gradient of the exact solution. */
#include "tile/tile.h"
#include "kernels/recurrences/mesa_solve/mesa_solve.h"

/* values[i] = the sum of a b over row i, with `products` as scratch. */
#define row_values_dot(values, products, a, b)                                                                         \
    do {                                                                                                               \
        MAP(products, i_, j_, x_, x_ = PEER(a, i_, j_) * PEER(b, i_, j_));                                             \
        row_values_share(values, products);                                                                            \
        row_values_total(values);                                                                                      \
    } while (0)

#define MESA_KERNEL(name) SIZED_KERNEL(name, COLS_K, MesaSolveArguments)

#define COLS_K 64
#include "kernels/recurrences/mesa_solve/mesa_solve_keys.h"
#undef COLS_K
#define COLS_K 128
#include "kernels/recurrences/mesa_solve/mesa_solve_keys.h"
