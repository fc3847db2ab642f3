/* Samba (Ren et al. 2024, arXiv 2406.07522), as in fla's Samba: Mamba layers alternate with layers of softmax attention
 * within a window. An MLP follows each mixer. */
#include "base/log.h"
#include "models/mixers/mamba.h"

static const Key samba_keys[] = {
    MAMBA_KEYS,
    MAMBA_TIME_KEYS("time_step_", "time_step_floor"),
    {"use_conv_bias", KEY_FIXED, "true", 0, 0, NULL, "fla's Samba ignores the key and always has that bias", 0},
};

static Status samba_complete(void *config, const ModelConfig *model) {
    MambaConfig *c = config;
    c->use_conv_bias = true;
    if (c->rescale_prenorm_residual) {
        log_error("model.rescale_prenorm_residual: true is not supported; fla's Samba fails with it, too");
        return BAD_INPUT;
    }
    return mamba_complete(config, model);
}

static const ModelLayout samba_layout = {.model = "backbone",
                                         .final_norm = "norm_f",
                                         .mixer_norm = "mixer_norm",
                                         .mixer = "mixer",
                                         .mlp = &gated_mlp,
                                         .trains_padding = true};

const Mixer samba_mixer = {
    .model_type = "samba",
    .architecture = "SambaForCausalLM",
    .keys = samba_keys,
    .key_count = LENGTH(samba_keys),
    .default_attention =
        "{layers: [1, 3, 5, 7, 9, 11, 13, 15, 17], num_heads: 18, num_kv_heads: 18, window_size: 2048}",
    .config_size = sizeof(MambaConfig),
    .model_defaults = "{hidden_size: 2304, num_hidden_layers: 18, norm_eps: 1.0e-5, pad_token_id: 0}",
    .layout = &samba_layout,
    .takes_attention = true,
    .complete = samba_complete,
    .inner_size = mamba_inner_size,
    .parameters = mamba_parameters,
    .forward = mamba_forward,
};
