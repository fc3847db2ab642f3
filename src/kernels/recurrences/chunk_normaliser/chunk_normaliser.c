#include "kernels/recurrences/chunk_normaliser/chunk_normaliser.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/recurrences/recurrent_step/recurrent_step.h"
#include "tile/rows.h"

enum { Q, KEY, GATE, SCALE, INITIAL, INPUTS }; /* inputs; those from GATE on may be NULL */

typedef struct ChunkNormaliserAttributes {
    int64_t heads;
    float scale;
} ChunkNormaliserAttributes;

static ChunkNormaliserArguments arguments_of(Node *node) {
    const ChunkNormaliserAttributes *attributes = (const ChunkNormaliserAttributes *)node->attributes;
    const Tensor *q = node->in[Q], *g = node->in[GATE], *s = node->in[SCALE], *initial = node->in[INITIAL];
    const Tensor *z = node->out[0], *final = node->outputs > 1 ? node->out[1] : NULL;
    const Batch *batch = node->tape->batch;
    ChunkNormaliserArguments arguments = {.q = heads_of(q),
                                          .k = heads_of(node->in[KEY]),
                                          .g = g ? g->data : NULL,
                                          .s = s ? s->data : NULL,
                                          .segment = batch->segment,
                                          .initial = initial ? initial->data : NULL,
                                          .z = z->data,
                                          .final = final ? final->data : NULL,
                                          .T = batch->T,
                                          .chunks = blocks_of(batch->T, CHUNK_ROWS),
                                          .heads = attributes->heads,
                                          .K = q->cols / attributes->heads,
                                          .g_stride = g ? g->stride : 0,
                                          .s_stride = s ? s->stride : 0,
                                          .z_stride = z->stride,
                                          .initial_stride = initial ? initial->stride : 0,
                                          .has_initial = initial != NULL,
                                          .scale = attributes->scale};
    const int64_t chunks = batch->B * arguments.chunks;
    arguments.sums = node_workspace(node, chunks * q->cols * dtype_size(F32));
    arguments.decays = node_workspace(node, chunks * arguments.heads * dtype_size(F32));
    return arguments;
}

/* Computes the sums over the rows of each chunk (totals), then those over the chunks (carry). */
static void launch_sums(const Node *node, Kernel totals, Kernel carry, const ChunkNormaliserArguments *arguments) {
    const Device *device = node->tape->device;
    const DType type = node->in[Q]->type;
    const int64_t heads = node->tape->batch->B * arguments->heads,
                  blocks = blocks_of(arguments->K, CHUNK_NORMALISER_COLS);
    device->launch(totals, type, (Grid){blocks, arguments->chunks, heads}, arguments);
    device->launch(carry, type, (Grid){blocks, heads, 1}, arguments);
}

static void launch_rows(const Node *node, Kernel rows, const ChunkNormaliserArguments *arguments) {
    const Grid grid = {arguments->chunks, node->tape->batch->B * arguments->heads, 1};
    node->tape->device->launch(rows, node->in[Q]->type, grid, arguments);
}

/* n is a state with one row, and z is the output of this row. */
static void one_token(const Node *node) {
    const ChunkNormaliserAttributes *attributes = (const ChunkNormaliserAttributes *)node->attributes;
    const Tensor *q = node->in[Q], *g = node->in[GATE], *s = node->in[SCALE];
    RecurrentStepArguments arguments = {.q = heads_of(q),
                                        .v = heads_of(node->in[KEY]),
                                        .g = g ? g->data : NULL,
                                        .g_stride = g ? g->stride : 0,
                                        .s = s ? s->data : NULL,
                                        .s_stride = s ? s->stride : 0,
                                        .of_rows = true,
                                        .o_f32 = true,
                                        .K = 1,
                                        .V = q->cols / attributes->heads,
                                        .heads = attributes->heads,
                                        .queries = 1,
                                        .q_group = 1,
                                        .k_group = 1,
                                        .v_group = 1,
                                        .scale = attributes->scale};
    recurrent_step(node, INITIAL, &arguments);
}

