#include "models/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kernels/ops.h"

static void *zeroed(int64_t count, size_t size) {
    void *memory = calloc((size_t)(count > 0 ? count : 1), size);
    CHECK_MEMORY(memory, "out of memory");
    return memory;
}

static Parameter *add_parameter(Unit *unit, const char *name, int dims, const int64_t shape[], Init init) {
    CHECK(unit->parameters < UNIT_PARAMETERS, "%s has more than %d parameters", unit->name, UNIT_PARAMETERS);
    Parameter *p = &unit->parameter[unit->parameters++];
    *p = (Parameter){.dims = dims, .elements = 1, .init = init, .decay = dims > 1};
    const int length = snprintf(p->name, sizeof p->name, "%s", name);
    CHECK(length < PARAMETER_NAME, "the parameter name %s is too long", name);
    for (int i = 0; i < dims; i++) {
        CHECK(shape[i] > 0, "%s has a dimension of %lld", name, (long long)shape[i]);
        p->elements *= p->shape[i] = shape[i];
    }
    const int64_t rows = dims > 1 ? shape[0] : 1;
    p->tensor = tensor_of(NULL, rows, p->elements / rows, F32);
    p->tensor.parameter = true;
    unit_place_last(unit);
    return p;
}

/* Adds the parameter "<layer>.<part>.<name>". */
static Parameter *add_layer_parameter(Layer *layer, const char *part, const char *name, int dims, const int64_t shape[],
                                      Init init) {
    char full[PARAMETER_NAME * 2];
    snprintf(full, sizeof full, "%s.%s.%s", layer->unit->name, part, name);
    return add_parameter(layer->unit, full, dims, shape, init);
}

Parameter *layer_parameter(Layer *layer, int index, const char *name, int dims, const int64_t shape[], Init init) {
    Parameter *p = add_layer_parameter(layer, layer->part, name, dims, shape, init);
    layer->part_weight[index] = &p->tensor;
    return p;
}

static Init normal_init(const ModelConfig *config) { return (Init){INIT_NORMAL, 0, config->initializer_range}; }

void layer_drawn_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, Init init) {
    layer_parameter(layer, index, name, 2, (int64_t[]){rows, cols}, init);
}

void layer_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols) {
    layer_drawn_matrix(layer, index, name, rows, cols, normal_init(layer->model));
}

void layer_convolution(Layer *layer, int index, const char *name, int64_t channels, int64_t width) {
    layer_parameter(layer, index, name, 3, (int64_t[]){channels, 1, width}, normal_init(layer->model));
}

void layer_drawn_vector(Layer *layer, int index, const char *name, int64_t n, Init init) {
    layer_parameter(layer, index, name, 1, &n, init);
}

void layer_vector(Layer *layer, int index, const char *name, int64_t n, double value) {
    layer_drawn_vector(layer, index, name, n, (Init){INIT_CONSTANT, value, 0});
}

void layer_shared_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, double value) {
    char full[PARAMETER_NAME * 2];
    snprintf(full, sizeof full, "%s.%s", layer->layout->model, name);
    Unit *root = layer->root;
    for (int i = 0; i < root->parameters; i++)
        if (strcmp(root->parameter[i].name, full) == 0) layer->weight[index] = &root->parameter[i].tensor;
    if (layer->weight[index]) return;
    const Init constant = {INIT_CONSTANT, value, 0};
    layer->weight[index] = &add_parameter(root, full, 2, (int64_t[]){rows, cols}, constant)->tensor;
}

/* Adds the weight and bias of a norm. A norm without a name (NULL) has neither. */
static Norm add_norm(Unit *unit, const char *prefix, const char *name, const ModelConfig *config) {
    char full[PARAMETER_NAME * 2];
    if (!name) return (Norm){NULL, NULL};
    snprintf(full, sizeof full, "%s.%s.weight", prefix, name);
    const Init initial = {INIT_CONSTANT, config->layout->residual_norms ? 0 : 1, 0};
    Norm norm = {&add_parameter(unit, full, 1, &config->hidden_size, initial)->tensor, NULL};
    snprintf(full, sizeof full, "%s.%s.bias", prefix, name);
    if (config->layout->layer_norm || config->layout->norm_bias)
        norm.bias = &add_parameter(unit, full, 1, &config->hidden_size, (Init){INIT_CONSTANT, 0, 0})->tensor;
    return norm;
}

static void build_layer(Layer *layer) {
    const ModelConfig *c = layer->model;
    const ModelLayout *layout = layer->layout;
    const char *name = layer->unit->name;
    if (layout->first_norm && layer->index == 0) layer->first_norm = add_norm(layer->unit, name, layout->first_norm, c);
    layer->mixer_norm = add_norm(layer->unit, name, layout->mixer_norm, c);
    layer->part = layout->mixer;
    layer->part_weight = layer->weight;
    layer->mixer->parameters(layer);
    if (!c->mlp) return;
    layer->mlp_norm = add_norm(layer->unit, name, c->mlp->norm, c);
    layer->part = c->mlp->name;
    layer->part_weight = layer->mlp;
    c->mlp->parameters(layer);
}

