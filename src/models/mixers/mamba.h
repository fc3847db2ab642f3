/* The Mamba-1 layer, which mamba and samba share. Its equations are in mamba.c. */
#ifndef FLAME_MODELS_MIXERS_MAMBA_H
#define FLAME_MODELS_MIXERS_MAMBA_H

#include "models/mixers/parts.h"

typedef struct MambaConfig {
    int64_t state_size, expand, conv_kernel, dt_rank;
    double dt_scale, dt_min, dt_max, dt_init_floor;
    char *dt_init_scheme;
    bool use_bias, use_conv_bias, residual_in_fp32, rescale_prenorm_residual;
    int64_t inner; /* expand * hidden_size, the number of channels */
} MambaConfig;

/* The keys that have the same name in both models. The names of the others begin with dt_ in mamba and with time_step_
 * in samba. */
#define MAMBA_KEYS                                                                                                     \
    KEY(MambaConfig, state_size, KEY_INTEGER, "16", 1, 64, NULL, "numbers in the state of a channel"),                 \
        KEY(MambaConfig, expand, KEY_INTEGER, "2", 1, 64, NULL, "channels / hidden_size"),                             \
        KEY(MambaConfig, conv_kernel, KEY_INTEGER, "4", 1, 64, NULL, "width of the short convolution"),                \
        KEY(MambaConfig, use_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases on in_proj and out_proj"),                \
        KEY(MambaConfig, residual_in_fp32, KEY_BOOLEAN | KEY_INERT, "false", 0, 0, NULL,                               \
            "without effect: the residual is always added in fp32"),                                                   \
        MAMBA_KEY("rescale_prenorm_residual", rescale_prenorm_residual, KEY_BOOLEAN | KEY_INERT, "false", 0, 0, NULL,  \
                  "out_proj starts smaller in deeper models")
#define MAMBA_TIME_KEYS(time, floor)                                                                                   \
    MAMBA_KEY(time "rank", dt_rank, KEY_INTEGER | KEY_AUTO, "auto", 1, 1 << 20, NULL,                                  \
              "rank of the projection to dt (auto: hidden_size / 16, rounded up)"),                                    \
        MAMBA_KEY(time "scale", dt_scale, KEY_REAL | KEY_INERT, "1.0", 1e-6, 1e6, NULL,                                \
                  "bound of the initial dt_proj, times rank^(-1/2)"),                                                  \
        MAMBA_KEY(time "init_scheme", dt_init_scheme, KEY_CHOICE | KEY_INERT, "random", 0, 0, "random|constant",       \
                  "dt_proj starts uniform within that bound, or equal to it"),                                         \
        MAMBA_KEY(time "min", dt_min, KEY_REAL | KEY_INERT, "0.001", 1e-12, 1e3, NULL,                                 \
                  "least initial dt; ln dt starts uniform"),                                                           \
        MAMBA_KEY(time "max", dt_max, KEY_REAL | KEY_INERT, "0.1", 1e-12, 1e3, NULL, "largest initial dt"),            \
        MAMBA_KEY(floor, dt_init_floor, KEY_REAL | KEY_INERT, "0.0001", 1e-12, 1e3, NULL,                              \
                  "initial dt are raised to this (at most the least initial dt)")
#define MAMBA_KEY(name, field, type, default_text, low, high, choices, doc)                                            \
    { name, type, default_text, low, high, choices, doc, offsetof(MambaConfig, field) }

Status mamba_complete(void *config, const ModelConfig *model);
int64_t mamba_inner_size(const void *config);
void mamba_parameters(Layer *layer);
Tensor *mamba_forward(const Layer *layer, Tape *tape, Tensor *x);

#endif
