#include "kernels/gates/lower_bound_gate/lower_bound_gate.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { X, INPUT, BOUNDS }; /* INPUT and BOUNDS may be NULL */
enum { LOG_GATE, GATED };

typedef struct LowerBoundGateAttributes {
    int64_t layer;
} LowerBoundGateAttributes;

/* The layer's bound, computed in the running op's workspace; NULL if there is none. */
static float *bound_of(const Node *node) {
    const Tensor *bounds = node->in[BOUNDS];
    if (!bounds) return NULL;
    const LowerBoundArguments arguments = {
        .bounds = bounds->data,
        .bound = tape_workspace(node->tape, bounds->cols * dtype_size(F32)),
        .layers = bounds->rows,
        .layer = ((const LowerBoundGateAttributes *)node->attributes)->layer,
        .cols = bounds->cols,
    };
    const Grid grid = {blocks_of(bounds->cols, LOWER_BOUND_COLS), 1, 1};
    node->tape->device->launch(KERNEL_lower_bound, bounds->type, grid, &arguments);
    return arguments.bound;
}

static void lower_bound_gate_forward(Node *node) {
    const Tensor *x = node->in[X], *input = node->in[INPUT], *g = node->out[LOG_GATE], *gated = node->out[GATED];
    const LowerBoundGateArguments arguments = {
        .x = x->data,
        .input = input ? input->data : NULL,
        .bound = bound_of(node),
        .g = g->data,
        .gated = gated->data,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .input_stride = input ? input->stride : 0,
        .g_stride = g->stride,
        .gated_stride = gated->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_lower_bound_gate, x->type, grid, &arguments);
}

static void launch_bounds_gradient(const Node *node, const float *bound, const float *partial, int64_t partial_rows) {
    const Tensor *bounds = node->in[BOUNDS];
    const LowerBoundBackwardArguments arguments = {
        .bounds = bounds->data,
        .bound = bound,
        .partial = partial,
        .gradient = bounds->gradient,
        .layers = bounds->rows,
        .layer = ((const LowerBoundGateAttributes *)node->attributes)->layer,
        .cols = bounds->cols,
        .partial_rows = partial_rows,
    };
    const Grid grid = {blocks_of(bounds->cols, LOWER_BOUND_COLS), 1, 1};
    node->tape->device->launch(KERNEL_lower_bound_backward, bounds->type, grid, &arguments);
}

static void lower_bound_gate_backward(Node *node) {
    const Tensor *x = node->in[X], *input = node->in[INPUT], *g = node->out[LOG_GATE], *gated = node->out[GATED];
    const int64_t rows = rows_per_sum(x->rows), sums = blocks_of(x->rows, rows);
    const LowerBoundGateBackwardArguments arguments = {
        .x = x->data,
        .input = input ? input->data : NULL,
        .dgated = gated->gradient,
        .bound = bound_of(node),
        .dg = g->gradient,
        .dx = x->gradient,
        .dinput = input ? input->gradient : NULL,
        .partial = tape_workspace(node->tape, sums * x->cols * dtype_size(F32)),
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows,
        .x_stride = x->stride,
        .input_stride = input ? input->stride : 0,
        .dg_stride = g->stride,
        .dgated_stride = gated->stride,
    };
    const Grid grid = {sums, blocks_of(x->cols, WARP_COLS), 1};
    node->tape->device->launch(KERNEL_lower_bound_gate_backward, x->type, grid, &arguments);
    const Tensor *bounds = node->in[BOUNDS];
    if (bounds && bounds->gradient) launch_bounds_gradient(node, arguments.bound, arguments.partial, sums);
}

static Work lower_bound_gate_work(const Node *node) {
    const Tensor *x = node->in[X];
    const double n = (double)x->rows * (double)x->cols, element_matrices = node->in[INPUT] ? 3 : 2;
    return (Work){10 * n, n * (element_matrices * (double)dtype_size(x->type) + (double)dtype_size(F32)), 0};
}

static const Op lower_bound_gate_op = {"lower_bound_gate", true, lower_bound_gate_forward, lower_bound_gate_backward,
                                       lower_bound_gate_work};

Tensor *lower_bound_gate(Tape *tape, Tensor *x, Tensor *input, Tensor *bounds, int64_t layer, Tensor **gated) {
    CHECK(!input || (input->rows == x->rows && input->cols == x->cols && input->type == x->type),
          "lower_bound_gate with an input of another shape");
    CHECK(!bounds || (bounds->cols == x->cols && layer < bounds->rows), "lower_bound_gate: no bound for layer %lld",
          (long long)layer);
    Tensor *const bounds_used = layer > 0 ? bounds : NULL; /* the bound of layer 0 is 0 */
    Node *node = tape_node(tape, &lower_bound_gate_op, (Tensor *[]){x, input, bounds_used}, 3);
    Tensor *g = node_output(node, x->rows, x->cols, F32);
    *gated = node_output(node, x->rows, x->cols, x->type);
    ((LowerBoundGateAttributes *)node->attributes)->layer = layer;
    node_run(node);
    return g;
}
