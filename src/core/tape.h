/* The tape records the ops of a forward pass and runs their backward in reverse order. Only ops have a backward; a
 * model has none.
 *
 * Memory. A node's outputs live in one of two arenas. `keep` holds what backward needs. `scratch` holds everything
 * else: it is rewound after each block (training/runner.c), and tape_rematerialise recomputes the nodes in it before
 * the block's backward, in the same order and with bitwise equal results. activation_checkpoint.mode selects the nodes
 * in scratch: none of them, the cheap ones (`selective`: norms, gates, rotary), or all (`full`).
 *
 * Gradients. The gradient of an activation has the activation's shape, row stride and element type, and lives in
 * scratch. An op's backward overwrites the gradients of its activations; where a tensor has several uses, the tape adds
 * them up. Gradients of parameters are fp32, and an op's backward adds to them: micro-batches and tied weights
 * accumulate there. */
#ifndef FLAME_CORE_TAPE_H
#define FLAME_CORE_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/carried.h"
#include "core/device.h"
#include "base/dtype.h"
#include "core/profile.h"

/* A matrix, or columns of one: `rows` rows of `cols` elements, `stride` elements apart. Owns nothing.
 * Activations have one row per token, N = B*T rows, row b*T + t. Heads lie side by side in the columns. */
typedef struct Tensor {
    void *data;
    int64_t rows, cols, stride;
    DType type;
    bool constant;  /* an input without a gradient */
    bool parameter; /* the gradient is fp32, contiguous, owned by the parameter's unit, and added to */
    bool touched;   /* the gradient holds a value */
    bool shared; /* the gradient's memory is also another tensor's gradient, so nothing may be added to it in place */
    void *gradient;      /* NULL until backward reaches the tensor; a parameter with NULL is frozen */
    struct Tensor *base; /* this tensor is columns [column, column + cols) of base, in data and in gradient */
    int64_t column;
    bool has_views;
    int64_t history; /* how many rows of each sequence the ops so far will read again for later tokens (node_history) */
    const CarriedRows *carried; /* the rows of all earlier tokens, if an op so far remembers them (node_past) */
} Tensor;

/* The tokens of one micro-batch, in device memory, N = B*T entries each. */
typedef struct Batch {
    int64_t B, T;
    const int32_t *tokens;   /* < vocabulary size */
    const int32_t *labels;   /* the token to predict, or one of base/labels.h */
    const int32_t *segment;  /* number of the document within the sequence: equal in one document, never decreasing */
    const int32_t *position; /* index of the token within its document */
    const int32_t *by_token; /* the rows 0 .. N-1 sorted by their tokens, rows with equal tokens in ascending order;
                                read by backward only */
    int64_t past;    /* the first rows of each sequence, which come from earlier calls and whose outputs nobody needs
                        (node_past) */
    int64_t mean_of; /* for an op whose backward is not linear in its gradient: the gradient counts as that of the sum
                        of the losses over the targets, which it is (0), or as that of a mean over this many targets */
    float *added_losses; /* what ops add to each token's loss (add_loss); NULL: nobody reads it */
} Batch;

/* If a sequence is divided into blocks of `rows` rows: how many of the last blocks have an output that somebody
 * needs. */
static inline int64_t batch_blocks(const Batch *batch, int64_t rows) {
    return (batch->T + rows - 1) / rows - batch->past / rows;
}

enum {
    NODE_INPUTS = 12,
    NODE_OUTPUTS = 12,
    NODE_SAVED = 4,
    NODE_KEPT = 12,
    NODE_ATTRIBUTES = 64,
    TAPE_NODES = 128,
    PAST_BLOCK = 64,
    TAPE_TENSORS = 640
};

struct Op;
struct Tape;

/* How an op's forward uses rows of earlier calls (node_past). */
typedef enum PastForm {
    PAST_IN_FRONT,  /* it runs over the old rows and the new ones, and the tape keeps the new rows of its outputs */
    PAST_IN_BLOCKS, /* the same, but only over the blocks of PAST_BLOCK rows or fewer that have new rows (batch_blocks):
                       in earlier blocks it reads no row of the inputs in `skips` */
    PAST_READ,      /* it runs over the new rows and reads the old ones itself from node->past */
    PAST_JOINED /* the same, but the new rows are in node->past as well, behind the old ones (node_joined): for inputs
                   that are read back to the first token */
} PastForm;

