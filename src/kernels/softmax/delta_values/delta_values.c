#include "kernels/softmax/delta_values/delta_values.h"

#include <math.h>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/softmax/attention/attention.h"
#include "kernels/softmax/attention/attention_past.h"
#include "tile/rows.h"

enum { Q, K, V, BETA, GATES }; /* inputs; GATES is always NULL */
enum { U };
enum { LOG_SUM_EXP, RANGES, Y };

/* The blocks of a part. They must be few, because they are solved one after another, but enough that the sums over the
 * rest of the sequence fill a GPU. On a CPU heads and sequences give enough programs. */
enum { BLOCKS_OF_PART = 8 };

typedef struct DeltaValuesKernels {
    int64_t head_dim, cols;
    Kernel prepare, earlier, solve, later, solve_back;
    AttentionGradients gradients;
} DeltaValuesKernels;

#define KERNELS_FOR(head)                                                                                              \
    {                                                                                                                  \
        .head_dim = head, .cols = DELTA_COLS(head), .prepare = KERNEL_delta_values_prepare_##head,                     \
        .earlier = KERNEL_delta_values_earlier_##head, .solve = KERNEL_delta_values_solve_##head,                      \
        .later = KERNEL_delta_values_later_##head, .solve_back = KERNEL_delta_values_solve_back_##head,                \
        .gradients = ATTENTION_GRADIENTS(head, false, _strict)                                                         \
    }
static const DeltaValuesKernels delta_values_kernels[] = {KERNELS_FOR(32), KERNELS_FOR(64), KERNELS_FOR(128),
                                                          KERNELS_FOR(256)};
enum { HEAD_SIZES = sizeof delta_values_kernels / sizeof *delta_values_kernels };

static const DeltaValuesKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= delta_values_kernels[i].head_dim) return &delta_values_kernels[i];
    CHECK(false, "delta_values has no kernel for heads of %lld", (long long)head_dim);
}

static int64_t heads_of_node(const Node *node) { return *(const int64_t *)node->attributes; }

static int64_t blocks_of_part(const Node *node, const DeltaValuesArguments *a) {
    const bool parts = node->tape->device->gpu || a->first_block > 0;
    return parts && a->blocks > BLOCKS_OF_PART ? BLOCKS_OF_PART : a->blocks;
}

/* The arguments that forward and backward both need. */
static DeltaValuesArguments arguments_of(Node *node) {
    const Tensor *q = node->in[Q], *beta = node->in[BETA];
    const Batch *batch = node->tape->batch;
    const int64_t heads = heads_of_node(node), blocks = blocks_of(batch->T, DELTA_ROWS);
    const int64_t squares = batch->B * heads * blocks * DELTA_ROWS * DELTA_ROWS * (int64_t)dtype_size(q->type);
    DeltaValuesArguments a = {.q = heads_of(q),
                              .k = heads_of(node->in[K]),
                              .v = heads_of(node->in[V]),
                              .u = heads_of(node->out[U]),
                              .y = heads_of(node->saved[Y]),
                              .du = heads_of_gradient(node->out[U]),
                              .dv = heads_of_gradient(node->in[V]),
                              .beta = beta->data,
                              .dbeta = beta->gradient,
                              .log_sum_exp = node->saved[LOG_SUM_EXP]->data,
                              .first_key = node->saved[RANGES]->data,
                              .last_query = (const int32_t *)node->saved[RANGES]->data + q->rows,
                              .T = batch->T,
                              .head_dim = q->cols / heads,
                              .heads = heads,
                              .blocks = blocks,
                              .beta_stride = beta->stride,
                              .scale = 1 / sqrtf((float)(q->cols / heads))};
    a.products = node_workspace(node, squares);
    a.inverse = node_workspace(node, squares);
    a.first_block = batch->past / DELTA_ROWS;
    if (a.first_block > 0 || blocks_of_part(node, &a) < blocks)
        a.far = tape_workspace(node->tape, batch->B * BLOCKS_OF_PART * DELTA_ROWS * q->cols * (int64_t)sizeof(float));
    return a;
}

static void prepare(const Node *node, const DeltaValuesKernels *kernels, const DeltaValuesArguments *a) {
    node->tape->device->launch(kernels->prepare, node->out[U]->type,
                               (Grid){a->blocks - a->first_block, a->heads, node->tape->batch->B}, a);
}

/* Solves the part of blocks first .. end - 1: first the sums over the blocks outside of it, if there are any, then its
 * blocks in order. */
static void part(const Node *node, const DeltaValuesKernels *kernels, DeltaValuesArguments *a, int64_t first,
                 int64_t end, bool back) {
    const Device *device = node->tape->device;
    const DType type = node->out[U]->type;
    const int64_t B = node->tape->batch->B, programs = a->heads * blocks_of(a->head_dim, kernels->cols);
    a->first_block = first;
    a->end_block = end;
    if (back ? end < a->blocks : first > 0)
        device->launch(back ? kernels->later : kernels->earlier, type, (Grid){end - first, programs, B}, a);
    device->launch(back ? kernels->solve_back : kernels->solve, type, (Grid){programs, B, 1}, a);
}

static AttentionArguments attention_arguments(const Node *node, const DeltaValuesArguments *a) {
    const Batch *batch = node->tape->batch;
    return (AttentionArguments){.q = a->q,
                                .k = a->k,
                                .v = a->u,
                                .dout = a->dy,
                                .dq = heads_of_gradient(node->in[Q]),
                                .dk = heads_of_gradient(node->in[K]),
                                .row_sums = a->row_sums,
                                .first_key = node->saved[RANGES]->data,
                                .last_query = (int32_t *)node->saved[RANGES]->data + node->in[Q]->rows,
                                .segment = batch->segment,
                                .T = a->T,
                                .head_dim = a->head_dim,
                                .heads = a->heads,
                                .kv_heads = a->heads,
                                .sequences = batch->B,
                                .row_sums_of_head = a->row_sums_of_head,
                                .window = a->T,
                                .scale = a->scale};
}

