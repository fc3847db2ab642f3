#include "kernels/norms/layer_norm/layer_norm.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

/* Inputs: x, residual (may be NULL), weight, bias (may be NULL). Outputs: y and, if the caller wants it, the sum.
 * Saved: mean, rstd. */
enum { X, RESIDUAL, WEIGHT, BIAS };
enum { MEAN, RSTD };

typedef struct LayerNormAttributes {
    int64_t group_cols;
    float eps, offset;
} LayerNormAttributes;

static const LayerNormAttributes *attributes_of(const Node *node) {
    return (const LayerNormAttributes *)node->attributes;
}

static bool shares_weights(const Node *node) {
    const Tensor *weight = node->in[WEIGHT];
    return weight->rows * weight->cols < node->in[X]->cols;
}

/* The bias, or zeros. */
static const void *bias_of(const Node *node) {
    const Tensor *weight = node->in[WEIGHT], *bias = node->in[BIAS];
    if (bias) return bias->data;
    const int64_t bytes = weight->rows * weight->cols * dtype_size(weight->type);
    void *zeros = tape_workspace(node->tape, bytes);
    node->tape->device->fill(zeros, 0, 1, bytes, bytes);
    return zeros;
}

static void layer_norm_forward(Node *node) {
    const Tensor *x = node->in[X], *residual = node->in[RESIDUAL], *y = node->out[0];
    const Tensor *sum = node->outputs > 1 ? node->out[1] : NULL;
    const LayerNormArguments arguments = {
        .x = x->data,
        .residual = residual ? residual->data : NULL,
        .weight = node->in[WEIGHT]->data,
        .bias = bias_of(node),
        .y = y->data,
        .sum = sum ? sum->data : NULL,
        .mean = node->saved[MEAN]->data,
        .rstd = node->saved[RSTD]->data,
        .rows = x->rows,
        .groups = x->cols / attributes_of(node)->group_cols,
        .cols = attributes_of(node)->group_cols,
        .group_weights = shares_weights(node) ? 0 : attributes_of(node)->group_cols,
        .rows_per_program = rows_per_program(x->cols),
        .x_stride = x->stride,
        .residual_stride = residual ? residual->stride : 0,
        .y_stride = y->stride,
        .sum_stride = sum ? sum->stride : 0,
        .eps = attributes_of(node)->eps,
        .offset = attributes_of(node)->offset,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_layer_norm, x->type, grid, &arguments);
}

/* How backward divides its work: the number of programs over groups and their columns, and the rows of each program. On
 * a GPU a program has one group, because otherwise lanes that share a warp would have different groups from row to row.
 * On the CPU it has as many as there is room for, because a core reads whole rows faster. Groups that share weights are
 * always in different programs, so that each has sums of its own. */
typedef struct LayerNormDivision {
    bool wide;
    int64_t groups_per_program, programs, rows;
} LayerNormDivision;

static LayerNormDivision division_of(const Device *device, const Tensor *x, int64_t cols, bool shared) {
    const int64_t groups = x->cols / cols,
                  room = device->gpu || shared || cols > LAYER_NORM_COLS ? 1 : 4 * LAYER_NORM_COLS / cols;
    LayerNormDivision division = {.wide = cols > LAYER_NORM_COLS, .groups_per_program = room < groups ? room : groups};
    division.programs = blocks_of(groups, division.groups_per_program) * blocks_of(cols, PROGRAM_COLS);
    const int64_t all = division.wide ? LAYER_NORM_WIDE_PROGRAMS : SUM_PROGRAMS;
    const int64_t rows = blocks_of(x->rows * division.programs, all);
    division.rows = rows < PARTIAL_ROWS ? PARTIAL_ROWS : rows;
    return division;
}

