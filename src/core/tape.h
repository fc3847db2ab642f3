/* The tape records the ops of a forward pass and runs their backward in reverse order. Only ops have a backward; a
 * model has none.
 *
 * Memory. A node's outputs live in one of two arenas. `keep` holds what backward needs. `scratch` holds everything
 * else; the driver rewinds it after each block, and tape_rematerialise recomputes its nodes before the block's
 * backward, in the same order and to the same bits. activation_checkpoint.mode selects the nodes in scratch: none of
 * them, the cheap ones (`selective`: norms, gates, rotary), or all (`full`).
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
    bool constant;       /* an input without a gradient */
    bool parameter;      /* the gradient is fp32, contiguous, owned by the parameter's unit, and added to */
    bool touched;        /* the gradient holds a value */
    bool shared;         /* the gradient's memory is also another tensor's gradient: never add in place */
    void *gradient;      /* NULL until backward reaches it; of a parameter NULL means frozen */
    struct Tensor *base; /* this is columns [column, column + cols) of base, data and gradient */
    int64_t column;
    bool has_views;
    int64_t history;            /* rows of each sequence that ops so far read again for later tokens (node_history) */
    const CarriedRows *carried; /* its rows of all earlier tokens, if an op so far remembers them (node_past) */
} Tensor;

/* The tokens of one micro-batch, in device memory, N = B*T entries each. */
typedef struct Batch {
    int64_t B, T;
    const int32_t *tokens;   /* < vocabulary size */
    const int32_t *labels;   /* the token to predict, -100: none */
    const int32_t *segment;  /* document number within the sequence; equal number = same document, never decreasing */
    const int32_t *position; /* index of the token within its document */
    const int32_t *by_token; /* the rows 0 .. N-1 in the order of their tokens, rows of equal tokens in order; only
                                backward reads it */
    int64_t past;            /* rows of each sequence, before all others, whose outputs nobody needs (node_past) */
    int64_t mean_of;         /* An op whose backward is not linear in its gradient takes this to be that of the sum
                                over the targets, as it is (0), or what it were of a mean over so many of them. */
    float *added_losses;     /* of each token, what ops add to its loss (add_loss); NULL: nobody asks */
} Batch;

/* Of a sequence's rows in blocks of `rows`, the last blocks: those that have an output which somebody needs. */
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

/* What an op's forward makes of rows that earlier calls left (node_past). */
typedef enum PastForm {
    PAST_IN_FRONT,  /* it runs over the old rows and the new ones; the new rows of its outputs are given */
    PAST_IN_BLOCKS, /* the same, but only over the blocks of PAST_BLOCK rows or less that have new ones: further back it
                       looks at no row of an input that it skips */
    PAST_READ,      /* it runs over the new rows and reads the old ones itself, node->past */
    PAST_JOINED /* the same, and finds the new rows there, too, behind the old ones (node_joined): for inputs that are
                   read back to the first token */
} PastForm;

typedef struct Node {
    const struct Op *op;
    struct Tape *tape;
    int inputs, outputs, saved_count;
    Tensor *in[NODE_INPUTS]; /* entries may be NULL: an input left out */
    Tensor *out[NODE_OUTPUTS];
    Tensor *saved[NODE_SAVED]; /* what forward saves for backward besides its inputs and outputs */
    void *kept[NODE_KEPT];     /* node_workspace of forward, which backward gets too */
    int kept_count, kept_taken;
    bool has_run;
    bool in_scratch;           /* outputs and saved are dropped after forward and recomputed for backward */
    bool gradients_in_forward; /* backward only hands over what forward computed */
    bool carries;              /* the last output is stored in the input `state`, which the next call begins with */
    int state;
    PastForm past_form; /* this and the next three as node_past has them */
    int64_t past_rows;
    unsigned reads, skips;
    const CarriedRows *past[NODE_INPUTS]; /* of those in `reads`, and of node_rows */
    Tensor *remembers[NODE_INPUTS];       /* whose new rows the tape puts behind these; NULL: nobody's */
    _Alignas(16) unsigned char attributes[NODE_ATTRIBUTES];
} Node;

/* FLOPs and bytes of memory traffic of one run of a node, and the bytes that it must keep of ONE sequence to go on
 * after the sequence's last token: fp32 states, and rows of its inputs (node_history). */
typedef struct Work {
    double flops, bytes, state;
} Work;

