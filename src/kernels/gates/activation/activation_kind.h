#ifndef FLAME_KERNELS_GATES_ACTIVATION_ACTIVATION_KIND_H
#define FLAME_KERNELS_GATES_ACTIVATION_ACTIVATION_KIND_H

typedef enum Activation {
    ACTIVATION_SILU,
    ACTIVATION_RELU,
    ACTIVATION_SIGMOID,
    ACTIVATION_ONE_PLUS_ELU, /* 1 + x above 0, e^x below */
    ACTIVATION_TANH,
    ACTIVATION_SQUARED_RELU,
    ACTIVATION_GELU,        /* x times the probability that a standard normal is below x (arXiv 1606.08415) */
    ACTIVATION_LOG_1P_RELU, /* ln(1 + x) above 0, else 0 */
    ACTIVATION_EXP_M1,      /* e^x - 1 */
    ACTIVATIONS
} Activation;

#endif