static bool is_one_token(const Node *node) {
    const int64_t heads = ((const ChunkNormaliserAttributes *)node->attributes)->heads;
    return recurrent_step_fits(node, 1) && (node->in[GATE] || heads <= RECURRENT_STEP_DECAYS);
}

static void chunk_normaliser_forward(Node *node) {
    if (is_one_token(node)) {
        one_token(node);
        return;
    }
    const ChunkNormaliserArguments arguments = arguments_of(node);
    launch_sums(node, KERNEL_chunk_normaliser_totals, KERNEL_chunk_normaliser_carry, &arguments);
    launch_rows(node, KERNEL_chunk_normaliser, &arguments);
}

static void chunk_normaliser_backward(Node *node) {
    ChunkNormaliserArguments arguments = arguments_of(node);
    const Tensor *g = node->in[GATE], *s = node->in[SCALE], *initial = node->in[INITIAL];
    const int64_t chunks = node->tape->batch->B * arguments.chunks;
    arguments.dsums = tape_workspace(node->tape, chunks * node->in[Q]->cols * dtype_size(F32));
    arguments.dz = node->out[0]->gradient;
    arguments.dfinal = node->outputs > 1 ? node->out[1]->gradient : NULL;
    arguments.dq = heads_of_gradient(node->in[Q]);
    arguments.dk = heads_of_gradient(node->in[KEY]);
    arguments.dg = g ? g->gradient : NULL;
    arguments.ds = s ? s->gradient : NULL;
    arguments.dinitial = initial ? initial->gradient : NULL;
    if (!node_keeps(node)) {
        arguments.final = NULL;
        launch_sums(node, KERNEL_chunk_normaliser_totals, KERNEL_chunk_normaliser_carry, &arguments);
    }
    launch_sums(node, KERNEL_chunk_normaliser_dtotals, KERNEL_chunk_normaliser_dcarry, &arguments);
    launch_rows(node, KERNEL_chunk_normaliser_backward, &arguments);
}

static Work chunk_normaliser_work(const Node *node) {
    const Tensor *q = node->in[Q], *z = node->out[0];
    const double n = (double)q->rows * (double)q->cols, gates = (double)z->rows * (double)z->cols;
    return (Work){4 * n, 2 * n * (double)dtype_size(q->type) + 3 * gates * (double)dtype_size(F32),
                  (double)q->cols * (double)dtype_size(F32)};
}

static const Op chunk_normaliser_op = {"chunk_normaliser", false, chunk_normaliser_forward, chunk_normaliser_backward,
                                       chunk_normaliser_work};

Tensor *chunk_normaliser(Tape *tape, Tensor *q, Tensor *k, Tensor *log_decay, Tensor *log_scale, int64_t heads,
                         float scale, Tensor *initial, Tensor **final) {
    const int64_t B = tape->batch->B, N = B * tape->batch->T, K = q->cols / heads;
    const Tensor *const gates[] = {log_decay, log_scale};
    CHECK(q->rows == N && k->rows == N && q->cols == k->cols && q->cols % heads == 0 && q->type == k->type,
          "chunk_normaliser: q and k are not [N, heads*K]");
    for (int i = 0; i < 2; i++)
        CHECK(!gates[i] || (gates[i]->rows == N && gates[i]->cols == heads && gates[i]->type == F32),
              "chunk_normaliser: the gates are not fp32 [N, heads]");
    CHECK(!initial || (initial->rows == B * heads && initial->cols == K && initial->type == F32),
          "chunk_normaliser: the initial state is not fp32 [B*heads, K]");
    Node *node = tape_node(tape, &chunk_normaliser_op, (Tensor *[]){q, k, log_decay, log_scale, initial}, INPUTS);
    *(ChunkNormaliserAttributes *)node->attributes = (ChunkNormaliserAttributes){heads, scale};
    Tensor *z = node_output(node, N, heads, F32);
    node_state(node, INITIAL, B * heads, K, 0, final);
    node_run(node);
    return z;
}
