/* The keys of xlstm. */
#include <math.h>
#include <string.h>

#include "models/mixers/parts.h"
#include "models/mixers/xlstm.h"

#define DTYPES "float32|bfloat16|float16"
const Key xlstm_keys[XLSTM_KEYS] = {
    KEY(XlstmConfig, num_heads, KEY_INTEGER, "8", 1, 2048, NULL, "heads"),
    KEY(XlstmConfig, qk_dim_factor, KEY_REAL, "0.5", 1e-6, 64, NULL, "key width / hidden_size"),
    KEY(XlstmConfig, v_dim_factor, KEY_REAL, "1.0", 1e-6, 64, NULL, "value width / hidden_size"),
    KEY(XlstmConfig, ffn_proj_factor, KEY_REAL, "2.667", 1e-6, 64, NULL, "MLP width / hidden_size"),
    KEY(XlstmConfig, ffn_round_up_to_multiple_of, KEY_INTEGER, "64", 1, 1 << 16, NULL,
        "the MLP width is rounded up to a multiple of this"),
    KEY(XlstmConfig, gate_soft_cap, KEY_REAL, "15.0", 1e-3, 1e6, NULL, "soft cap of the gates"),
    KEY(XlstmConfig, output_logit_soft_cap, KEY_REAL, "30.0", 1e-3, 1e6, NULL, "soft cap of the logits"),
    KEY(XlstmConfig, eps, KEY_REAL, "1e-06", 0, 1, NULL, "added to the divisor of the mLSTM cell"),
    KEY(XlstmConfig, weight_mode, KEY_CHOICE, "single", 0, 0, "single|fused",
        "fused: checkpoints hold several projections as one tensor"),
    KEY(XlstmConfig, use_bias, KEY_BOOLEAN, "false", 0, 0, NULL, "biases of projections (only false is supported)"),
    KEY(XlstmConfig, add_out_norm, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "without effect: the model always has the final norm"),
    KEY(XlstmConfig, norm_reduction_force_float32, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "without effect: norms sum in fp32"),
    KEY(XlstmConfig, chunk_size, KEY_INTEGER | KEY_INERT, "1048576", 1, 1 << 30, NULL,
        "for Hugging Face, whose own code runs sequences shorter than this"),
    KEY(XlstmConfig, mode, KEY_CHOICE | KEY_INERT, "inference", 0, 0, "inference|train|train_with_padding",
        "transformers' kernel choice, like the next three keys"),
    KEY(XlstmConfig, chunkwise_kernel, KEY_STRING | KEY_INERT, "chunkwise--native_autograd", 0, 0, NULL,
        "without effect"),
    KEY(XlstmConfig, sequence_kernel, KEY_STRING | KEY_INERT, "native_sequence__native", 0, 0, NULL, "without effect"),
    KEY(XlstmConfig, step_kernel, KEY_STRING | KEY_INERT, "native", 0, 0, NULL, "without effect"),
    KEY(XlstmConfig, autocast_kernel_dtype, KEY_CHOICE | KEY_INERT, "bfloat16", 0, 0, DTYPES, "without effect"),
    KEY(XlstmConfig, inference_state_dtype, KEY_CHOICE | KEY_INERT, "float32", 0, 0, DTYPES, "without effect"),
    KEY(XlstmConfig, return_last_states, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL, "for Hugging Face's generation"),
    KEY(XlstmConfig, max_inference_chunksize, KEY_INTEGER | KEY_INERT, "16384", 1, 1 << 30, NULL,
        "for Hugging Face's generation"),
};

Status xlstm_complete(void *config, const ModelConfig *model) {
    XlstmConfig *c = config;
    const double h = (double)model->hidden_size, multiple = (double)c->ffn_round_up_to_multiple_of;
    c->key_size = (int64_t)(h * c->qk_dim_factor);
    c->value_size = (int64_t)(h * c->v_dim_factor);
    c->ffn_size = (int64_t)multiple * (int64_t)floor((h * c->ffn_proj_factor + multiple - 1) / multiple);
    c->fused = strcmp(c->weight_mode, "fused") == 0;
    if (c->use_bias) return refused("use_bias", "true is not supported");
    if (c->ffn_size == 0) return refused("ffn_proj_factor", "is too small for hidden_size: the MLP has no column");
    if (c->key_size % c->num_heads != 0 || c->key_size == 0)
        return refused("num_heads", "does not divide hidden_size * qk_dim_factor");
    if (c->value_size % c->num_heads != 0 || c->value_size == 0)
        return refused("num_heads", "does not divide hidden_size * v_dim_factor");
    return OK;
}
