/* A sequence mixer: what stands between the two norms of a block and mixes tokens over time. One file in mixers/, one
 * line in mixers.def; nothing else in the program knows its name. docs/adding-a-mixer.md walks through it. */
#ifndef FLAME_MODELS_MIXER_H
#define FLAME_MODELS_MIXER_H

#include <stddef.h>

#include "base/check.h"
#include "config/keys.h"
#include "core/parameter.h"
#include "core/tape.h"

enum { LAYER_WEIGHTS = 32 };

typedef struct ModelConfig ModelConfig;
typedef struct Layer Layer;

/* How a model names its parts and what its blocks are. */
typedef struct ModelLayout {
    const char *model, *final_norm; /* "model" (before all names but the head's), "norm" */
    const char *mixer_norm, *mixer; /* of a layer: "attn_norm", "attn" */
    bool mlp;                       /* a norm and an MLP follow the mixer */
    bool trains_padding;            /* the embedding row of pad_token_id has a gradient like the others */
} ModelLayout;

typedef struct Mixer {
    const char *model_type, *architecture; /* of config.json: "gla", "GLAForCausalLM" */
    const Key *keys;                       /* its own config keys, with fla's defaults */
    int key_count;
    const char *model_defaults; /* shared keys with another default here, in YAML; may be NULL */
    size_t config_size;         /* of the struct that the keys fill */
    const ModelLayout *layout;  /* NULL: that of most of fla's models */
    bool takes_attention;       /* the hybrid key `attn` may replace some layers by softmax attention */
    /* Derives what the keys imply, and refuses sizes that do not fit together with an error that names the key. NULL if
     * there is nothing to derive. */
    Status (*complete)(void *config, const ModelConfig *model);
    /* Adds this layer's parameters in memory order, with layer_matrix and its kin. */
    void (*parameters)(Layer *layer);
    /* x [N, hidden_size], normed -> [N, hidden_size]. */
    Tensor *(*forward)(const Layer *layer, Tape *tape, Tensor *x);
} Mixer;

/* Adds a parameter "model.layers.I.attn.<name>" (by the layout) to the layer's unit and remembers it as weight[index].
 * A matrix [rows, cols] starts N(0, initializer_range^2) and decays. */
void layer_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols);
/* A matrix that starts as drawn by `init`. */
void layer_drawn_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, Init init);
/* A short convolution's filters, [channels, 1, width] in the file. */
void layer_convolution(Layer *layer, int index, const char *name, int64_t channels, int64_t width);
/* A vector [n] that starts at `value` and does not decay: norm weights (1), biases (0). */
void layer_vector(Layer *layer, int index, const char *name, int64_t n, double value);
/* A vector [n] that starts as drawn by `init` and does not decay. */
void layer_drawn_vector(Layer *layer, int index, const char *name, int64_t n, Init init);
/* A matrix "model.<name>" [rows, cols] that starts at `value` and is one for all layers: it lives with the embeddings
 * in the root. */
void layer_shared_matrix(Layer *layer, int index, const char *name, int64_t rows, int64_t cols, double value);

/* All mixers, by mixers.def. NULL if there is none of that name or number. */
const Mixer *mixer_find(const char *model_type);
const Mixer *mixer_at(int index);
/* "gla, transformer": for messages. */
const char *mixer_names(void);

#endif
