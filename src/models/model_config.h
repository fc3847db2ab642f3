/* A model as the keys of a Hugging Face config.json describe it: how they are read, and how they are written again. */
#ifndef FLAME_MODELS_MODEL_CONFIG_H
#define FLAME_MODELS_MODEL_CONFIG_H

#include <stdio.h>

#include "base/check.h"
#include "config/config_value.h"
#include "config/keys.h"
#include "models/mixer.h"

/* The config keys that all models share, with fla's names and defaults, and what the others say. */
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
    void *mixer_config;
    void *attention_config;       /* of the hybrid layers, NULL if there are none */
    IntegerList attention_layers; /* which layers those are */
    ConfigValue *unread;          /* the keys that have no effect, as they were given */
};

/* Reads all keys. Strict: a key that no table knows, a value that is not supported and sizes that do not fit together
 * are errors that name the key. Known keys without effect, which transformers writes into every file, are kept.
 * BAD_INPUT after one message; model_config_free in any case. */
Status model_config_read(const ConfigValue *source, ModelConfig *config);
void model_config_free(ModelConfig *config);

/* The keys with their values: those that all models share, the mixer's, and those of hybrid layers in the section
 * "attn" (values NULL if there are none). */
enum { MODEL_TABLES = 3 };
void model_config_tables(const ModelConfig *config, KeyTable tables[MODEL_TABLES]);

/* Is `token` one of those that end a text? */
bool model_config_has_eos(const ModelConfig *config, int64_t token);
/* Makes it the only one. */
void model_config_set_eos(ModelConfig *config, int64_t token);

/* What took effect, as fla and model_config_read read it again: every key of the tables, each in one form whatever the
 * source wrote, and the keys without effect. The caller frees it. */
ConfigValue *model_config_value(const ModelConfig *config);

/* The keys that all models share; names only. */
KeyTable model_config_keys(void);

/* The keys of models of one mixer, with their defaults there; NULL: the keys that all models share, then each mixer's
 * own. */
void model_config_help(FILE *file, const Mixer *mixer);

#endif