typedef struct Node {
    const struct Op *op;
    struct Tape *tape;
    int inputs, outputs, saved_count;
    Tensor *in[NODE_INPUTS]; /* an entry is NULL if an optional input is left out */
    Tensor *out[NODE_OUTPUTS];
    Tensor *saved[NODE_SAVED]; /* what forward saves for backward besides its inputs and outputs */
    void *kept[NODE_KEPT];     /* workspaces of forward that backward gets too (node_workspace) */
    int kept_count, kept_taken;
    bool has_run;
    bool in_scratch;           /* `out` and `saved` are dropped after forward and recomputed for backward */
    bool gradients_in_forward; /* forward computes the gradients, and backward only passes them on */
    bool carries;              /* the last output is copied to in[state], where the next call begins */
    int state;
    PastForm past_form; /* this and the next three are the arguments of node_past */
    int64_t past_rows;
    unsigned reads, skips;
    const CarriedRows *past[NODE_INPUTS]; /* rows of earlier calls: of the inputs in `reads`, and those of node_rows */
    Tensor *remembers[NODE_INPUTS];       /* the tensor whose new rows the tape appends to `past`; NULL: none */
    _Alignas(16) unsigned char attributes[NODE_ATTRIBUTES];
} Node;

/* FLOPs and memory traffic in bytes of one run of a node. `state`: the bytes that it must keep of ONE sequence to
 * continue after the sequence's last token: fp32 states, and rows of its inputs (node_history). */
typedef struct Work {
    double flops, bytes, state;
} Work;

typedef struct Op {
    const char *name;
    bool cheap; /* so little work that `selective` recomputes it rather than keep its outputs */
    /* Reads in[i]->data, writes out[i]->data and saved[i]->data. Takes workspace from tape_workspace. */
    void (*forward)(Node *node);
    /* Reads the gradients of the outputs. Overwrites the gradients of activations and adds to those of parameters. The
     * gradient pointer of an input that needs no gradient is NULL. May read in, out and saved. */
    void (*backward)(Node *node);
    Work (*work)(const Node *node); /* of one forward; backward counts twice. Called by node_run */
} Op;

typedef enum Recompute { RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL } Recompute;

typedef struct Tape {
    const Device *device;
    Arena *keep, *scratch;
    DType type; /* of activations: F32 or BF16 */
    const Batch *batch;
    bool recording; /* false: evaluation, where everything lives in scratch */
    Recompute recompute;
    Work work;         /* sum over all forwards so far */
    Profile *profile;  /* receives the time of each op; NULL (as after tape_begin): no profiling */
    Tensor *handed_on; /* the tensor that an earlier block has handed on to all later ones; NULL (as after tape_begin):
                          none */
    Node *hands_on;    /* the node of this tape that hands on a tensor; NULL: none */
    Carried *carried;  /* what earlier calls remember of the batch's sequences; NULL (as after tape_begin): each call is
                          complete */
    int nodes, tensors;
    Node node[TAPE_NODES];
    Tensor tensor[TAPE_TENSORS];
} Tape;

/* Clears the tape and sets the device, arenas and element type of its ops. */
void tape_begin(Tape *tape, const Device *device, Arena *keep, Arena *scratch, DType type, const Batch *batch,
                bool recording, Recompute recompute);

/* An op function makes a node, then its tensors, then runs it:
 *   Node *node = tape_node(tape, &rms_norm_op, (Tensor *[]){x, weight}, 2);
 *   Tensor *y = node_output(node, x->rows, x->cols, tape->type);
 *   node_save(node, x->rows, 1, F32);
 *   *(RmsNormAttributes *)node->attributes = ...;
 *   node_run(node); */
Node *tape_node(Tape *tape, const Op *op, Tensor *const in[], int inputs);
Tensor *node_output(Node *node, int64_t rows, int64_t cols, DType type);
/* An output that is columns [column, column + cols) of `base`, which is another output of the node or one of its
 * inputs. */
