/* The language model: embeddings, blocks of (mixer, MLP) with pre-norms, final norm, head. This header is the
 * interface to everything outside of the mixers.
 *
 *   x = E[tokens]                                                            (some models have a norm after it)
 *   for each layer:  x = x + Mixer(norm(x));  x = x + Mlp(norm(x))           (some models have no MLP)
 *   logits = norm(x) W_lm^T                                                  (some models have a bias)
 *
 * The model defines its parameters by name and shape, in units (core/parameter.h): unit 0 is the root (embeddings,
 * final norm, head), unit 1 + i is layer i. It owns no parameter memory: the code that shards or loads the units sets
 * the tensors' data. N is the number of tokens of a batch, and the tape owns the tensors that a forward function
 * returns. */
#ifndef FLAME_MODELS_MODEL_H
#define FLAME_MODELS_MODEL_H

#include "base/check.h"
#include "core/parameter.h"
#include "models/mixer.h"
#include "models/model_config.h"

/* A norm's weight and bias, each NULL if the norm has none. */
typedef struct Norm {
    Tensor *weight, *bias;
} Norm;

struct Layer {
    const Mixer *mixer;
    const void *config; /* the mixer's config struct, which the ModelConfig owns */
    const ModelConfig *model;
    const ModelLayout *layout;
    int64_t index; /* position among the model's layers, from 0 */
    bool first;    /* no earlier layer has this mixer */
    Unit *unit, *root;
    Norm first_norm, mixer_norm, mlp_norm;
    Tensor *weight[LAYER_WEIGHTS],
        *mlp[MLP_WEIGHTS]; /* of the mixer and of the MLP, indexed by the enums of their files */
    const char *part;      /* the part whose parameters are being added, "attn" or "mlp" */
    Tensor **part_weight;  /* the array that they are stored in, weight or mlp */
};

typedef struct Model Model;

/* What models that are not language models have before the first block and after the last one. */
typedef struct ModelEnds {
    int64_t features; /* the input of a token is a vector f of this many numbers, and x = W f + b; 0: the input is a
                         token, and x its embedding */
    bool head_bias;
    bool fixed_embeddings; /* the embeddings keep their initial values, N(0, 1 / hidden_size) */
    bool bidirectional;    /* a block's mixer runs over each document and over its reverse, and the results are added */
    bool regression;       /* the head gives one number, and the loss is its squared error; vocab_size is 1 */
    /* Adds the parameters of read_in and read_out to the root unit, with model_parameter. NULL: there are none. */
    void (*parameters)(Model *model);
    /* Applied before the first block: [N, hidden_size] -> [N, hidden_size]. NULL: nothing. */
    Tensor *(*read_in)(const Model *model, Tape *tape, Tensor *x);
    /* Applied before the final norm: [N, hidden_size] -> [N, hidden_size]. NULL: nothing. */
    Tensor *(*read_out)(const Model *model, Tape *tape, Tensor *x);
} ModelEnds;

enum { ENDS_WEIGHTS = 8 };

struct Model {
    ModelConfig config;
    int units;
    Unit *unit;
    int64_t layers;
    Layer *layer;
    Norm norm;
    Tensor *embeddings, *lm_head; /* [vocab_size, hidden_size]; one tensor if the weights are tied */
    Tensor *head_bias;            /* [1, vocab_size]; NULL: the logits have no bias */
    ModelEnds ends;
    Tensor *features_bias, *ends_weight[ENDS_WEIGHTS]; /* with ends.features, `embeddings` is W [hidden_size, features]
                                                          and features_bias b */
};

/* Builds a model from the keys of a Hugging Face config.json (model_config_read). The caller owns *model. If
 * the keys are invalid, logs one error and returns BAD_INPUT. */
Status model_create(const ConfigValue *source, Model **model);
/* The same for a model with other ends, which configuration files cannot describe. */
Status model_create_with(const ConfigValue *source, ModelEnds ends, Model **model);
/* The same, with the keys read from a config.json or a YAML file. */
Status model_from_file(const char *path, Model **model);
void model_destroy(Model *model);

/* Adds a parameter "<name>" of the ends to the root unit, and stores it in ends_weight[index]. */
void model_parameter(Model *model, int index, const char *name, int dims, const int64_t shape[], Init init);

/* The input of the first layer [N, hidden_size]: the embeddings of the batch's tokens or, with ends.features, the
 * projection of `features` [N, ends.features], which is NULL otherwise. */
Tensor *model_embed(const Model *model, Tape *tape, Tensor *features);
/* Runs layer `index`: [N, hidden_size] -> [N, hidden_size]. */
Tensor *model_layer(const Model *model, int64_t index, Tape *tape, Tensor *x);
/* Applies ends.read_out, if there is one, and the final norm: [N, hidden_size] -> [N, hidden_size]. */
Tensor *model_norm(const Model *model, Tape *tape, Tensor *x);

/* The `pull` of linear_cross_entropy's LossShape: 1e-4 with use_l2warp, else 0. */
float model_pull(const Model *model);
/* The soft cap of the logits, which become cap tanh(x / cap); 0: there is none. */
float model_logit_cap(const Model *model);

int64_t model_parameter_count(const Model *model);
/* The text of config.json / generation_config.json for this model. The caller frees it. */
char *model_config_json(const Model *model);
char *model_generation_config_json(const Model *model);

#endif
