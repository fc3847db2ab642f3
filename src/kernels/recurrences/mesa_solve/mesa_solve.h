/* Arguments of the mesa_solve kernels, shared by host and device. */
#ifndef FLAME_KERNELS_RECURRENCES_MESA_SOLVE_MESA_SOLVE_H
#define FLAME_KERNELS_RECURRENCES_MESA_SOLVE_MESA_SOLVE_H

#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* x_t = (H_t + diag(lambda))^-1 q_t, per head, where the states H are those of `of_state`, whose keys and values are
 * k. In backward q is the gradient of the solution, x the solution of its gradient, and -x times `solved`, the
 * forward's solution, is lambda's gradient. */
typedef struct MesaSolveArguments {
    ChunkSimpleGlaArguments of_state;
    Heads q, x, solved;     /* [N, heads*K]; solved: NULL in forward */
    const void *raw_lambda; /* elements [heads*K]: lambda = softplus(raw) + lower_bound */
    float *of_raw_lambda;   /* [B*chunks, heads*K]: parts of raw_lambda's gradient; NULL in forward */
    float lower_bound, damping;
    int32_t steps;
} MesaSolveArguments;

#endif
