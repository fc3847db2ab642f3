/* Arguments of the mesa_step kernel, shared by host and device. Strides in elements. */
#ifndef FLAME_KERNELS_RECURRENCES_MESA_SOLVE_MESA_STEP_H
#define FLAME_KERNELS_RECURRENCES_MESA_SOLVE_MESA_STEP_H

#include "kernels/heads.h"

enum { MESA_SOLVE_K = 128 }; /* key columns of a head in mesa_solve and mesa_step, at most */

/* One token of mesa_solve: H = e^g H + e^s k k^T, x = (H + diag(lambda))^-1 q. */
typedef struct MesaStepArguments {
    Heads q, k, x;          /* one row for each sequence */
    const float *g, *s;     /* [B, heads] */
    const void *raw_lambda; /* elements [heads*K]: lambda = softplus(raw) + lower_bound */
    const float *state;     /* [B*heads*K, K] */
    float *final;
    int64_t g_stride, s_stride, K, heads;
    float lower_bound, damping;
    int32_t steps;
} MesaStepArguments;

#endif
