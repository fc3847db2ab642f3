/* The configuration of a model, which is read from and written to a Hugging Face config.json. */
#ifndef FLAME_MODELS_MODEL_CONFIG_H
#define FLAME_MODELS_MODEL_CONFIG_H

#include <stdio.h>

#include "base/check.h"
#include "config/config_value.h"
#include "config/keys.h"
#include "models/mixer.h"

/* The keys that all models share, with fla's names and defaults, then what is derived from them or read from other
 * keys. model_config_free frees everything but the mixer, the layout and the MLP, which are static. */
struct ModelConfig {
    char *model_type, *hidden_act;
    int64_t hidden_size, num_hidden_layers, vocab_size, intermediate_size, max_position_embeddings;
    double hidden_ratio, norm_eps, initializer_range;
    bool tie_word_embeddings, elementwise_affine, use_cache, use_l2warp;
    bool fuse_norm, fuse_swiglu, fuse_cross_entropy, fuse_linear_cross_entropy;
    int64_t pad_token_id, bos_token_id; /* -1: null */
    IntegerList eos_token_id;           /* empty: null */
    const Mixer *mixer;
    const ModelLayout *layout;
    const Mlp *mlp; /* the layout's MLP; NULL if it has none or intermediate_size is 0 */
    void *mixer_config;
    void *attention_config;       /* the struct of the keys of `attn`; NULL without hybrid layers */
    IntegerList attention_layers; /* indices of the hybrid layers */
    ConfigValue *unread;          /* the keys without effect, with the values that they were given */
};

/* Reads all keys. An unknown key, an unsupported value, and sizes that do not fit together are BAD_INPUT, with one
 * error in the log that names the key. Known keys without effect, which transformers writes into every file, are kept.
 * The caller must call model_config_free after success and after failure. */
Status model_config_read(const ConfigValue *source, ModelConfig *config);
void model_config_free(ModelConfig *config);

/* The tables of keys with their values: the keys that all models share, the mixer's, and those of the section "attn"
 * for hybrid layers (values NULL without such layers). */
enum { MODEL_TABLES = 3 };
void model_config_tables(const ModelConfig *config, KeyTable tables[MODEL_TABLES]);

/* Whether `token` is one of eos_token_id. */
bool model_config_has_eos(const ModelConfig *config, int64_t token);
/* Makes `token` the only eos_token_id. */
void model_config_set_eos(ModelConfig *config, int64_t token);

/* The complete configuration in a form that fla and model_config_read accept: every key of the tables with its value,
 * defaults included, and the keys without effect as they were given. The caller frees it. */
ConfigValue *model_config_value(const ModelConfig *config);

/* The table of the keys that all models share, without values. */
KeyTable model_config_keys(void);

/* Prints the keys of models with this mixer and their defaults. If mixer is NULL, prints the keys that all models
 * share, then those of each mixer. */
void model_config_help(FILE *file, const Mixer *mixer);

#endif
