#include "models/model_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "base/log.h"
#include "base/number.h"

static const Key model_keys[] = {
    KEY(ModelConfig, model_type, KEY_STRING, "", 0, 0, NULL,
        "name of the mixer, which decides the model: gla, mamba2, ..."),
    KEY(ModelConfig, hidden_size, KEY_INTEGER, "2048", 1, 1 << 20, NULL, "width of the residual stream"),
    KEY(ModelConfig, num_hidden_layers, KEY_INTEGER, "24", 1, 4096, NULL, "layers"),
    KEY(ModelConfig, vocab_size, KEY_INTEGER, "32000", 1, 1 << 30, NULL, "rows of the embedding table"),
    KEY(ModelConfig, hidden_ratio, KEY_REAL | KEY_NULLABLE, "4", 1e-3, 1e3, NULL,
        "the MLP width is 2/3 hidden_size * hidden_ratio, rounded up to a multiple of 256"),
    KEY(ModelConfig, intermediate_size, KEY_INTEGER | KEY_NULLABLE, "null", 0, 1 << 24, NULL,
        "MLP width (null: decided by hidden_ratio; 0: no MLP, which fla's classes do not support)"),
    KEY(ModelConfig, hidden_act, KEY_CHOICE | KEY_INERT, "swish", 0, 0, "swish|silu|sqrelu",
        "activation of the MLP and of output gates; sqrelu is that of RWKV"),
    KEY(ModelConfig, norm_eps, KEY_REAL, "1e-06", 0, 1, NULL, "eps of the norms, added to the mean square"),
    KEY(ModelConfig, initializer_range, KEY_REAL | KEY_INERT, "0.02", 0, 10, NULL,
        "standard deviation of the initial values of matrices"),
    KEY(ModelConfig, max_position_embeddings, KEY_INTEGER | KEY_INERT, "2048", 1, 1e12, NULL,
        "longest sequence, for Hugging Face; no table depends on it"),
    KEY(ModelConfig, tie_word_embeddings, KEY_BOOLEAN, "false", 0, 0, NULL, "the head uses the embedding table"),
    KEY(ModelConfig, elementwise_affine, KEY_BOOLEAN, "true", 0, 0, NULL,
        "norms have weights (false: only for gsa, whose mixer then has a norm without a weight)"),
    KEY(ModelConfig, use_cache, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL, "for Hugging Face's generation"),
    KEY(ModelConfig, pad_token_id, KEY_INTEGER | KEY_NULLABLE, "null", 0, 1 << 30, NULL,
        "padding token, whose embedding gets no gradient (in mamba, mamba2 and samba it does)"),
    KEY(ModelConfig, bos_token_id, KEY_INTEGER | KEY_NULLABLE | KEY_INERT, "1", 0, 1 << 30, NULL,
        "for Hugging Face's generation"),
    KEY(ModelConfig, eos_token_id, KEY_INTEGER_LIST | KEY_NULLABLE | KEY_SCALAR | KEY_INERT, "2", 0, 1 << 30, NULL,
        "for Hugging Face's generation; one token or a list"),
    KEY(ModelConfig, fuse_norm, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "fla's kernel choice; decides the name of GLA's output norm"),
    KEY(ModelConfig, fuse_swiglu, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "fla's kernel choice; without effect here"),
    KEY(ModelConfig, fuse_cross_entropy, KEY_BOOLEAN | KEY_INERT, "true", 0, 0, NULL,
        "fla's kernel choice; without effect here"),
    KEY(ModelConfig, fuse_linear_cross_entropy, KEY_BOOLEAN | KEY_INERT, "false", 0, 0, NULL,
        "fla's kernel choice; without effect here"),
    KEY(ModelConfig, use_l2warp, KEY_BOOLEAN, "false", 0, 0, NULL,
        "pull the largest logit of every target to 0: add 1e-4 times that logit to its gradient"),
};

/* Keys whose value is a mapping. */
typedef struct NestedKeys {
    const ConfigValue *attn, *rope_parameters, *rope_scaling;
} NestedKeys;

