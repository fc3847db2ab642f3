#include "models/model_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static bool has(const ConfigValue *mapping, const char *key) { return config_value_get(mapping, key) != NULL; }

/* Whether a run's configuration decides the value of `key`: directly, by the key's second name, or by another key.
 * hidden_ratio decides intermediate_size (which with some mixers always follows from other keys), and rope_parameters
 * decides rope_theta. */
static bool is_given(const ConfigValue *keys, const char *key, const Mixer *mixer) {
    for (int i = 0; i < mixer->alias_count; i++) {
        const KeyAlias *alias = &mixer->aliases[i];
        if (strcmp(key, alias->name) == 0 && has(keys, alias->other)) return true;
        if (strcmp(key, alias->other) == 0 && has(keys, alias->name)) return true;
    }
    if (strcmp(key, "intermediate_size") == 0 && mixer->inner_size) return true;
    if (strcmp(key, "intermediate_size") == 0 && has(keys, "hidden_ratio")) return true;
    if (strcmp(key, "rope_theta") == 0 && (has(keys, "rope_parameters") || has(keys, "rope_scaling"))) return true;
    return has(keys, key);
}

static void fill(ConfigValue *keys, const ConfigValue *saved, const Mixer *mixer) {
    for (int i = 0; i < saved->count; i++)
        if (!is_given(keys, saved->item[i]->key, mixer))
            config_value_set(keys, saved->item[i]->key, config_value_copy(saved->item[i]));
}

void model_fill_keys(ConfigValue *keys, const ModelConfig *saved) {
    ConfigValue *mapping = model_config_value(saved);
    const ConfigValue *saved_attn = config_value_get(mapping, "attn");
    fill(keys, mapping, saved->mixer);
    for (int i = 0; i < keys->count && saved_attn; i++)
        if (strcmp(keys->item[i]->key, "attn") == 0 && keys->item[i]->type == VALUE_MAPPING)
            fill(keys->item[i], saved_attn, mixer_find("transformer"));
    config_value_free(mapping);
}

static int compare_layers(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The hybrid layers in ascending order as text, "[1, 3]". The caller frees it. */
static char *layers_text(const ModelConfig *config) {
    const size_t count = (size_t)config->attention_layers.count;
    IntegerList layers = {(int64_t)count, calloc(count + 1, sizeof *layers.item)};
    CHECK_MEMORY(layers.item, "out of memory");
    if (count > 0) memcpy(layers.item, config->attention_layers.item, count * sizeof *layers.item);
    qsort(layers.item, count, sizeof *layers.item, compare_layers);
    const Key key = {.name = "layers", .type = KEY_INTEGER_LIST};
    char *text = key_text(&(KeyTable){&key, 1, &layers, NULL}, &key);
    free(layers.item);
    return text;
}

static void compare_layer_lists(const Model *old, const Model *now, KeyDifferences *differences) {
    char *before = layers_text(&old->config), *after = layers_text(&now->config);
    if (strcmp(before, after) != 0) key_differences_add(differences, "attn", "layers", before, after);
    free(before);
    free(after);
}

/* The shared keys, where intermediate_size is the MLP's width, even if another key decided it; 0 without an MLP. */
static ModelConfig with_width(const Model *model) {
    ModelConfig config = model->config;
    config.hidden_ratio = 0;
    config.intermediate_size = model->config.mlp ? model->config.mlp->width(&model->config) : 0;
    return config;
}

void model_compare(const Model *old, const Model *now, KeyDifferences *differences) {
    KeyTable before[MODEL_TABLES], after[MODEL_TABLES];
    model_config_tables(&old->config, before);
    model_config_tables(&now->config, after);
    ModelConfig old_shared = with_width(old), now_shared = with_width(now);
    before[0].values = &old_shared;
    after[0].values = &now_shared;
    for (int t = 0; t < MODEL_TABLES; t++)
        if (before[t].keys == after[t].keys && before[t].values && after[t].values)
            keys_compare(&before[t], &after[t], differences);
    compare_layer_lists(old, now, differences);
}

Status model_check_names(const Model *model, const StringList *names, const char *list) {
    KeyTable tables[MODEL_TABLES];
    model_config_tables(&model->config, tables);
    for (int64_t i = 0; i < names->count; i++) {
        const char *name = names->item[i];
        const bool hybrid = strncmp(name, "attn.", 5) == 0;
        const KeyTable *of = hybrid ? &tables[2] : tables;
        if (keys_find(of, hybrid ? 1 : 2, hybrid ? name + 5 : name) || strcmp(name, "attn.layers") == 0) continue;
        const char *nearest = keys_nearest(of, hybrid ? 1 : 2, hybrid ? name + 5 : name);
        if (log_rank() == 0)
            log_error("%s: the model has no key %s%s%s%s%s", list, name, nearest ? "; did you mean " : "",
                      nearest && hybrid ? "attn." : "", nearest ? nearest : "", nearest ? "?" : "");
        return BAD_INPUT;
    }
    return OK;
}
