#include "kernels/gates/rwkv7_keys/rwkv7_keys.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

/* Inputs: x, rate, scale, mix. Outputs: key, reader, writer. Saved: inverse. */
enum { X, RATE, SCALE, MIX };
enum { KEY, READER, WRITER };

typedef struct Rwkv7KeysAttributes {
    int64_t cols;
    float eps;
} Rwkv7KeysAttributes;

static const Rwkv7KeysAttributes *attributes_of(const Node *node) {
    return (const Rwkv7KeysAttributes *)node->attributes;
}

static void rwkv7_keys_forward(Node *node) {
    const Tensor *x = node->in[X], *rate = node->in[RATE];
    const Rwkv7KeysArguments arguments = {
        .x = x->data,
        .rate = rate->data,
        .scale = node->in[SCALE]->data,
        .mix = node->in[MIX]->data,
        .key = node->out[KEY]->data,
        .reader = node->out[READER]->data,
        .writer = node->out[WRITER]->data,
        .inverse = node->saved[0]->data,
        .rows = x->rows,
        .heads = x->cols / attributes_of(node)->cols,
        .cols = attributes_of(node)->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .rate_stride = rate->stride,
        .stride = node->out[0]->stride,
        .eps = attributes_of(node)->eps,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_rwkv7_keys, x->type, grid, &arguments);
}

static void rwkv7_keys_backward(Node *node) {
    const Tensor *x = node->in[X], *rate = node->in[RATE];
    const int64_t rows = rows_per_sum(x->rows), programs = blocks_of(x->rows, rows);
    const int64_t bytes = programs * x->cols * dtype_size(F32);
    const Rwkv7KeysBackwardArguments arguments = {
        .x = x->data,
        .rate = rate->data,
        .scale = node->in[SCALE]->data,
        .mix = node->in[MIX]->data,
        .dkey = node->out[KEY]->gradient,
        .dreader = node->out[READER]->gradient,
        .dwriter = node->out[WRITER]->gradient,
        .inverse = node->saved[0]->data,
        .dx = x->gradient,
        .drate = rate->gradient,
        .partial_scale = tape_workspace(node->tape, bytes),
        .partial_mix = tape_workspace(node->tape, bytes),
        .rows = x->rows,
        .heads = x->cols / attributes_of(node)->cols,
        .cols = attributes_of(node)->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .rate_stride = rate->stride,
        .stride = node->out[0]->stride,
    };
    node->tape->device->launch(KERNEL_rwkv7_keys_backward, x->type, (Grid){programs, arguments.heads, 1}, &arguments);
    column_sum(node->tape, arguments.partial_scale, programs, node->in[SCALE]);
    column_sum(node->tape, arguments.partial_mix, programs, node->in[MIX]);
}

static Work rwkv7_keys_work(const Node *node) {
    const double n = (double)node->in[X]->rows * (double)node->in[X]->cols;
    return (Work){10 * n, 5 * n * (double)dtype_size(node->in[X]->type), 0};
}

static const Op rwkv7_keys_op = {"rwkv7_keys", true, rwkv7_keys_forward, rwkv7_keys_backward, rwkv7_keys_work};

void rwkv7_keys(Tape *tape, Tensor *x, Tensor *rate, Tensor *scale, Tensor *mix, int64_t head_dim, float eps,
                Tensor *out[3]) {
    CHECK(x->cols % head_dim == 0 && rate->cols == x->cols && scale->cols == x->cols && mix->cols == x->cols &&
              head_dim <= PROGRAM_COLS,
          "rwkv7_keys of %lld columns in heads of %lld", (long long)x->cols, (long long)head_dim);
    Node *node = tape_node(tape, &rwkv7_keys_op, (Tensor *[]){x, rate, scale, mix}, 4);
    for (int i = 0; i < 3; i++) out[i] = node_output(node, x->rows, x->cols, x->type);
    node_save(node, x->rows, x->cols / head_dim, F32);
    *(Rwkv7KeysAttributes *)node->attributes = (Rwkv7KeysAttributes){head_dim, eps};
    node_run(node);
}