#define NESTED(name, doc)                                                                                              \
    { #name, KEY_VALUE | KEY_NULLABLE, "null", 0, 0, NULL, doc, offsetof(NestedKeys, name) }

static const Key attn_key[] = {NESTED(
    attn, "softmax attention in some layers (a hybrid model): {layers, num_heads, num_kv_heads, window_size, ...}")};
static const Key rope_keys[] = {
    NESTED(rope_parameters, "form of rope_theta in transformers 5: {rope_type: default, rope_theta: ...}"),
    NESTED(rope_scaling, "the older name of rope_parameters"),
};

/* The keys of rope_parameters. */
typedef struct RopeParameters {
    const ConfigValue *rope_theta;
} RopeParameters;

static const Key rope_parameters_keys[] = {
    {"rope_theta", KEY_VALUE, NULL, 0, 0, NULL, "base of the rotary frequencies", offsetof(RopeParameters, rope_theta)},
    {"rope_type", KEY_FIXED, "default", 0, 0, NULL, "positions are never scaled", 0},
    {"type", KEY_FIXED, "default", 0, 0, NULL, "positions are never scaled", 0},
    {"partial_rotary_factor", KEY_FIXED, "1", 0, 0, NULL, "all columns of a head are rotated", 0},
};

#define UNREAD(name)                                                                                                   \
    { name, KEY_IGNORED, NULL, 0, 0, NULL, NULL, 0 }
#define FIXED(name, value, doc)                                                                                        \
    { name, KEY_FIXED | KEY_NULLABLE, value, 0, 0, NULL, doc, 0 }

/* Keys of transformers and of older releases of fla. An UNREAD key does not change the model, and is kept with the
 * value that it is given. A FIXED key could change the model, so only the value listed here is accepted. A key that is
 * in no table is refused. */
static const Key unread_keys[] = {
    FIXED("attnres_block_size", "null", "attention over layers in place of residuals does not exist here"),
    FIXED("rope_interleaved", "false", "the halves of a head are rotated"),
    FIXED("partial_rotary_factor", "1", "all columns of a head are rotated"),
    FIXED("quantization_config", "null", "weights are not quantized"),
    FIXED("attention_bias", "false", "fla calls it qkv_bias"),
    FIXED("mlp_bias", "false", "the MLP has no biases"),
    FIXED("attention_dropout", "0", "there is no dropout"),
    FIXED("hidden_dropout", "0", "there is no dropout"),
    FIXED("norm_bias", "true", "norms that subtract the mean have a bias"),
    FIXED("norm_first", "true", "norms are applied before the mixer"),
    FIXED("is_encoder_decoder", "false", "models are decoders"),
    FIXED("add_cross_attention", "false", "models are decoders"),
    FIXED("cross_attention_hidden_size", "null", "models are decoders"),
    FIXED("tie_encoder_decoder", "false", "models are decoders"),
    FIXED("pruned_heads", "{}", "heads are not pruned"),
    /* of older releases of fla */
    UNREAD("share_conv_kernel"),
    /* origin and loading of the file */
    UNREAD("architectures"),
    UNREAD("transformers_version"),
    UNREAD("dtype"),
    UNREAD("torch_dtype"),
    UNREAD("auto_map"),
    UNREAD("_name_or_path"),
    UNREAD("name_or_path"),
    UNREAD("_commit_hash"),
    UNREAD("attn_implementation"),
    UNREAD("_attn_implementation"),
    UNREAD("_attn_implementation_autoset"),
    UNREAD("_attn_implementation_internal"),
    UNREAD("_experts_implementation"),
    UNREAD("_experts_implementation_internal"),
    UNREAD("_output_attentions"),
    UNREAD("return_dict"),
    UNREAD("output_hidden_states"),
    UNREAD("output_attentions"),
    UNREAD("torchscript"),
    UNREAD("use_bfloat16"),
    UNREAD("tf_legacy_loss"),
    UNREAD("gradient_checkpointing"),
    UNREAD("chunk_size_feed_forward"),
    UNREAD("is_decoder"),
    /* tasks and tokenizers */
    UNREAD("finetuning_task"),
    UNREAD("task_specific_params"),
    UNREAD("problem_type"),
    UNREAD("id2label"),
    UNREAD("label2id"),
    UNREAD("num_labels"),
    UNREAD("tokenizer_class"),
    UNREAD("prefix"),
    UNREAD("sep_token_id"),
    UNREAD("unk_token_id"),
    UNREAD("decoder_start_token_id"),
    /* generation */
    UNREAD("max_length"),
    UNREAD("max_new_tokens"),
    UNREAD("min_length"),
    UNREAD("min_new_tokens"),
    UNREAD("do_sample"),
    UNREAD("early_stopping"),
    UNREAD("num_beams"),
    UNREAD("num_beam_groups"),
    UNREAD("diversity_penalty"),
    UNREAD("temperature"),
    UNREAD("top_k"),
    UNREAD("top_p"),
    UNREAD("min_p"),
    UNREAD("typical_p"),
    UNREAD("epsilon_cutoff"),
    UNREAD("eta_cutoff"),
    UNREAD("penalty_alpha"),
    UNREAD("repetition_penalty"),
    UNREAD("encoder_repetition_penalty"),
    UNREAD("length_penalty"),
    UNREAD("no_repeat_ngram_size"),
    UNREAD("encoder_no_repeat_ngram_size"),
    UNREAD("bad_words_ids"),
    UNREAD("num_return_sequences"),
    UNREAD("output_scores"),
    UNREAD("return_dict_in_generate"),
    UNREAD("forced_bos_token_id"),
    UNREAD("forced_eos_token_id"),
    UNREAD("remove_invalid_values"),
    UNREAD("exponential_decay_length_penalty"),
    UNREAD("suppress_tokens"),
    UNREAD("begin_suppress_tokens"),
    UNREAD("cache_implementation"),
};

/* The one key of `attn` that the attention mixer does not have. */
static const Key hybrid_keys[] = {
    {"layers", KEY_INTEGER_LIST, "[]", 0, 1e6, NULL, "indices, from 0, of the layers with softmax attention",
     offsetof(ModelConfig, attention_layers)},
};

/* The key of the attention mixer that fla's `attn` does not have. */
static const char not_in_hybrids[] = "qk_norm";

static const ModelLayout usual_layout = {
    .model = "model", .final_norm = "norm", .mixer_norm = "attn_norm", .mixer = "attn", .mlp = &gated_mlp};

static void *zeroed(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    CHECK_MEMORY(memory, "out of memory");
    return memory;
}

static KeyTable mixer_table(const Mixer *mixer, void *values, const char *section) {
    return (KeyTable){mixer->keys, mixer->key_count, values, section};
}

static Status unsupported(const char *key, const char *what) {
    if (log_rank() == 0) log_error("model.%s: %s is not supported", key, what);
    return BAD_INPUT;
}

/* Sets the rope_theta of `mixer` from `rope`, which is the value of the key `name` (rope_parameters or rope_scaling) of
 * `keys`. */
static Status read_rope(const ConfigValue *rope, const char *name, const ConfigValue *keys, const KeyTable *mixer) {
    if (!rope) return OK;
    char section[160];
    snprintf(section, sizeof section, "%s.%s", mixer->section, name);
    if (!keys_find(mixer, 1, "rope_theta"))
        return config_error(rope, "%s is not supported: this model has no rope_theta", section);
    RopeParameters parameters = {0};
    const KeyTable table = {rope_parameters_keys, LENGTH(rope_parameters_keys), &parameters, section};
    Status status = keys_apply(&table, 1, rope, section, NULL);
    const ConfigValue *theta = parameters.rope_theta, *other = config_value_get(keys, "rope_theta");
    if (status != OK || !theta) return status;
    ConfigValue *found = config_value_new(VALUE_MAPPING, NULL, 0);
    config_value_set(found, "rope_theta", config_value_copy(theta));
    status = keys_apply(mixer, 1, found, section, NULL);
    config_value_free(found);
    if (status == OK && other && !config_value_same(theta, other))
        return config_error(theta, "%s.rope_theta is %g, but %s.rope_theta is %g: remove the wrong one", section,
                            theta->real, mixer->section, other->real);
    return status;
}

static Status read_ropes(const NestedKeys *nested, const ConfigValue *keys, const KeyTable *mixer) {
    const Status status = read_rope(nested->rope_parameters, "rope_parameters", keys, mixer);
    return status == OK ? read_rope(nested->rope_scaling, "rope_scaling", keys, mixer) : status;
}

static Status check_attention_layers(const ModelConfig *config, const ConfigValue *attn) {
    const IntegerList layers = config->attention_layers;
    if (layers.count == 0)
        return config_error(attn, "model.attn.layers is empty: remove `attn` if the model has no hybrid layers");
    for (int64_t i = 0; i < layers.count; i++) {
        if (layers.item[i] < 0 || layers.item[i] >= config->num_hidden_layers)
            return config_error(attn, "model.attn.layers: the model has no layer %lld, only layers 0 to %lld",
                                (long long)layers.item[i], (long long)config->num_hidden_layers - 1);
        for (int64_t j = 0; j < i; j++)
            if (layers.item[i] == layers.item[j])
                return config_error(attn, "model.attn.layers: %lld is listed twice", (long long)layers.item[i]);
    }
    return OK;
}

/* Refuses a rope_theta other than the default if fla does not pass the key to the hybrid layers of this model. */
static Status check_attention_base(const ModelConfig *config, const ConfigValue *attn, const KeyTable *attention) {
    if (!config->mixer->fixes_attention_base) return OK;
    const Key *key = keys_find(attention, 1, "rope_theta");
    const double base = *(const double *)((const char *)config->attention_config + key->offset);
    if (base == strtod(key->default_text, NULL)) return OK;
    return config_error(
        attn,
        "model.attn.rope_theta is %g, but fla ignores the key in the hybrid layers of %s: remove it, or set it to %s",
        base, config->model_type, key->default_text);
}

/* Reads the keys of `attn`: the hybrid layers and their attention. */
static Status read_hybrid(ModelConfig *config, const ConfigValue *attn) {
    const Mixer *attention = mixer_find("transformer");
    if (!config->mixer->takes_attention)
        return config_error(attn, "model.attn: %s has no hybrid layers; remove the key", config->model_type);
    if (attn->type != VALUE_MAPPING)
        return config_error(attn, "model.attn must be a mapping {layers: [...], num_heads: ..., ...}");
    if (!config_value_get(attn, "num_heads")) return config_error(attn, "model.attn.num_heads is missing");
    if (config_value_get(attn, not_in_hybrids))
        return config_error(attn, "model.attn.%s: fla does not support this key in hybrid layers", not_in_hybrids);
    config->attention_config = zeroed(attention->config_size);
    NestedKeys nested = {0};
    const KeyTable tables[] = {mixer_table(attention, config->attention_config, "model.attn"),
                               {hybrid_keys, LENGTH(hybrid_keys), config, "model.attn"},
                               {rope_keys, LENGTH(rope_keys), &nested, "model.attn"}};
    keys_defaults(tables, LENGTH(tables));
    Status status = keys_apply(tables, LENGTH(tables), attn, "model.attn", NULL);
    if (status == OK) status = read_ropes(&nested, attn, &tables[0]);
    if (status == OK) status = check_attention_base(config, attn, &tables[0]);
    if (status == OK) status = check_attention_layers(config, attn);
    return status == OK ? attention->complete(config->attention_config, config) : status;
}

/* The mixer's own defaults of shared keys, or NULL if it has none. The caller frees the result. */
static ConfigValue *model_defaults(const Mixer *mixer) {
    ConfigValue *defaults = NULL;
    const char *text = mixer->model_defaults;
    if (text)
        CHECK(config_value_read_yaml(mixer->model_type, text, strlen(text), &defaults) == OK, "the defaults of %s",
              mixer->model_type);
    return defaults;
}

static Status find_mixer(const ConfigValue *source, ModelConfig *config) {
    const ConfigValue *type = config_value_get(source, "model_type");
    if (!type || type->type != VALUE_STRING)
        return config_error(type ? type : source, "model.model_type %s; it is one of: %s",
                            type ? "must be a string" : "is missing", mixer_names());
    config->mixer = mixer_find(type->text);
    if (!config->mixer)
        return config_error(type, "model.model_type: there is no mixer \"%s\"; it is one of: %s", type->text,
                            mixer_names());
    config->layout = config->mixer->layout ? config->mixer->layout : &usual_layout;
    config->mixer_config = zeroed(config->mixer->config_size);
    return OK;
}

static Status check_supported(const ModelConfig *config) {
    if (!config->elementwise_affine && !config->mixer->takes_plain_norm)
        return unsupported("elementwise_affine", "false");
    const Mlp *mlp = config->layout->mlp ? config->layout->mlp : &gated_mlp;
    if (!strstr(mlp->activations, config->hidden_act)) return unsupported("hidden_act", config->hidden_act);
    if (config->pad_token_id >= config->vocab_size) return unsupported("pad_token_id", "a token beyond vocab_size");
    return OK;
}

/* Sets *named to a copy of the mapping in which a key's second name (KeyAlias) is replaced by its first. The caller
 * frees it. */
static Status with_own_names(const Mixer *mixer, const ConfigValue *source, ConfigValue **named) {
    *named = config_value_new(VALUE_MAPPING, source->file, source->line);
    for (int i = 0; i < source->count; i++) {
        const ConfigValue *value = source->item[i];
        const char *name = value->key;
        for (int a = 0; a < mixer->alias_count; a++)
            if (strcmp(mixer->aliases[a].other, value->key) == 0) name = mixer->aliases[a].name;
        const ConfigValue *same = name != value->key ? config_value_get(source, name) : NULL;
        if (same && !config_value_same(value, same))
            return config_error(
                value, "model.%s and model.%s are names of the same key, but their values differ: remove the wrong one",
                value->key, name);
        if (!same) config_value_set(*named, name, config_value_copy(value));
    }
    return OK;
}

/* The `attn` that a mixer has by default in a model of `layers` layers, or NULL if it has none. The caller frees it. */
static ConfigValue *default_attention(const Mixer *mixer, int64_t layers) {
    ConfigValue *attn = NULL;
    const char *text = mixer->default_attention;
    if (!text) return NULL;
    CHECK(config_value_read_yaml(mixer->model_type, text, strlen(text), &attn) == OK, "attn of %s", mixer->model_type);
    ConfigValue *list = (ConfigValue *)config_value_get(attn, "layers");
    while (list->count > 0 && list->item[list->count - 1]->integer >= layers)
        config_value_free(list->item[--list->count]);
    if (list->count > 0) return attn;
    config_value_free(attn);
    return NULL;
}

/* Sets a shared key to the value that follows from the mixer's keys. If the key is given, it must have that value. */
static Status set_derived(const ModelConfig *config, const ConfigValue *source, const char *key, int64_t *field,
                          int64_t value) {
    const ConfigValue *given = config_value_get(source, key);
    if (given && given->type != VALUE_NULL && *field != value)
        return config_error(given, "model.%s is %lld, but in %s other keys decide it, and give %lld", key,
                            (long long)*field, config->model_type, (long long)value);
    *field = value;
    return OK;
}

static Status set_derived_keys(ModelConfig *config, const ConfigValue *source) {
    const Mixer *mixer = config->mixer;
    Status status = OK;
    if (mixer->inner_size)
        status = set_derived(config, source, "intermediate_size", &config->intermediate_size,
                             mixer->inner_size(config->mixer_config));
    if (status == OK && mixer->layer_count)
        status = set_derived(config, source, "num_hidden_layers", &config->num_hidden_layers,
                             mixer->layer_count(config->mixer_config));
    return status;
}

static Status check_width(const ModelConfig *config) {
    if (!config->mlp || config->mlp->width(config) > 0) return OK;
    log_error("model.hidden_ratio is %g, too small for hidden_size %lld: the MLP has no column", config->hidden_ratio,
              (long long)config->hidden_size);
    return BAD_INPUT;
}

static void keep_unread(const KeyTable *tables, int count, const ConfigValue *source, ModelConfig *config) {
    config->unread = config_value_new(VALUE_MAPPING, NULL, 0);
    for (int i = 0; i < source->count; i++) {
        const ConfigValue *given = source->item[i];
        if (!key_has_field(keys_find(tables, count, given->key)))
            config_value_set(config->unread, given->key, config_value_copy(given));
    }
}

static bool any_mixer_has(const char *name) {
    const Mixer *mixer;
    for (int i = 0; (mixer = mixer_at(i)); i++) {
        const KeyTable table = mixer_table(mixer, NULL, "model");
        const Key *key = keys_find(&table, 1, name);
        if (key && key_has_field(key)) return true;
    }
    return false;
}

static KeyHints hints_of(const Mixer *mixer) {
    KeyHints hints = *config_hints();
    hints.mixer = mixer->model_type;
    hints.other_mixer_has = any_mixer_has;
    return hints;
}

/* Reads all keys of `source`, in which keys have their first names. */
static Status read_keys(const ConfigValue *source, ModelConfig *config) {
    NestedKeys nested = {0};
    const KeyTable tables[] = {{model_keys, LENGTH(model_keys), config, "model"},
                               mixer_table(config->mixer, config->mixer_config, "model"),
                               {attn_key, LENGTH(attn_key), &nested, "model"},
                               {rope_keys, LENGTH(rope_keys), &nested, "model"},
                               {unread_keys, LENGTH(unread_keys), NULL, "model"}};
    keys_defaults(tables, LENGTH(tables));
    ConfigValue *defaults = model_defaults(config->mixer);
    CHECK(keys_apply(tables, 1, defaults, "model", NULL) == OK, "the defaults of %s", config->mixer->model_type);
    config_value_free(defaults);
    const KeyHints hints = hints_of(config->mixer);
    Status status = keys_apply(tables, LENGTH(tables), source, "model", &hints);
    if (status == OK) status = check_supported(config);
    if (status == OK) status = read_ropes(&nested, source, &tables[1]);
    if (status == OK && config->mixer->complete) status = config->mixer->complete(config->mixer_config, config);
    if (status == OK) status = set_derived_keys(config, source);
    for (int t = 0; t < 2 && status == OK; t++) status = keys_check(&tables[t]);
    config->mlp = config->intermediate_size == 0 ? NULL : config->layout->mlp;
    if (status == OK) status = check_width(config);
    ConfigValue *attn =
        config_value_get(source, "attn") ? NULL : default_attention(config->mixer, config->num_hidden_layers);
    if (attn) nested.attn = attn;
    if (status == OK && nested.attn) status = read_hybrid(config, nested.attn);
    config_value_free(attn);
    if (status == OK) keep_unread(tables, LENGTH(tables), source, config);
    return status;
}

Status model_config_read(const ConfigValue *source, ModelConfig *config) {
    *config = (ModelConfig){0};
    ConfigValue *named = NULL;
    Status status = find_mixer(source, config);
    if (status == OK) status = with_own_names(config->mixer, source, &named);
    if (status == OK) status = read_keys(named, config);
    config_value_free(named);
    return status;
}

void model_config_free(ModelConfig *config) {
    const KeyTable tables[] = {{model_keys, LENGTH(model_keys), config, NULL},
                               {hybrid_keys, LENGTH(hybrid_keys), config, NULL}};
    keys_free(tables, LENGTH(tables));
    if (config->mixer)
        keys_free(&(KeyTable){config->mixer->keys, config->mixer->key_count, config->mixer_config, ""}, 1);
    const Mixer *attention = mixer_find("transformer");
    if (config->attention_config)
        keys_free(&(KeyTable){attention->keys, attention->key_count, config->attention_config, ""}, 1);
    free(config->mixer_config);
    free(config->attention_config);
    config_value_free(config->unread);
    *config = (ModelConfig){0};
}

void model_config_tables(const ModelConfig *config, KeyTable tables[MODEL_TABLES]) {
    tables[0] = (KeyTable){model_keys, LENGTH(model_keys), (void *)config, ""};
    tables[1] = mixer_table(config->mixer, config->mixer_config, "");
    tables[2] = mixer_table(mixer_find("transformer"), config->attention_config, "attn");
}

bool model_config_has_eos(const ModelConfig *config, int64_t token) {
    for (int64_t i = 0; i < config->eos_token_id.count; i++)
        if (config->eos_token_id.item[i] == token) return true;
    return false;
}

void model_config_set_eos(ModelConfig *config, int64_t token) {
    free(config->eos_token_id.item);
    config->eos_token_id = (IntegerList){1, zeroed(sizeof token)};
    config->eos_token_id.item[0] = token;
}

/* The keys of all tables with their values, as one mapping. */
static ConfigValue *values_of(const KeyTable *tables, int count) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "out of memory");
    for (int i = 0; i < count; i++) keys_print(file, &tables[i]);
    fclose(file);
    ConfigValue *values = NULL;
    CHECK(config_value_read_yaml("effective model configuration", text, bytes, &values) == OK, "%s", text);
    free(text);
    return values;
}

