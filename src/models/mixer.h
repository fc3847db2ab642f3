/* A sequence mixer: the part of a block that mixes tokens over time. A mixer is one file in mixers/ and one line in
 * mixers.def; no other code depends on it. docs/adding-a-mixer.md shows how to add one. */
#ifndef FLAME_MODELS_MIXER_H
#define FLAME_MODELS_MIXER_H

#include <stddef.h>

#include "base/check.h"
#include "config/keys.h"
#include "core/parameter.h"
#include "core/tape.h"

enum { LAYER_WEIGHTS = 32, MLP_WEIGHTS = 8 };

typedef struct ModelConfig ModelConfig;
typedef struct Layer Layer;

/* The part of a block that follows the mixer. */
typedef struct Mlp {
    const char *norm, *name; /* "mlp_norm" (NULL: the norm has no weight), "mlp" */
    const char *activations; /* the values of hidden_act that it accepts: "swish|silu" */
    int64_t (*width)(const ModelConfig *config);
    /* Adds the layer's parameters with the functions layer_... below, as layer->mlp[index]. */
    void (*parameters)(Layer *layer);
    /* x: the output of the norm before it. [N, hidden_size] -> [N, hidden_size]. */
    Tensor *(*forward)(const Layer *layer, Tape *tape, Tensor *x);
} Mlp;

/* down(silu(gate(x)) * up(x)), fla's GatedMLP, which most models have. */
extern const Mlp gated_mlp;
/* l3(l1(x) * l2(x)): the MLP of TransNormer, after a norm without a weight. */
extern const Mlp simple_glu;

/* The names of a model's parts, and the form of its blocks. A norm whose name is NULL has no weight. */
typedef struct ModelLayout {
    const char *model, *final_norm; /* "model" (the prefix of all names except the head's), "norm" */
    const char *layers;             /* prefix of a layer's number; NULL: "layers" */
    const char *mixer_norm, *mixer; /* within a layer: "attn_norm", "attn" */
    const char *embeddings;         /* their full name; NULL: "<model>.embeddings" */
    const char *first_norm;         /* the norm after the embeddings, a part of layer 0: "pre_norm"; NULL: none */
    const Mlp *mlp;                 /* NULL: the mixer is the whole block */
    bool layer_norm;                /* norms subtract the mean and have a bias; otherwise they are RMS norms */
    bool residual_norms;            /* norms subtract the mean and multiply by 1 + weight, without a bias */
    bool norm_bias;                 /* RMS norms have a bias too */
    bool head_bias;                 /* logits have a bias, "lm_head.bias" */
    bool trains_padding;            /* the embedding row of pad_token_id gets a gradient like any other row */
    double (*embeddings_scale)(const ModelConfig *config); /* factor on the embeddings; NULL: 1 */
    Init (*embeddings_init)(const ModelConfig *config), (*head_init)(const ModelConfig *config); /* NULL: normal */
} ModelLayout;

/* A second name for a shared key or for one of the mixer's. config.json is written with both names. Either is read; if
 * both are given, they must have the same value. */
typedef struct KeyAlias {
    const char *name, *other;
} KeyAlias;

typedef struct Mixer {
    const char *model_type, *architecture; /* in config.json: "gla", "GLAForCausalLM" */
    const Key *keys;                       /* its own config keys, with fla's defaults */
    int key_count;
    const char *model_defaults; /* YAML of shared keys with another default: "num_hidden_layers: 21"; may be NULL */
    const KeyAlias *aliases;    /* may be NULL */
    int alias_count;
    const char *default_attention; /* YAML of `attn` where the configuration has none; layers that the model lacks are
                                      left out */
    size_t config_size;            /* size of the struct that the keys fill */
    const ModelLayout *layout;     /* NULL: the layout of most of fla's models */
    bool hands_on;                 /* its first layer hands a tensor to the later ones (hand_on in kernels/ops.h) */
    bool takes_attention;          /* the hybrid key `attn` may replace some layers by softmax attention */
    bool fixes_attention_base;     /* fla passes no rope_theta to this model's hybrid layers: they keep the default */
    bool takes_plain_norm;         /* elementwise_affine may be false: the mixer's own norm then has no weight */
    /* Derives fields from the keys, and refuses sizes that do not fit together with an error that names the key. If it
     * sets an integer key, the value is checked against the key's range afterwards. May be NULL. */
    Status (*complete)(void *config, const ModelConfig *model);
    /* The value of intermediate_size for a mixer that derives it from other keys, as Mamba does; the width of an MLP
     * then follows from hidden_ratio alone. NULL: intermediate_size is the MLP's width. */
    int64_t (*inner_size)(const void *config);
    /* The value of num_hidden_layers for a mixer that derives it from another key. NULL: it is an ordinary key. */
    int64_t (*layer_count)(const void *config);
    bool adds_loss; /* its layers add terms to the loss (add_loss) */
    /* The cap of the logits, which are cap tanh(x / cap). NULL: there is none. */
    float (*logit_cap)(const void *config);
    /* Adds the layer's parameters, in memory order, with the functions layer_... below. */
    void (*parameters)(Layer *layer);
    /* x: the output of the norm before the mixer. [N, hidden_size] -> [N, hidden_size]. */
    Tensor *(*forward)(const Layer *layer, Tape *tape, Tensor *x);
} Mixer;

/* Each function below adds a parameter to the layer's unit: for a mixer "model.layers.I.attn.<name>", stored as
 * weight[index], for an MLP "model.layers.I.mlp.<name>", stored as mlp[index]. A layout may have other names. */
/* A matrix [rows, cols] with weight decay, and initial values from N(0, initializer_range^2). */
void layer_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols);
/* A matrix with initial values drawn by `init`. */
void layer_drawn_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, Init init);
/* The filters of a short convolution, [channels, 1, width] in checkpoints. */
void layer_convolution(Layer *layer, int index, const char *name, int64_t channels, int64_t width);
/* A vector [n] without weight decay, whose initial values are all `value`: norm weights (1), biases (0). */
void layer_vector(Layer *layer, int index, const char *name, int64_t n, double value);
/* A vector [n] without weight decay, and with initial values drawn by `init`. */
void layer_drawn_vector(Layer *layer, int index, const char *name, int64_t n, Init init);
/* A tensor of any shape, whose initial values may also be an INIT_FORMULA: the caller sets the result's `formula`. */
Parameter *layer_parameter(Layer *layer, int index, const char *name, int dims, const int64_t shape[], Init init);
/* A matrix "model.<name>" [rows, cols] that all layers share, whose initial values are all `value`. It belongs to the
 * root unit, like the embeddings. */
void layer_shared_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, double value);

/* The mixer of this name, or at this position of mixers.def; NULL if there is none. */
const Mixer *mixer_find(const char *model_type);
const Mixer *mixer_at(int index);
/* All names for messages: "gla, transformer". */
const char *mixer_names(void);

#endif
