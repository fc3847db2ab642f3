#include "kernels/softmax/codebook_attention/codebook_attention.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/softmax/codebook_attention/codebook_step.h"
#include "tile/rows.h"

enum { Q, K, V, RELATIVE, INDEX, CODES, INPUTS };

typedef struct CodebookAttributes {
    CodebookAttentionShape shape;
    float *sums, *numbers; /* the kept memory (codebook_step.h); NULL if the tape carries no state */
} CodebookAttributes;

/* The kernels are compiled for a few key sizes. A head uses those for the smallest size that it fits into. */
typedef struct CodebookKernels {
    int64_t head_dim;
    Kernel memories, forward, queries, keys, values, memories_backward;
} CodebookKernels;

#define KERNELS_FOR(head)                                                                                              \
    {                                                                                                                  \
        head, KERNEL_codebook_attention_memories_##head, KERNEL_codebook_attention_forward_##head,                     \
            KERNEL_codebook_attention_queries_##head, KERNEL_codebook_attention_keys_##head,                           \
            KERNEL_codebook_attention_values_##head, KERNEL_codebook_attention_memories_backward_##head                \
    }
static const CodebookKernels codebook_kernels[] = {KERNELS_FOR(32), KERNELS_FOR(64), KERNELS_FOR(128),
                                                   KERNELS_FOR(256)};
enum { HEAD_SIZES = sizeof codebook_kernels / sizeof codebook_kernels[0] };

static const CodebookKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= codebook_kernels[i].head_dim) return &codebook_kernels[i];
    CHECK(false, "codebook_attention has no kernel for keys of %lld", (long long)head_dim);
}

static CodebookArguments arguments_of(const Node *node) {
    const CodebookAttributes *attributes = (const CodebookAttributes *)node->attributes;
    const CodebookAttentionShape *shape = &attributes->shape;
    const Tensor *const *in = (const Tensor *const *)node->in, *out = node->out[0];
    const Batch *batch = node->tape->batch;
    return (CodebookArguments){.q = heads_of(in[Q]),
                               .k = heads_of(in[K]),
                               .v = heads_of(in[V]),
                               .relative = heads_of(in[RELATIVE]),
                               .out = heads_of(out),
                               .dout = heads_of_gradient(out),
                               .dq = heads_of_gradient(in[Q]),
                               .dk = heads_of_gradient(in[K]),
                               .dv = heads_of_gradient(in[V]),
                               .drelative = heads_of_gradient(in[RELATIVE]),
                               .code = in[CODES]->data,
                               .index = in[INDEX]->data,
                               .log_sum_exp = node->saved[0]->data,
                               .position = batch->position,
                               .segment = batch->segment,
                               .sums = attributes->sums,
                               .numbers = attributes->numbers,
                               .past = batch->past,
                               .B = batch->B,
                               .T = batch->T,
                               .heads = shape->heads,
                               .head_dim = in[Q]->cols / shape->heads,
                               .value_dim = in[V]->cols / shape->heads,
                               .codes = in[CODES]->rows / shape->heads,
                               .block = shape->block,
                               .window = shape->window,
                               .memories = blocks_of(batch->T, shape->block),
                               .distances = in[RELATIVE]->cols / shape->heads,
                               .scale = shape->scale};
}

static int64_t column_blocks(const CodebookArguments *a) {
    return blocks_of(a->value_dim, VALUE_COLS(kernels_for(a->head_dim)->head_dim));
}

/* Makes the memories, with which forward and backward begin. */
static void make_memories(Node *node, CodebookArguments *a) {
    const int64_t codes = a->B * a->memories * a->heads * a->codes;
    const bool made = node->has_run && node_keeps(node);
    const DType type = node->out[0]->type;
    a->mean = node_workspace(node, codes * a->value_dim * dtype_size(type));
    a->log_number = node_workspace(node, codes * dtype_size(F32));
    const Grid grid = {blocks_of(a->codes, CODEBOOK_ROWS), a->heads * column_blocks(a), a->B};
    if (!made) node->tape->device->launch(kernels_for(a->head_dim)->memories, type, grid, a);
}

