/* The hyperbolic tangent for kernels, to 2^-23 of 1. */
#ifndef FLAME_KERNELS_GATES_ACTIVATION_TANH_H
#define FLAME_KERNELS_GATES_ACTIVATION_TANH_H

DEVICE float tanh_f(float x) { return 2.0f * sigmoid_f(2.0f * x) - 1.0f; }

#endif