static bool is_finite(const ConfigValue *value) {
    for (int i = 0; i < value->count; i++)
        if (!is_finite(value->item[i])) return false;
    return value->type != VALUE_REAL || isfinite(value->real);
}

/* JSON has no infinity, and releases of transformers spell it in different ways. So infinite values are left out, which
 * is safe because only defaults are infinite: a reader sets a missing key to its default. */
static bool left_out_infinity(const ConfigValue *value) { return !is_finite(value); }
static bool left_out_of_hybrids(const ConfigValue *value) { return strcmp(value->key, not_in_hybrids) == 0; }

static void leave_out(ConfigValue *mapping, bool (*unwanted)(const ConfigValue *value)) {
    int kept = 0;
    for (int i = 0; i < mapping->count; i++) {
        if (unwanted(mapping->item[i]))
            config_value_free(mapping->item[i]);
        else
            mapping->item[kept++] = mapping->item[i];
    }
    mapping->count = kept;
}

static ConfigValue *hybrid_value(const ModelConfig *config) {
    if (!config->attention_config) return config_value_new(VALUE_NULL, NULL, 0);
    const KeyTable tables[] = {{hybrid_keys, LENGTH(hybrid_keys), (void *)config, ""},
                               mixer_table(mixer_find("transformer"), config->attention_config, "")};
    ConfigValue *attn = values_of(tables, LENGTH(tables));
    leave_out(attn, left_out_of_hybrids);
    return attn;
}