static TokenRows ring_of(const CarriedRows *rows, int64_t cols) { return (TokenRows){rows->data, cols}; }
static TokenRows rows_of(const Tensor *tensor) { return (TokenRows){tensor->data, tensor->stride}; }

/* The arguments of the kernels that go on with a text. The rows of tokens are those in the ring or, without `ring`,
 * those of the call. */
static CodebookStepArguments step_arguments(const Node *node, bool ring) {
    const CodebookAttributes *attributes = (const CodebookAttributes *)node->attributes;
    const Tensor *k = node->in[K], *v = node->in[V], *index = node->in[INDEX];
    const CodebookArguments a = arguments_of(node);
    const int64_t tokens = carried_tokens(node->tape->carried);
    return (CodebookStepArguments){.q = a.q,
                                   .k = a.k,
                                   .v = a.v,
                                   .relative = a.relative,
                                   .out = a.out,
                                   .code = a.code,
                                   .sums = attributes->sums,
                                   .numbers = attributes->numbers,
                                   .past_k = ring ? ring_of(node->past[K], k->cols) : rows_of(k),
                                   .past_v = ring ? ring_of(node->past[V], v->cols) : rows_of(v),
                                   .past_index = ring ? ring_of(node->past[INDEX], index->cols) : rows_of(index),
                                   .position = a.position + a.past,
                                   .T = a.T - a.past,
                                   .newest = ring ? tokens : a.T - 1,
                                   .past = node_past_tokens(node),
                                   .capacity = ring ? node->past[V]->capacity : a.T,
                                   .heads = a.heads,
                                   .head_dim = a.head_dim,
                                   .value_dim = a.value_dim,
                                   .codes = a.codes,
                                   .block = a.block,
                                   .window = a.window,
                                   .distances = a.distances,
                                   .position_stride = a.T,
                                   .scale = a.scale};
}

static void launch_step(const Node *node, Kernel kernel, const CodebookStepArguments *a) {
    const Grid grid = {node->tape->batch->B, a->heads * blocks_of(a->value_dim, CODEBOOK_STEP_COLS), 1};
    node->tape->device->launch(kernel, node->out[0]->type, grid, a);
}

static void one_token(const Node *node) {
    const CodebookStepArguments arguments = step_arguments(node, true);
    launch_step(node, KERNEL_codebook_attention_advance, &arguments);
    launch_step(node, KERNEL_codebook_attention_step, &arguments);
}

static void codebook_attention_forward(Node *node) {
    if (node->past_form == PAST_READ && node_past_tokens(node) > 0) {
        one_token(node);
        return;
    }
    CodebookArguments a = arguments_of(node);
    make_memories(node, &a);
    const Grid grid = {batch_blocks(node->tape->batch, CODEBOOK_ROWS), a.heads * column_blocks(&a), a.B};
    node->tape->device->launch(kernels_for(a.head_dim)->forward, node->out[0]->type, grid, &a);
    if (!a.sums) return;
    const CodebookStepArguments step = step_arguments(node, false);
    launch_step(node, KERNEL_codebook_attention_advance, &step);
}

static void zero_gradient(Node *node, const Tensor *in) {
    const int64_t size = dtype_size(in->type);
    if (in->gradient) node->tape->device->fill(in->gradient, 0, in->rows, in->cols * size, in->stride * size);
}

