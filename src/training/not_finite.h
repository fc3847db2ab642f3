/* Finds where a forward pass first gives a value that is not finite. */
#ifndef FLAME_TRAINING_NOT_FINITE_H
#define FLAME_TRAINING_NOT_FINITE_H

#include "training/runner.h"

enum { NOT_FINITE_NOWHERE = INT32_MAX };

typedef struct NotFinite {
    int64_t layer; /* -1: the embeddings; the number of layers: the head; NOT_FINITE_NOWHERE: there is none */
    int64_t row;   /* the token, b * T + t */
    char op[32];   /* "": not known, because the outputs of the layer's ops have not been kept */
} NotFinite;

/* Searches the last micro-batch of training on this rank. */
NotFinite not_finite_find(const Runner *runner, int64_t layers);

#endif