ConfigValue *model_config_value(const ModelConfig *config) {
    const KeyTable tables[] = {{model_keys, LENGTH(model_keys), (void *)config, ""},
                               mixer_table(config->mixer, config->mixer_config, "")};
    ConfigValue *value = values_of(tables, LENGTH(tables));
    leave_out(value, left_out_infinity);
    const Mixer *mixer = config->mixer;
    for (int i = 0; i < mixer->alias_count; i++)
        config_value_set(value, mixer->aliases[i].other,
                         config_value_copy(config_value_get(value, mixer->aliases[i].name)));
    if (mixer->takes_attention) config_value_set(value, "attn", hybrid_value(config));
    for (int i = 0; i < config->unread->count; i++)
        config_value_set(value, config->unread->item[i]->key, config_value_copy(config->unread->item[i]));
    return value;
}

/* Prints the shared keys with their defaults in models with `mixer` (NULL: the defaults that most models have). With
 * only_own_defaults, prints only those keys whose default the mixer changes. */
static void help_of_model_keys(FILE *file, const Mixer *mixer, bool only_own_defaults) {
    Key keys[LENGTH(model_keys)];
    char texts[LENGTH(model_keys)][NUMBER_TEXT];
    ConfigValue *defaults = mixer ? model_defaults(mixer) : NULL;
    int count = 0;
    for (int i = 0; i < LENGTH(model_keys); i++) {
        const ConfigValue *own = config_value_get(defaults, model_keys[i].name);
        if (only_own_defaults && !own) continue;
        keys[count] = model_keys[i];
        if (own) {
            snprintf(texts[count], sizeof texts[count], "%s", own->text);
            keys[count].default_text = texts[count];
        }
        if (mixer && strcmp(keys[count].name, "model_type") == 0) keys[count].default_text = mixer->model_type;
        count++;
    }
    keys_help(file, &(KeyTable){keys, count, NULL, "model"});
    config_value_free(defaults);
}