static void codebook_attention_backward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->out[0]->type;
    CodebookArguments a = arguments_of(node);
    const CodebookKernels *kernels = kernels_for(a.head_dim);
    const int64_t blocks = blocks_of(a.T, CODEBOOK_ROWS), columns = a.heads * column_blocks(&a);
    make_memories(node, &a);
    a.delta = tape_workspace(node->tape, a.B * a.heads * a.T * dtype_size(F32));
    a.last_query = tape_workspace(node->tape, a.B * a.T * (int64_t)sizeof(int32_t));
    a.rows_per_program = rows_per_program(a.heads * a.value_dim);
    device->launch(KERNEL_codebook_attention_ranges, type, (Grid){blocks, a.B, 1}, &a);
    device->launch(KERNEL_codebook_attention_delta, type, (Grid){blocks_of(a.B * a.T, a.rows_per_program), 1, 1}, &a);
    zero_gradient(node, node->in[RELATIVE]);
    zero_gradient(node, node->in[CODES]);
    device->launch(kernels->queries, type, (Grid){blocks, a.heads, a.B}, &a);
    device->launch(kernels->keys, type, (Grid){blocks, a.heads, a.B}, &a);
    device->launch(kernels->values, type, (Grid){blocks, columns, a.B}, &a);
    device->launch(kernels->memories_backward, type, (Grid){blocks_of(a.codes, CODEBOOK_ROWS), columns, a.B}, &a);
}

/* Counts the products of queries with the keys and codes that they see, and of the weights with values, as if each
 * sequence were one document. */
static Work codebook_attention_work(const Node *node) {
    const CodebookAttentionShape *shape = &((const CodebookAttributes *)node->attributes)->shape;
    Tensor *q = node->in[Q], *k = node->in[K], *v = node->in[V];
    const double T = (double)node->tape->batch->T, window = (double)shape->window + (double)shape->block / 2;
    const double codes = T > window ? (double)node->in[CODES]->rows / (double)shape->heads : 0;
    const double seen = (T > 2 * window ? window : T / 2) + codes;
    const double entries = (double)q->rows * (double)(q->cols + k->cols + 2 * v->cols + node->in[RELATIVE]->cols);
    const int64_t recent = shape->window + shape->block;
    const double sums = (double)node->in[CODES]->rows * (double)(v->cols / shape->heads + 1) * sizeof(float);
    return (Work){2 * (double)q->rows * (double)(q->cols + v->cols) * seen, entries * (double)dtype_size(q->type),
                  sums + node_history(node, k, recent) + node_history(node, v, recent)};
}

static const Op codebook_attention_op = {"codebook_attention", false, codebook_attention_forward,
                                         codebook_attention_backward, codebook_attention_work};

Tensor *codebook_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *relative, Tensor *index, Tensor *codes,
                           CodebookAttentionShape shape) {
    const int64_t heads = shape.heads;
    CHECK(q->cols % heads == 0 && v->cols % heads == 0 && k->cols == q->cols && codes->rows % heads == 0 &&
              codes->cols == q->cols / heads && codes->stride == codes->cols && index->cols == heads,
          "codebook_attention of different shapes in %lld heads", (long long)heads);
    CHECK(shape.block > 0 && shape.window >= 0 && relative->cols % heads == 0 && relative->cols / heads > shape.window,
          "codebook_attention of blocks of %lld tokens and a window of %lld", (long long)shape.block,
          (long long)shape.window);
    Node *node = tape_node(tape, &codebook_attention_op, (Tensor *[]){q, k, v, relative, index, codes}, INPUTS);
    Tensor *out = node_output(node, v->rows, v->cols, v->type);
    node_save(node, v->rows, heads, F32);
    CodebookAttributes *attributes = (CodebookAttributes *)node->attributes;
    *attributes = (CodebookAttributes){.shape = shape};
    if (tape->carried) {
        const int64_t numbers = codes->rows * (int64_t)sizeof(float);
        attributes->sums = carried_state(tape->carried, numbers * (v->cols / heads), 0);
        attributes->numbers = carried_state(tape->carried, numbers, 0);
    }
    node_past(node, 1 << K | 1 << V | 1 << INDEX, 1 << Q | 1 << RELATIVE, shape.window + shape.block,
              tape->batch->T == 1 ? PAST_READ : PAST_IN_BLOCKS);
    node_run(node);
    return out;
}
