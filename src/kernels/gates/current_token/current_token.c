#include "kernels/gates/current_token/current_token.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { O, Q, KEY, VALUE, U };

typedef struct CurrentTokenAttributes {
    int64_t heads;
} CurrentTokenAttributes;

static int64_t heads_of(const Node *node) { return ((const CurrentTokenAttributes *)node->attributes)->heads; }

static void current_token_forward(Node *node) {
    const Tensor *o = node->in[O], *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *z = node->out[0];
    const CurrentTokenArguments arguments = {
        .o = o->data,
        .q = q->data,
        .k = k->data,
        .v = v->data,
        .u = node->in[U]->data,
        .z = z->data,
        .rows = z->rows,
        .heads = heads_of(node),
        .K = q->cols / heads_of(node),
        .V = v->cols / heads_of(node),
        .rows_per_program = rows_per_program(v->cols),
        .o_stride = o->stride,
        .q_stride = q->stride,
        .k_stride = k->stride,
        .v_stride = v->stride,
        .z_stride = z->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_current_token, z->type, grid, &arguments);
}

static void current_token_backward(Node *node) {
    const Tensor *q = node->in[Q], *k = node->in[KEY], *v = node->in[VALUE], *u = node->in[U], *z = node->out[0];
    const int64_t rows = rows_per_sum(z->rows), programs = blocks_of(z->rows, rows);
    float *partial = tape_workspace(node->tape, programs * q->cols * dtype_size(F32));
    const CurrentTokenBackwardArguments arguments = {
        .q = q->data,
        .k = k->data,
        .v = v->data,
        .u = u->data,
        .dz = z->gradient,
        .dq = q->gradient,
        .dk = k->gradient,
        .dv = v->gradient,
        .partial = partial,
        .rows = z->rows,
        .heads = heads_of(node),
        .K = q->cols / heads_of(node),
        .V = v->cols / heads_of(node),
        .rows_per_program = rows,
        .q_stride = q->stride,
        .k_stride = k->stride,
        .v_stride = v->stride,
        .dz_stride = z->stride,
    };
    node->tape->device->launch(KERNEL_current_token_backward, z->type, (Grid){programs, heads_of(node), 1}, &arguments);
    column_sum(node->tape, partial, programs, u);
    node_share_gradient(node, O, node->out[0]);
}

static Work current_token_work(const Node *node) {
    const double N = (double)node->out[0]->rows, keys = (double)node->in[Q]->cols,
                 values = (double)node->in[VALUE]->cols;
    return (Work){N * (3 * keys + 2 * values), N * (2 * keys + 3 * values) * (double)dtype_size(node->out[0]->type), 0};
}

static const Op current_token_op = {"current_token", true, current_token_forward, current_token_backward,
                                    current_token_work};

Tensor *current_token(Tape *tape, Tensor *o, Tensor *q, Tensor *k, Tensor *v, Tensor *u, int64_t heads) {
    CHECK(heads > 0 && q->cols % heads == 0 && v->cols % heads == 0 && k->cols == q->cols && o->cols == v->cols &&
              u->rows * u->cols == q->cols,
          "current_token: the columns of o, q, k, v and u are not %lld heads", (long long)heads);
    CHECK(q->cols / heads <= PROGRAM_COLS && v->cols / heads <= PROGRAM_COLS, "current_token of heads of %lld columns",
          (long long)(q->cols / heads));
    Node *node = tape_node(tape, &current_token_op, (Tensor *[]){o, q, k, v, u}, 5);
    Tensor *z = node_output(node, o->rows, o->cols, o->type);
    ((CurrentTokenAttributes *)node->attributes)->heads = heads;
    node_run(node);
    return z;
}