static bool is_attention_layer(const Model *model, int64_t index) {
    const IntegerList layers = model->config.attention_layers;
    for (int64_t i = 0; i < layers.count; i++)
        if (layers.item[i] == index) return true;
    return false;
}

static void add_embeddings(Model *model, Unit *root) {
    const ModelConfig *c = &model->config;
    const ModelLayout *layout = c->layout;
    const int64_t table[] = {c->vocab_size, c->hidden_size};
    char name[PARAMETER_NAME];
    if (layout->embeddings)
        snprintf(name, sizeof name, "%s.weight", layout->embeddings);
    else
        snprintf(name, sizeof name, "%s.embeddings.weight", layout->model);
    Init embeddings = layout->embeddings_init ? layout->embeddings_init(c) : normal_init(c);
    if (model->ends.fixed_embeddings) embeddings = (Init){INIT_NORMAL, 0, 1 / sqrt((double)c->hidden_size)};
    Parameter *parameter = add_parameter(root, name, 2, table, embeddings);
    if (model->ends.fixed_embeddings) parameter->moving_average = 1;
    model->embeddings = &parameter->tensor;
}

/* Adds the projection of the features. Initial values as in PyTorch's Linear: uniform within 1 / sqrt(inputs). */
static void add_features(Model *model, Unit *root) {
    const int64_t shape[] = {model->config.hidden_size, model->ends.features};
    const double range = 1 / sqrt((double)model->ends.features);
    const Init uniform = {INIT_UNIFORM, -range, range};
    model->embeddings = &add_parameter(root, "features.weight", 2, shape, uniform)->tensor;
    model->features_bias = &add_parameter(root, "features.bias", 1, shape, uniform)->tensor;
}

static void build_root(Model *model, Unit *root) {
    const ModelConfig *c = &model->config;
    const ModelLayout *layout = c->layout;
    const int64_t table[] = {c->vocab_size, c->hidden_size};
    const Init head = layout->head_init ? layout->head_init(c) : normal_init(c);
    if (model->ends.features)
        add_features(model, root);
    else
        add_embeddings(model, root);
    if (model->ends.parameters) model->ends.parameters(model);
    model->norm = add_norm(root, layout->model, layout->final_norm, c);
    const bool tied = c->tie_word_embeddings && !model->ends.features;
    model->lm_head = tied ? model->embeddings : &add_parameter(root, "lm_head.weight", 2, table, head)->tensor;
    if (layout->head_bias || model->ends.head_bias)
        model->head_bias = &add_parameter(root, "lm_head.bias", 1, table, (Init){INIT_CONSTANT, 0, 0})->tensor;
}

static void build_parameters(Model *model) {
    const ModelConfig *c = &model->config;
    model->layers = c->num_hidden_layers;
    model->units = (int)model->layers + 1;
    model->unit = zeroed(model->units, sizeof *model->unit);
    model->layer = zeroed(model->layers, sizeof *model->layer);
    Unit *root = &model->unit[0];
    snprintf(root->name, sizeof root->name, "root");
    build_root(model, root);
    for (int64_t i = 0; i < model->layers; i++) {
        Layer *layer = &model->layer[i];
        const bool attention = is_attention_layer(model, i);
        layer->mixer = attention ? mixer_find("transformer") : c->mixer;
        layer->config = attention ? c->attention_config : c->mixer_config;
        layer->model = c;
        layer->layout = model->config.layout;
        layer->index = i;
        layer->first = true;
        for (int64_t j = 0; j < i; j++) layer->first &= model->layer[j].mixer != layer->mixer;
        layer->unit = &model->unit[i + 1];
        layer->root = root;
        snprintf(layer->unit->name, sizeof layer->unit->name, "%s.%s.%lld", layer->layout->model,
                 layer->layout->layers ? layer->layout->layers : "layers", (long long)i);
        build_layer(layer);
    }
}

void model_parameter(Model *model, int index, const char *name, int dims, const int64_t shape[], Init init) {
    model->ends_weight[index] = &add_parameter(&model->unit[0], name, dims, shape, init)->tensor;
}

Status model_create(const ConfigValue *source, Model **model) {
    return model_create_with(source, (ModelEnds){0}, model);
}

Status model_create_with(const ConfigValue *source, ModelEnds ends, Model **result) {
    Model *model = zeroed(1, sizeof *model);
    model->ends = ends;
    const Status status = model_config_read(source, &model->config);
    if (status != OK) {
        model_destroy(model);
        return status;
    }
    build_parameters(model);
    *result = model;
    return OK;
}

Status model_from_file(const char *path, Model **model) {
    ConfigValue *source = NULL;
    Status status = config_value_read(path, &source);
    if (status != OK) return status;
    status = model_create(source, model);
    config_value_free(source);
    return status;
}

void model_destroy(Model *model) {
    if (!model) return;
    model_config_free(&model->config);
    free(model->unit);
    free(model->layer);
    free(model);
}

