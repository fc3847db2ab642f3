#include "kernels/norms/normalise/normalise.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, SUMS, LEAST, INPUTS }; /* LEAST may be NULL */

typedef struct NormaliseAttributes {
    float eps;
} NormaliseAttributes;

static void launch(const Node *node, Kernel kernel) {
    const Tensor *x = node->in[X], *z = node->in[SUMS], *m = node->in[LEAST], *y = node->out[0];
    const NormaliseArguments arguments = {.x = x->data,
                                          .dy = y->gradient,
                                          .z = z->data,
                                          .m = m ? m->data : NULL,
                                          .y = y->data,
                                          .dx = x->gradient,
                                          .dz = z->gradient,
                                          .dm = m ? m->gradient : NULL,
                                          .rows = x->rows,
                                          .heads = z->cols,
                                          .cols = x->cols / z->cols,
                                          .rows_per_program = rows_per_program(x->cols),
                                          .x_stride = x->stride,
                                          .y_stride = y->stride,
                                          .z_stride = z->stride,
                                          .m_stride = m ? m->stride : 0,
                                          .eps = ((const NormaliseAttributes *)node->attributes)->eps};
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, x->type, grid, &arguments);
}

static void normalise_forward(Node *node) { launch(node, KERNEL_normalise); }
static void normalise_backward(Node *node) { launch(node, KERNEL_normalise_backward); }

static Work normalise_work(const Node *node) {
    const Tensor *x = node->in[X], *z = node->in[SUMS];
    const double n = (double)x->rows * (double)x->cols, sums = (double)z->rows * (double)z->cols;
    return (Work){n, 2 * n * (double)dtype_size(x->type) + (node->in[LEAST] ? 2 : 1) * sums * (double)dtype_size(F32),
                  0};
}

static const Op normalise_op = {"normalise", true, normalise_forward, normalise_backward, normalise_work};

Tensor *normalise(Tape *tape, Tensor *x, Tensor *z, Tensor *m, float eps) {
    CHECK(z->rows == x->rows && x->cols % z->cols == 0 && z->type == F32, "normalise: z is not fp32 [N, heads]");
    CHECK(!m || (m->rows == z->rows && m->cols == z->cols && m->type == F32), "normalise: m is not fp32 [N, heads]");
    Node *node = tape_node(tape, &normalise_op, (Tensor *[]){x, z, m}, INPUTS);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    *(NormaliseAttributes *)node->attributes = (NormaliseAttributes){eps};
    node_run(node);
    return y;
}
