#include "kernels/gates/branch_gate/branch_gate.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

static void launch(const Node *node, Kernel kernel) {
    const Tensor *gate = node->in[0], *y = node->out[0];
    BranchGateArguments arguments = {.gate = gate->data,
                                     .dgate = gate->gradient,
                                     .y = y->data,
                                     .dy = y->gradient,
                                     .rows = y->rows,
                                     .heads = gate->cols / BRANCHES,
                                     .cols = y->cols / (gate->cols / BRANCHES),
                                     .rows_per_program = rows_per_program(y->cols),
                                     .gate_stride = gate->stride,
                                     .y_stride = y->stride};
    for (int b = 0; b < BRANCHES; b++) {
        const Tensor *x = node->in[1 + b];
        arguments.x[b] = x->data;
        arguments.dx[b] = x->gradient;
        arguments.x_stride[b] = x->stride;
    }
    node->tape->device->launch(kernel, y->type, (Grid){blocks_of(y->rows, arguments.rows_per_program), 1, 1},
                               &arguments);
}

static void branch_gate_forward(Node *node) { launch(node, KERNEL_branch_gate); }

static void branch_gate_backward(Node *node) { launch(node, KERNEL_branch_gate_backward); }

static Work branch_gate_work(const Node *node) {
    const double n = (double)node->out[0]->rows * (double)node->out[0]->cols;
    return (Work){2 * BRANCHES * n, (BRANCHES + 1) * n * (double)dtype_size(node->out[0]->type), 0};
}

static const Op branch_gate_op = {"branch_gate", true, branch_gate_forward, branch_gate_backward, branch_gate_work};

Tensor *branch_gate(Tape *tape, Tensor *gate, Tensor *const x[BRANCHES], int64_t heads) {
    CHECK(gate->cols == heads * BRANCHES && x[0]->cols % heads == 0, "branch_gate of %lld columns in %lld heads",
          (long long)x[0]->cols, (long long)heads);
    for (int b = 0; b < BRANCHES; b++)
        CHECK(x[b]->rows == gate->rows && x[b]->cols == x[0]->cols && x[b]->type == gate->type,
              "branch_gate of different shapes");
    Node *node = tape_node(tape, &branch_gate_op, (Tensor *[]){gate, x[0], x[1], x[2]}, 1 + BRANCHES);
    Tensor *y = node_output(node, x[0]->rows, x[0]->cols, x[0]->type);
    node_run(node);
    return y;
}
