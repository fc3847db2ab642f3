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

/* The part of a block that follows the mixer. N is the number of tokens of a batch. */
typedef struct Mlp {
    const char *norm, *name; /* their names within a layer: "mlp_norm" (NULL: the norm has no weight), "mlp" */
    const char *activations; /* the values of hidden_act that the MLP accepts: "swish|silu" */
    int64_t (*width)(const ModelConfig *config); /* columns of the hidden layer */
    /* Adds the MLP's parameters with the functions layer_... below, which store them in layer->mlp[]. */
    void (*parameters)(Layer *layer);
    /* x: the output of the norm before the MLP. [N, hidden_size] -> [N, hidden_size]. The tape owns the result. */
    Tensor *(*forward)(const Layer *layer, Tape *tape, Tensor *x);
} Mlp;

/* down(silu(gate(x)) * up(x)), fla's GatedMLP, which most models have. */
extern const Mlp gated_mlp;
/* l3(l1(x) * l2(x)): the MLP of TransNormer, after a norm without a weight. */
extern const Mlp simple_glu;

/* The names of a model's parts, and the structure of its blocks. A norm whose name is NULL has no weight. */
typedef struct ModelLayout {
    const char *model, *final_norm; /* "model" (the prefix of all names except the head's), "norm" */
    const char *layers;             /* the name before a layer's number; NULL: "layers" */
    const char *mixer_norm, *mixer; /* names within a layer: "attn_norm", "attn" */
    const char *embeddings;         /* full name of the embeddings; NULL: "<model>.embeddings" */
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

/* A second name for a shared key or for a key of the mixer. config.json is written with both names, and may be read
 * with either. If a file has both, their values must be equal. */
typedef struct KeyAlias {
    const char *name, *other;
} KeyAlias;

typedef struct Mixer {
    const char *model_type, *architecture; /* in config.json: "gla", "GLAForCausalLM" */
    const Key *keys;                       /* the mixer's own config keys, with fla's defaults */
    int key_count;
    const char *model_defaults; /* YAML of shared keys whose default differs: "num_hidden_layers: 21"; may be NULL */
    const KeyAlias *aliases;    /* may be NULL */
    int alias_count;
    const char *default_attention; /* YAML of `attn` for configurations without it; layers beyond num_hidden_layers are
                                      left out; may be NULL */
    size_t config_size;            /* bytes of the struct whose fields the keys set */
    const ModelLayout *layout;     /* NULL: the layout that most of fla's models have */
    bool hands_on;                 /* the first layer passes a tensor to the later ones (hand_on in kernels/ops.h) */
    bool takes_attention;          /* the key `attn` may make some layers softmax attention (a hybrid model) */
    bool fixes_attention_base;     /* fla does not pass rope_theta to the hybrid layers: they keep the default */
    bool takes_plain_norm;         /* elementwise_affine may be false; the mixer's own norm then has no weight */
    /* Sets the fields of the config struct that follow from its keys. Sizes that do not fit together are BAD_INPUT,
     * with a log_error that names the key. Integer keys are checked against their range afterwards. May be NULL. */
    Status (*complete)(void *config, const ModelConfig *model);
    /* For a mixer whose inner width follows from other keys, as Mamba's does: that width, which intermediate_size must
     * then be. The width of an MLP then follows from hidden_ratio. NULL: intermediate_size is the MLP's width. */
    int64_t (*inner_size)(const void *config);
    /* The number of layers, for a mixer with which it follows from another key. NULL: num_hidden_layers decides. */
    int64_t (*layer_count)(const void *config);
    bool adds_loss; /* the layers add terms to the loss (add_loss in kernels/ops.h) */
    /* The soft cap of the logits, which become cap tanh(x / cap). NULL: there is none. */
    float (*logit_cap)(const void *config);
    /* Adds the mixer's parameters with the functions layer_... below. They lie in memory in the order of the calls. */
    void (*parameters)(Layer *layer);
    /* x: the output of the norm before the mixer. [N, hidden_size] -> [N, hidden_size]. The tape owns the result. */
    Tensor *(*forward)(const Layer *layer, Tape *tape, Tensor *x);
} Mixer;

/* Each function below adds an fp32 parameter to the layer's unit and stores a pointer to it. A mixer's parameter is
 * named "model.layers.I.attn.<name>" and stored in weight[index]; an MLP's is named "model.layers.I.mlp.<name>" and
 * stored in mlp[index]. A layout may have other names than model, layers, attn and mlp. The unit owns the parameter. */
/* A matrix [rows, cols] with weight decay, and initial values from N(0, initializer_range^2). */
void layer_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols);
/* A matrix [rows, cols] with weight decay, and initial values drawn by `init`. */
void layer_drawn_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, Init init);
/* The filters of a short convolution with weight decay, [channels, 1, width] in checkpoints. */
void layer_convolution(Layer *layer, int index, const char *name, int64_t channels, int64_t width);
/* A vector [n] without weight decay, whose initial values are all `value`: norm weights (1), biases (0). */
void layer_vector(Layer *layer, int index, const char *name, int64_t n, double value);
/* A vector [n] without weight decay, whose initial values are drawn by `init`. */
void layer_drawn_vector(Layer *layer, int index, const char *name, int64_t n, Init init);
/* A tensor of any shape, with weight decay if it has at least two dimensions. If `init` is an INIT_FORMULA, the caller
 * sets the `formula` of the result. */
Parameter *layer_parameter(Layer *layer, int index, const char *name, int dims, const int64_t shape[], Init init);
/* A matrix "model.<name>" [rows, cols] that all layers share, whose initial values are all `value`. It belongs to the
 * root unit, like the embeddings. */
void layer_shared_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, double value);

/* The mixer of this name, or at this position of mixers.def; NULL if there is none. */
const Mixer *mixer_find(const char *model_type);
const Mixer *mixer_at(int index);
/* The names of all mixers for messages: "gla, transformer". The text is static. */
const char *mixer_names(void);

#endif
