/* Arguments of the branch_gate kernels, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_GATES_BRANCH_GATE_BRANCH_GATE_H
#define FLAME_KERNELS_GATES_BRANCH_GATE_BRANCH_GATE_H

#include <stdint.h>

enum { BRANCHES = 3 };

/* y = sum over b of s_b x_b per head, s_b = sigmoid(gate_b). Backward: dx_b = s_b dy, dgate_b = sigmoid'(gate_b) times
 * the sum over the head of dy x_b. A gradient has the stride of its tensor. */
typedef struct BranchGateArguments {
    const void *gate, *x[BRANCHES], *dy;
    void *y, *dgate, *dx[BRANCHES];
    int64_t rows, heads, cols, rows_per_program, gate_stride, x_stride[BRANCHES], y_stride; /* cols: of a head */
} BranchGateArguments;

#endif