typedef struct Op {
    const char *name;
    bool cheap; /* so little work that `selective` recomputes it rather than keep its outputs */
    /* Reads in[i]->data, writes out[i]->data and saved[i]->data. Workspace: tape_workspace. */
    void (*forward)(Node *node);
    /* Reads the outputs' gradients; stores the activations' gradients, adds to the parameters'. An input's gradient
     * pointer is NULL where none is wanted. May read in, out and saved. */
    void (*backward)(Node *node);
    Work (*work)(const Node *node); /* of forward; backward counts twice. node_run calls it, once */
} Op;

typedef enum Recompute { RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL } Recompute;

typedef struct Tape {
    const Device *device;
    Arena *keep, *scratch;
    DType type; /* of activations: F32 or BF16 */
    const Batch *batch;
    bool recording; /* false: evaluation, everything lives in scratch */
    Recompute recompute;
    Work work;         /* sum over all forwards so far */
    Profile *profile;  /* accumulates the time of each op; NULL (set by tape_begin): no profiling */
    Tensor *handed_on; /* what an earlier block has handed on to all later ones; NULL (set by tape_begin): nothing */
    Node *hands_on;    /* the node of this tape that does so; NULL: none */
    Carried *carried;  /* what earlier calls left of the batch's sequences; NULL (set by tape_begin): nothing */
    int nodes, tensors;
    Node node[TAPE_NODES];
    Tensor tensor[TAPE_TENSORS];
} Tape;

/* Clears the tape and sets the device, arenas and element type of its ops. */
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
/* An output that has equal parts for each sequence and, where the tape carries, is what the last call left, at first 0:
 * the op adds to it. */
Tensor *node_output_carried(Node *node, int64_t rows, int64_t cols, DType type);
Tensor *node_save(Node *node, int64_t rows, int64_t cols, DType type);
/* For a recurrence, after its other outputs: its state before the first token is in[input], fp32 [rows, cols] with
 * equal parts for each sequence. Adds the state after the last token as an output, if `final` asks for it. Where
 * in[input] is NULL and the tape carries, the state is that of the call before; at first all its bytes are `nothing`.
 */
void node_state(Node *node, int input, int64_t rows, int64_t cols, int nothing, Tensor **final);
/* For an op that reads rows of earlier tokens of a token's document: of the inputs in the set `reads` (1 << input | ..)
 * at most the last `rows` before the call. `skips` are its other inputs with one row per token, whose old rows are 0.
 * Where inputs are read back differently far, it is called for each. It matters where the tape carries. */
void node_past(Node *node, unsigned reads, unsigned skips, int64_t rows, PastForm form);
/* Before node_past: the old rows of in[input] are those of `made`, an output of the node, in earlier calls. */
void node_past_of(Node *node, int input, Tensor *made);
/* Room for rows of all tokens, of row_bytes each, that the op itself keeps as the past of in[input], which is then not
 * in `reads`. NULL where the tape does not carry. */
const CarriedRows *node_rows(Node *node, int input, int64_t row_bytes);
/* How many old rows of each sequence there are in this call. */
int64_t node_past_tokens(const Node *node);
/* For PAST_JOINED: in[input] with the rows of earlier calls in front. The parts of the sequences may have room for more
 * rows than tape_tokens. Where the tape does not carry, it is in[input]. */
Tensor node_joined(const Node *node, int input);
/* Tokens of each sequence: before this call, so far (those of this call included), and of all calls at most. */
int64_t tape_tokens_before(const Tape *tape);
int64_t tape_tokens(const Tape *tape);
int64_t tape_tokens_limit(const Tape *tape);
void node_run(Node *node);

/* Device memory that is valid until the current forward or backward returns. */
void *tape_workspace(Tape *tape, int64_t bytes);

/* Workspace for what forward makes and backward needs as well. An op asks for it in the same order in both. If
 * node_keeps (activation_checkpoint.mode: none), backward gets forward's memory and finds there what forward made; else
 * it makes it again. */
void *node_workspace(Node *node, int64_t bytes);
bool node_keeps(const Node *node);

/* For an op's work: bytes of the last `rows` rows of x in one sequence (all, if it has fewer tokens), which the op
 * reads again for later tokens. Rows that an earlier op of the tape has counted are not counted again. */
double node_history(const Node *node, Tensor *x, int64_t rows);

/* For an op's backward: the gradient of in[input] is that of `from`, an output of the node with the same shape. Shares
 * the memory where possible, else copies. */
void node_share_gradient(Node *node, int input, Tensor *from);

/* Recomputes the nodes that live in scratch, in order. */
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
