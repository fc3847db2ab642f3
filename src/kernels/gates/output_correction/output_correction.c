#include "kernels/gates/output_correction/output_correction.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { Q, KEY, SKIP, DECAY, INPUTS };

static OutputCorrectionArguments arguments_of(const Node *node) {
    const Tensor *q = node->in[Q], *k = node->in[KEY], *D = node->in[SKIP], *z = node->out[0];
    return (OutputCorrectionArguments){.q = q->data,
                                       .k = k->data,
                                       .D = D->data,
                                       .decay = node->in[DECAY]->data,
                                       .dz = z->gradient,
                                       .z = z->data,
                                       .dq = q->gradient,
                                       .dk = k->gradient,
                                       .rows = z->rows,
                                       .heads = D->cols,
                                       .cols = z->cols / D->cols,
                                       .rows_per_program = rows_per_program(z->cols),
                                       .q_stride = q->stride,
                                       .k_stride = k->stride,
                                       .z_stride = z->stride};
}

static void launch(const Node *node, Kernel kernel, const OutputCorrectionArguments *arguments) {
    const Grid grid = {blocks_of(arguments->rows, arguments->rows_per_program), 1, 1};
    node->tape->device->launch(kernel, node->out[0]->type, grid, arguments);
}

static void output_correction_forward(Node *node) {
    const OutputCorrectionArguments arguments = arguments_of(node);
    launch(node, KERNEL_output_correction, &arguments);
}

static void output_correction_backward(Node *node) {
    OutputCorrectionArguments arguments = arguments_of(node);
    const int64_t rows = arguments.rows;
    arguments.partial = tape_workspace(node->tape, rows * 2 * arguments.heads * dtype_size(F32));
    launch(node, KERNEL_output_correction_backward, &arguments);
    column_sums(node->tape, arguments.partial, rows, (Tensor *[]){node->in[SKIP], node->in[DECAY]}, 2);
}

static Work output_correction_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){2 * n, 3 * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op output_correction_op = {"output_correction", true, output_correction_forward,
                                        output_correction_backward, output_correction_work};

Tensor *output_correction(Tape *tape, Tensor *q, Tensor *k, Tensor *D, Tensor *decay) {
    CHECK(q->rows == k->rows && q->cols == k->cols && q->type == k->type, "output_correction of two shapes");
    CHECK(D->rows == 1 && decay->rows == 1 && D->cols == decay->cols && q->cols % D->cols == 0,
          "output_correction: D and decay are not one number per head");
    Node *node = tape_node(tape, &output_correction_op, (Tensor *[]){q, k, D, decay}, INPUTS);
    Tensor *z = node_output(node, q->rows, q->cols, q->type);
    node_run(node);
    return z;
}