static void one_token(const Node *node) {
    const Tensor *q = node->in[Q], *beta = node->in[BETA];
    const int64_t heads = heads_of_node(node);
    AttentionPastArguments arguments = {.q = heads_of(q),
                                        .from = heads_of(node->in[V]),
                                        .beta = beta->data,
                                        .beta_stride = beta->stride,
                                        .strict = true,
                                        .heads = heads,
                                        .kv_heads = heads,
                                        .window = INT64_MAX,
                                        .scale = 1 / sqrtf((float)(q->cols / heads))};
    attention_past(node, K, V, GATES, &arguments);
}

/* Copies the past rows of v to u. These rows of v hold the u of earlier calls, and with beta 0 u is v. */
static void take_earlier_values(const Node *node) {
    const Batch *batch = node->tape->batch;
    const Tensor *v = node->in[V], *u = node->out[U];
    const int64_t size = dtype_size(v->type), v_row = v->stride * size, u_row = u->stride * size;
    for (int64_t b = 0; b < batch->B; b++)
        node->tape->device->copy((char *)u->data + b * batch->T * u_row, u_row,
                                 (const char *)v->data + b * batch->T * v_row, v_row, batch->past, v->cols * size);
}

static void delta_values_forward(Node *node) {
    if (attention_past_fits(node)) {
        one_token(node);
        return;
    }
    const Batch *batch = node->tape->batch;
    if (batch->past > 0) take_earlier_values(node);
    DeltaValuesArguments a = arguments_of(node);
    const DeltaValuesKernels *kernels = kernels_for(a.head_dim);
    const AttentionArguments ranges = attention_arguments(node, &a);
    node->tape->device->launch(KERNEL_attention_ranges, node->out[U]->type,
                               (Grid){blocks_of(batch->T, ATTENTION_TOKENS), batch->B, 1}, &ranges);
    prepare(node, kernels, &a);
    const int64_t step = blocks_of_part(node, &a);
    for (int64_t first = a.first_block; first < a.blocks; first += step)
        part(node, kernels, &a, first, first + step < a.blocks ? first + step : a.blocks, false);
}

static void delta_values_backward(Node *node) {
    Tape *tape = node->tape;
    const Tensor *v = node->in[V];
    const DType type = v->type;
    const int64_t B = tape->batch->B;
    DeltaValuesArguments a = arguments_of(node);
    const DeltaValuesKernels *kernels = kernels_for(a.head_dim);
    if (!node_keeps(node)) prepare(node, kernels, &a);
    const int64_t matrix = v->rows * v->cols * (int64_t)dtype_size(type);
    a.dy = (Heads){tape_workspace(tape, matrix), v->cols};
    if (!a.dv.data) a.dv = (Heads){tape_workspace(tape, matrix), v->cols};
    a.row_sums_of_head = 2 * a.blocks * DELTA_ROWS;
    a.row_sums = tape_workspace(tape, B * a.heads * a.row_sums_of_head * (int64_t)sizeof(float));

    const int64_t step = blocks_of_part(node, &a);
    for (int64_t first = (a.blocks - 1) / step * step; first >= 0; first -= step)
        part(node, kernels, &a, first, first + step < a.blocks ? first + step : a.blocks, true);
    tape->device->launch(KERNEL_delta_values_row_sums, type, (Grid){a.heads, a.blocks, B}, &a);
    AttentionArguments attention = attention_arguments(node, &a);
    attention_gradients(node, &kernels->gradients, &attention);
}

/* Counts the products q k^T and A u over all pairs of a sequence, as if it were one document. */
static Work delta_values_work(const Node *node) {
    const Tensor *u = node->out[U];
    const double n = (double)u->rows, pairs = n * (double)(node->tape->batch->T + 1) / 2;
    const double bytes = (double)(5 * u->cols + heads_of_node(node)) * (double)dtype_size(u->type);
    const int64_t T = node->tape->batch->T;
    const double state = node_history(node, node->in[K], T) + node_history(node, node->out[U], T);
    return (Work){4 * (double)u->cols * pairs, n * bytes, state};
}

static const Op delta_values_op = {"delta_values", false, delta_values_forward, delta_values_backward,
                                   delta_values_work};

Tensor *delta_values(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, int64_t heads) {
    CHECK(heads > 0 && q->cols % heads == 0 && beta->cols == heads, "delta_values of %lld columns in %lld heads",
          (long long)q->cols, (long long)heads);
    CHECK(k->cols == q->cols && v->cols == q->cols && beta->type == q->type, "delta_values of different shapes");
    Node *node = tape_node(tape, &delta_values_op, (Tensor *[]){q, k, v, beta}, 4);
    Tensor *u = node_output(node, v->rows, v->cols, v->type);
    node_save(node, tape->batch->B * heads * blocks_of(tape_tokens(tape), DELTA_ROWS), DELTA_ROWS, F32);
    node_save(node, q->rows, 2, I32);
    node_save(node, v->rows, v->cols, v->type);
    *(int64_t *)node->attributes = heads;
    node_past_of(node, V, u);
    node_past(node, 1 << K | 1 << V, 1 << Q | 1 << BETA, INT64_MAX, tape->batch->T == 1 ? PAST_READ : PAST_IN_BLOCKS);
    node_run(node);
    return u;
}
