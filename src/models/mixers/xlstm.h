/* The config keys and the MLP of xlstm. */
#ifndef FLAME_MODELS_MIXERS_XLSTM_H
#define FLAME_MODELS_MIXERS_XLSTM_H

#include "models/model.h"

typedef struct XlstmConfig {
    int64_t num_heads, ffn_round_up_to_multiple_of, chunk_size, max_inference_chunksize;
    double qk_dim_factor, v_dim_factor, ffn_proj_factor, gate_soft_cap, output_logit_soft_cap, eps;
    bool use_bias, norm_reduction_force_float32, add_out_norm, return_last_states;
    char *weight_mode, *mode, *chunkwise_kernel, *sequence_kernel, *step_kernel, *autocast_kernel_dtype,
        *inference_state_dtype;
    bool fused;
    int64_t key_size, value_size, ffn_size; /* columns of all heads together, and of the MLP */
} XlstmConfig;

enum { XLSTM_KEYS = 21 };
extern const Key xlstm_keys[XLSTM_KEYS];

/* Sets the widths and `fused`. Returns BAD_INPUT (logged) if a width is not a multiple of num_heads. */
Status xlstm_complete(void *config, const ModelConfig *model);

/* down(silu(gate(x)) * up(x)). With `weight_mode: fused`, gate and up are one tensor. */
extern const Mlp xlstm_ffn;

#endif
