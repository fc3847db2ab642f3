/* The tape: records what a forward pass did, and walks it backwards. Only ops have a backward; a model has none.
 *
 * Memory. The output of a node lives in one of two arenas. `keep` holds what backward needs; `scratch` holds the rest
 * and is rewound by the driver after each block. Before its backward a block's scratch nodes are run again
 * (tape_rematerialise), in the same order, with the same bits. Which nodes those are is the one knob of activation
 * memory (activation_checkpoint.mode): none, the cheap ones (norms, gates, rotary: `selective`), or all of them
 * (`full`).
 *
 * Gradients. The gradient of a tensor has the tensor's shape, row stride and element type, and lives in scratch. An
 * op's backward always stores the gradients of its activations; where a tensor was used twice, the tape adds. Gradients
 * of parameters are fp32 and an op's backward always adds to them (micro-batches and tied weights sum there). */
#ifndef FLAME_CORE_TAPE_H
#define FLAME_CORE_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/device.h"
#include "base/dtype.h"
#include "core/profile.h"

/* A matrix, or columns of one: `rows` rows of `cols` elements, `stride` elements apart. Owns nothing.
 * Activations have one row per token, N = B*T rows, row b*T + t. Heads lie side by side in the columns. */
typedef struct Tensor {
    void *data;
    int64_t rows, cols, stride;
    DType type;
    bool parameter;      /* the gradient is fp32, contiguous, owned by the parameter's unit, and added to */
    bool touched;        /* the gradient holds a value */
    bool shared;         /* the gradient's memory is another tensor's too: do not add in place */
    void *gradient;      /* NULL until backward reaches it; of a parameter NULL means frozen */
    struct Tensor *base; /* this is columns [column, column + cols) of base, data and gradient */
    int64_t column;
    bool has_views;
} Tensor;

/* The tokens of one micro-batch, in device memory, N = B*T entries each. */
typedef struct Batch {
    int64_t B, T;
    const int32_t *tokens;   /* < vocabulary size */
    const int32_t *labels;   /* the token to predict, -100: none */
    const int32_t *segment;  /* document number within the sequence; equal number = same document, never decreasing */
    const int32_t *position; /* index of the token within its document */
} Batch;

enum { NODE_INPUTS = 12, NODE_OUTPUTS = 12, NODE_SAVED = 4, NODE_ATTRIBUTES = 64, TAPE_NODES = 64, TAPE_TENSORS = 320 };

struct Op;
struct Tape;

typedef struct Node {
    const struct Op *op;
    struct Tape *tape;
    int inputs, outputs, saved_count;
    Tensor *in[NODE_INPUTS]; /* entries may be NULL: an input left out */
    Tensor *out[NODE_OUTPUTS];
    Tensor *saved[NODE_SAVED]; /* what forward leaves for backward beside its inputs and outputs */
    bool in_scratch;           /* outputs and saved are dropped after forward and made again */
    _Alignas(16) unsigned char attributes[NODE_ATTRIBUTES];
} Node;

/* What one run of a node multiplies and moves. */
typedef struct Work {
    double flops, bytes;
} Work;

typedef struct Op {
    const char *name;
    bool cheap; /* costs little beside the matrix products: not worth memory */
    /* Reads in[i]->data, writes out[i]->data and saved[i]->data. Workspace: tape_workspace. */
    void (*forward)(Node *node);
    /* Reads the outputs' gradients; stores the activations' gradients, adds to the parameters'. An input's gradient
     * pointer is NULL where none is wanted. May read in, out and saved. */
    void (*backward)(Node *node);
    Work (*work)(const Node *node); /* of forward; backward counts twice */
} Op;

typedef enum Recompute { RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL } Recompute;

typedef struct Tape {
    const Device *device;
    Arena *keep, *scratch;
    DType type; /* of activations: F32 or BF16 */
    const Batch *batch;
    bool recording; /* false: evaluation, everything lives in scratch */
    Recompute recompute;
    Work work;        /* sum over all forwards so far */
    Profile *profile; /* where each op's time is added up; NULL (as tape_begin leaves it): nowhere */
    int nodes, tensors;
    Node node[TAPE_NODES];
    Tensor tensor[TAPE_TENSORS];
} Tape;

/* Empties the tape and sets what its ops will use. */
void tape_begin(Tape *tape, const Device *device, Arena *keep, Arena *scratch, DType type, const Batch *batch,
                bool recording, Recompute recompute);

/* For op functions, in this order: a node, its tensors, then run.
 *   Node *node = tape_node(tape, &rms_norm_op, (Tensor *[]){x, weight}, 2);
 *   Tensor *y = node_output(node, x->rows, x->cols, tape->type);
 *   node_save(node, x->rows, 1, F32);
 *   *(RmsNormAttributes *)node->attributes = ...;
 *   node_run(node); */
Node *tape_node(Tape *tape, const Op *op, Tensor *const in[], int inputs);
Tensor *node_output(Node *node, int64_t rows, int64_t cols, DType type);
/* Columns [column, column + cols) of another output of the node, or of its input, as an output of its own. */
Tensor *node_output_view(Node *node, Tensor *base, int64_t column, int64_t cols);
Tensor *node_save(Node *node, int64_t rows, int64_t cols, DType type);
void node_run(Node *node);

/* Memory of the tape's device that is valid until the running forward or backward returns. */
void *tape_workspace(Tape *tape, int64_t bytes);

/* For an op's backward: the gradient of in[input] is the gradient of `from` (an output of the node, same shape). Shares
 * the memory where it can instead of copying. */
void node_share_gradient(Node *node, int input, Tensor *from);

/* Runs the nodes that live in scratch again, in order. */
void tape_rematerialise(Tape *tape);
/* Walks the tape backwards. The caller has set the gradient of the last output (tape_seed_gradient). */
void tape_backward(Tape *tape);
/* Gives `tensor` the gradient `gradient` (the tensor's layout). */
void tape_seed_gradient(Tensor *tensor, void *gradient);

/* A tensor over memory that the caller owns. */
Tensor tensor_of(void *data, int64_t rows, int64_t cols, DType type);

static inline int64_t tensor_bytes(const Tensor *tensor) {
    return tensor->rows * tensor->stride * dtype_size(tensor->type);
}

#endif