static void help_of_mixer(FILE *file, const Mixer *mixer) {
    keys_help(file, &(KeyTable){mixer->keys, mixer->key_count, NULL, "model"});
    Key attn = attn_key[0];
    if (mixer->default_attention) attn.default_text = mixer->default_attention;
    if (mixer->takes_attention) keys_help(file, &(KeyTable){&attn, 1, NULL, "model"});
}

/* Prints the keys of `attn`. */
static void help_of_hybrids(FILE *file) {
    const Mixer *attention = mixer_find("transformer");
    keys_help(file, &(KeyTable){hybrid_keys, LENGTH(hybrid_keys), NULL, "model.attn"});
    for (int i = 0; i < attention->key_count; i++)
        if (strcmp(attention->keys[i].name, not_in_hybrids) != 0)
            keys_help(file, &(KeyTable){&attention->keys[i], 1, NULL, "model.attn"});
}

KeyTable model_config_keys(void) { return (KeyTable){model_keys, LENGTH(model_keys), NULL, "model"}; }

void model_config_help(FILE *file, const Mixer *mixer) {
    if (mixer) {
        help_of_model_keys(file, mixer, false);
        help_of_mixer(file, mixer);
        if (mixer->takes_attention) help_of_hybrids(file);
        return;
    }
    fputs("\nAll models:\n", file);
    help_of_model_keys(file, NULL, false);
    fputs("\nSoftmax attention in some layers of another model:\n", file);
    help_of_hybrids(file);
    for (int i = 0; (mixer = mixer_at(i)); i++) {
        fprintf(file, "\n%s:\n", mixer->model_type);
        help_of_model_keys(file, mixer, true);
        help_of_mixer(file, mixer);
    }
}