/* If the rounded sum was kept, it is read in place of x and the residual. */
static void layer_norm_backward(Node *node) {
    const Tensor *sum = node->outputs > 1 ? node->out[1] : NULL, *x = sum ? sum : node->in[X];
    const Tensor *residual = sum ? NULL : node->in[RESIDUAL], *y = node->out[0];
    const Device *device = node->tape->device;
    const bool shared = shares_weights(node);
    const LayerNormDivision division = division_of(device, x, attributes_of(node)->group_cols, shared);
    const int64_t sums = blocks_of(x->rows, division.rows);
    float *partial = tape_workspace(node->tape, sums * 2 * x->cols * dtype_size(F32));
    const LayerNormBackwardArguments arguments = {
        .x = x->data,
        .residual = residual ? residual->data : NULL,
        .weight = node->in[WEIGHT]->data,
        .dy = y->gradient,
        .dsum = sum ? sum->gradient : NULL,
        .mean = node->saved[MEAN]->data,
        .rstd = node->saved[RSTD]->data,
        .ds = node->in[X]->gradient,
        .partial = partial,
        .rows = x->rows,
        .groups = x->cols / attributes_of(node)->group_cols,
        .cols = attributes_of(node)->group_cols,
        .group_weights = shares_weights(node) ? 0 : attributes_of(node)->group_cols,
        .rows_per_program = division.rows,
        .x_stride = x->stride,
        .residual_stride = residual ? residual->stride : 0,
        .dy_stride = y->stride,
        .dsum_stride = sum ? sum->stride : 0,
        .ds_stride = node->in[X]->stride,
        .offset = attributes_of(node)->offset,
        .groups_per_program = division.groups_per_program,
    };
    device->launch(division.wide ? KERNEL_layer_norm_backward_wide : KERNEL_layer_norm_backward, x->type,
                   (Grid){sums, division.programs, 1}, &arguments);
    if (node->in[RESIDUAL]) node_share_gradient(node, RESIDUAL, node->in[X]);
    Tensor none = *node->in[WEIGHT], *const parameters[] = {node->in[WEIGHT], node->in[BIAS] ? node->in[BIAS] : &none};
    none.gradient = NULL;
    column_sums(node->tape, partial, shared ? sums * arguments.groups : sums, parameters, 2);
}

static Work layer_norm_work(const Node *node) {
    const Tensor *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols,
                 matrices = 2 + (node->in[RESIDUAL] != NULL) + (node->outputs > 1);
    return (Work){7 * n, matrices * n * (double)dtype_size(y->type), 0};
}

static const Op layer_norm_op = {"layer_norm", true, layer_norm_forward, layer_norm_backward, layer_norm_work};

static Tensor *normed(Tape *tape, Tensor *const in[], LayerNormAttributes attributes, Tensor **sum) {
    const Tensor *x = in[X], *residual = in[RESIDUAL], *weight = in[WEIGHT], *bias = in[BIAS];
    const int64_t group_cols = attributes.group_cols, weights = weight->rows * weight->cols;
    CHECK(x->cols % group_cols == 0, "layer_norm of %lld columns in groups of %lld", (long long)x->cols,
          (long long)group_cols);
    CHECK((weights == x->cols || weights == group_cols) && (!bias || bias->rows * bias->cols == weights),
          "layer_norm with a weight or a bias of another width");
    CHECK(!residual || (residual->rows == x->rows && residual->cols == x->cols && residual->type == x->type),
          "layer_norm with a residual of another shape");
    Node *node = tape_node(tape, &layer_norm_op, in, 4);
    Tensor *y = node_output(node, x->rows, x->cols, x->type);
    if (sum) *sum = residual ? node_output(node, x->rows, x->cols, x->type) : in[X];
    node_save(node, x->rows, x->cols / group_cols, F32);
    node_save(node, x->rows, x->cols / group_cols, F32);
    *(LayerNormAttributes *)node->attributes = attributes;
    node_run(node);
    return y;
}

Tensor *layer_norm(Tape *tape, Tensor *x, Tensor *residual, Tensor *weight, Tensor *bias, int64_t group_cols, float eps,
                   Tensor **sum) {
    return normed(tape, (Tensor *[]){x, residual, weight, bias},
                  (LayerNormAttributes){.group_cols = group_cols, .eps = eps}, sum);
}

Tensor *layer_norm_unbiased(Tape *tape, Tensor *x, Tensor *weight, float offset, int64_t group_cols, float eps) {
    return normed(tape, (Tensor *[]){x, NULL, weight, NULL},
                  (LayerNormAttributes){.group_cols = group_cols, .eps = eps, .offset = offset}, NULL);
}
