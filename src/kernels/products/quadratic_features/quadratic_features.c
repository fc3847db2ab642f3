#include "kernels/products/quadratic_features/quadratic_features.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { FEATURES_ALIGNED = 8 }; /* a head's features begin at a multiple of 16 bytes */

typedef struct QuadraticFeaturesAttributes {
    int64_t size;
    bool taylor;
} QuadraticFeaturesAttributes;

static void launch(const Node *node, Kernel kernel) {
    const QuadraticFeaturesAttributes *attributes = (const QuadraticFeaturesAttributes *)node->attributes;
    const Tensor *x = node->in[0], *phi = node->out[0];
    const int64_t heads = x->cols / attributes->size;
    const QuadraticFeaturesArguments arguments = {.x = x->data,
                                                  .dphi = phi->gradient,
                                                  .phi = phi->data,
                                                  .dx = x->gradient,
                                                  .rows = x->rows,
                                                  .heads = heads,
                                                  .cols = attributes->size,
                                                  .features = phi->cols / heads,
                                                  .rows_per_program = rows_per_program(phi->cols),
                                                  .x_stride = x->stride,
                                                  .phi_stride = phi->stride,
                                                  .taylor = attributes->taylor};
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, x->type, grid, &arguments);
}

static void quadratic_features_forward(Node *node) { launch(node, KERNEL_quadratic_features); }
static void quadratic_features_backward(Node *node) { launch(node, KERNEL_quadratic_features_backward); }

static Work quadratic_features_work(const Node *node) {
    const Tensor *x = node->in[0], *phi = node->out[0];
    const double rows = (double)x->rows;
    return (Work){2 * rows * (double)phi->cols, rows * (double)(x->cols + phi->cols) * (double)dtype_size(x->type), 0};
}

static const Op quadratic_features_op = {"quadratic_features", true, quadratic_features_forward,
                                         quadratic_features_backward, quadratic_features_work};

Tensor *quadratic_features(Tape *tape, Tensor *x, int64_t size, bool taylor) {
    CHECK(x->cols % size == 0 && size <= QUADRATIC_FEATURES_COLS, "quadratic_features of %lld columns in heads of %lld",
          (long long)x->cols, (long long)size);
    const int64_t used = size * (size + 1) / 2 + (taylor ? size + 1 : 0);
    const int64_t features = blocks_of(used, FEATURES_ALIGNED) * FEATURES_ALIGNED;
    Node *node = tape_node(tape, &quadratic_features_op, &x, 1);
    Tensor *phi = node_output(node, x->rows, x->cols / size * features, x->type);
    *(QuadraticFeaturesAttributes *)node->attributes = (QuadraticFeaturesAttributes){size, taylor};
    node_run(node);
    return phi;
}