Tensor *node_output_view(Node *node, Tensor *base, int64_t column, int64_t cols);
/* An output with an equal part for each sequence. If the tape carries (Tape.carried), it holds what the call before
 * left, at first 0, and the op adds to it. */
Tensor *node_output_carried(Node *node, int64_t rows, int64_t cols, DType type);
Tensor *node_save(Node *node, int64_t rows, int64_t cols, DType type);
/* For a recurrence, after its other outputs. The state before the first token is in[input], fp32 [rows, cols] with an
 * equal part for each sequence. Unless `final` is NULL, the state after the last token becomes the node's last output
 * and *final. If in[input] is NULL and the tape carries, in[input] becomes the state after the call before; at first
 * all its bytes are `nothing`. */
void node_state(Node *node, int input, int64_t rows, int64_t cols, int nothing, Tensor **final);
/* For an op that reads rows of earlier tokens in a token's document. Of the inputs in the set `reads` (1 << input | ..)
 * it needs at most the last `rows` rows before the call. `skips` is the set of its other inputs with one row per token;
 * their old rows are 0. If inputs are read back by different numbers of rows, call it once for each number. It has no
 * effect unless the tape carries. */
void node_past(Node *node, unsigned reads, unsigned skips, int64_t rows, PastForm form);
/* Call it before node_past. The old rows of in[input] are those that `made`, an output of the node, had in earlier
 * calls. */
void node_past_of(Node *node, int input, Tensor *made);
/* Room for a row of row_bytes for every token, which the op fills itself as the past of in[input]; that input is then
 * not in `reads`. NULL unless the tape carries. */
const CarriedRows *node_rows(Node *node, int input, int64_t row_bytes);
/* How many old rows of each sequence there are in this call. */
int64_t node_past_tokens(const Node *node);
/* For PAST_JOINED: in[input] with the rows of earlier calls in front. Each sequence's part may have room for more rows
 * than tape_tokens. Unless the tape carries, the result is in[input] itself. */
Tensor node_joined(const Node *node, int input);
/* Tokens of each sequence: before this call; so far, including this call; and at most, over all calls. */
int64_t tape_tokens_before(const Tape *tape);
int64_t tape_tokens(const Tape *tape);
int64_t tape_tokens_limit(const Tape *tape);
void node_run(Node *node);

/* Whether the node's batch is one token of each text that generation goes on with, from the states of earlier calls. */
bool node_is_one_token(const Node *node);

/* Device memory that is valid until the current forward or backward returns. */
void *tape_workspace(Tape *tape, int64_t bytes);

/* Workspace for values that forward computes and backward needs too. An op asks for its workspaces in the same order in
 * both. If node_keeps (activation_checkpoint.mode: none), backward gets forward's memory with the values in it;
 * otherwise it gets new memory and computes them again. */
void *node_workspace(Node *node, int64_t bytes);
bool node_keeps(const Node *node);

/* For Op.work: bytes of the last `rows` rows of x in one sequence (of all rows if it has fewer tokens), which the op
 * reads again for later tokens. Rows that an earlier op of the tape has counted are not counted again. */
double node_history(const Node *node, Tensor *x, int64_t rows);

/* For Op.backward: makes the gradient of in[input] equal to that of `from`, an output of the node with the same shape.
 * Shares the memory if possible, and otherwise copies. */
void node_share_gradient(Node *node, int input, Tensor *from);

/* Recomputes the nodes that live in scratch, in order. */
void tape_rematerialise(Tape *tape);
/* Runs the backward of all nodes in reverse order. The caller has set the gradient of the last output
 * (tape_seed_gradient). */
void tape_backward(Tape *tape);
/* Sets the gradient of `tensor` to the values at `gradient`, which have the tensor's layout. The memory stays the
 * caller's. */
void tape_seed_gradient(Tensor *tensor, void *gradient);

/* A tensor over memory that the caller owns. */
Tensor tensor_of(void *data, int64_t rows, int64_t cols, DType type);

static inline int64_t tensor_bytes(const Tensor *tensor) {
    return tensor->rows * tensor->stride * dtype_size(tensor->type);
}

#endif