Tensor *model_embed(const Model *model, Tape *tape, Tensor *features) {
    const ModelConfig *c = &model->config;
    const int64_t padding = c->layout->trains_padding ? -1 : c->pad_token_id;
    Tensor *x = model->ends.features ? bias(tape, linear(tape, features, model->embeddings), model->features_bias)
                                     : embedding(tape, model->embeddings, padding);
    return model->ends.read_in ? model->ends.read_in(model, tape, x) : x;
}

/* The norm of x or, with a residual (not NULL), of x + residual, which is stored in *sum; see rms_norm. */
static Tensor *normed(const Model *model, Tape *tape, Tensor *x, Tensor *residual, Norm norm, Tensor **sum) {
    const float eps = (float)model->config.norm_eps;
    const bool residual_weight = model->config.layout->residual_norms;
    if (!norm.weight || residual_weight) {
        if (residual) *sum = x = add(tape, x, residual);
        return residual_weight ? layer_norm_unbiased(tape, x, norm.weight, 1, x->cols, eps)
                               : rms_norm_plain(tape, x, x->cols, eps);
    }
    if (model->config.layout->layer_norm)
        return layer_norm(tape, x, residual, norm.weight, norm.bias, x->cols, eps, sum);
    x = rms_norm(tape, x, residual, norm.weight, eps, sum);
    return norm.bias ? bias(tape, x, norm.bias) : x;
}

static Tensor *mix(const Model *model, const Layer *layer, Tape *tape, Tensor *x) {
    Tensor *y = layer->mixer->forward(layer, tape, x);
    if (!model->ends.bidirectional) return y;
    return add(tape, y, reverse(tape, layer->mixer->forward(layer, tape, reverse(tape, x))));
}

Tensor *model_layer(const Model *model, int64_t index, Tape *tape, Tensor *x) {
    const Layer *layer = &model->layer[index];
    const Mlp *mlp = layer->model->mlp;
    Tensor *residual;
    const double factor =
        index == 0 && layer->layout->embeddings_scale ? layer->layout->embeddings_scale(layer->model) : 1;
    if (factor != 1) x = scale(tape, x, (float)factor);
    if (layer->first_norm.weight) x = normed(model, tape, x, NULL, layer->first_norm, NULL);
    Tensor *a = normed(model, tape, x, NULL, layer->mixer_norm, NULL);
    a = mix(model, layer, tape, a);
    if (!mlp) return add(tape, x, a);
    a = normed(model, tape, a, x, layer->mlp_norm, &residual);
    return add(tape, residual, mlp->forward(layer, tape, a));
}

Tensor *model_norm(const Model *model, Tape *tape, Tensor *x) {
    if (model->ends.read_out) x = model->ends.read_out(model, tape, x);
    return normed(model, tape, x, NULL, model->norm, NULL);
}

float model_pull(const Model *model) { return model->config.use_l2warp ? 1e-4f : 0; }

float model_logit_cap(const Model *model) {
    const ModelConfig *c = &model->config;
    return c->mixer->logit_cap ? c->mixer->logit_cap(c->mixer_config) : 0;
}

int64_t model_parameter_count(const Model *model) {
    int64_t count = 0;
    for (int u = 0; u < model->units; u++)
        for (int i = 0; i < model->unit[u].parameters; i++) count += model->unit[u].parameter[i].elements;
    return count;
}

/* Sets rescale_prenorm_residual to false, where the mixer has the key. With true, transformers 5 would rescale out_proj
 * after loading it, but the exported weights are final. */
static void keep_out_proj(ConfigValue *config) {
    static const char key[] = "rescale_prenorm_residual";
    if (config_value_get(config, key)) config_value_set(config, key, config_value_new(VALUE_BOOL, NULL, 0));
}

char *model_config_json(const Model *model) {
    ConfigValue *config = model_config_value(&model->config);
    keep_out_proj(config);
    ConfigValue *architectures = config_value_new(VALUE_LIST, NULL, 0);
    config_value_append(architectures, config_value_string(model->config.mixer->architecture, NULL, 0));
    config_value_set(config, "architectures", architectures);
    config_value_set(config, "dtype", config_value_string("float32", NULL, 0));
    config_value_set(config, "torch_dtype", config_value_string("float32", NULL, 0));
    char *text = config_value_json(config);
    config_value_free(config);
    return text;
}

char *model_generation_config_json(const Model *model) {
    static const char *const tokens[] = {"bos_token_id", "eos_token_id"};
    ConfigValue *all = model_config_value(&model->config), *config = config_value_new(VALUE_MAPPING, NULL, 0);
    ConfigValue *from_model = config_value_new(VALUE_BOOL, NULL, 0);
    from_model->boolean = true;
    config_value_set(config, "_from_model_config", from_model);
    for (int i = 0; i < LENGTH(tokens); i++) {
        const ConfigValue *token = config_value_get(all, tokens[i]);
        if (token->type != VALUE_NULL) config_value_set(config, tokens[i], config_value_copy(token));
    }
    char *text = config_value_json(config);
    config_value_free(config);
    config_value_free(all);
    return text;
}
