#include "kernels/gates/activation/activation.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct ActivationAttributes {
    Activation kind;
    float factor;
} ActivationAttributes;

/* Rows may be short, with one number per head. So a program has up to 128 of them, one for each thread of a GPU. */
static int64_t rows_of_program(int64_t cols) { return rows_per_program(cols) < 128 ? rows_per_program(cols) : 128; }

static void forward(Node *node, Kernel kernel) {
    const ActivationAttributes *attributes = (const ActivationAttributes *)node->attributes;
    const Tensor *x = node->in[0], *y = node->out[0];
    const ActivationArguments arguments = {
        .x = x->data,
        .y = y->data,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_of_program(x->cols),
        .x_stride = x->stride,
        .y_stride = y->stride,
        .kind = attributes->kind,
        .factor = attributes->factor,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, x->type, grid, &arguments);
}

static void backward(Node *node, Kernel kernel) {
    const ActivationAttributes *attributes = (const ActivationAttributes *)node->attributes;
    const Tensor *x = node->in[0], *y = node->out[0];
    const ActivationBackwardArguments arguments = {
        .x = x->data,
        .dy = y->gradient,
        .dx = x->gradient,
        .rows = x->rows,
        .cols = x->cols,
        .rows_per_program = rows_of_program(x->cols),
        .x_stride = x->stride,
        .dy_stride = y->stride,
        .kind = attributes->kind,
        .factor = attributes->factor,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(kernel, x->type, grid, &arguments);
}

static void activation_forward(Node *node) { forward(node, KERNEL_activation); }
static void activation_backward(Node *node) { backward(node, KERNEL_activation_backward); }
static void sigmoid_gate_forward(Node *node) { forward(node, KERNEL_sigmoid_gate); }
static void sigmoid_gate_backward(Node *node) { backward(node, KERNEL_sigmoid_gate_backward); }

static void exponential_decay_forward(Node *node) { forward(node, KERNEL_exponential_decay); }
static void exponential_decay_backward(Node *node) { backward(node, KERNEL_exponential_decay_backward); }

static Work work(const Node *node) {
    const Tensor *x = node->in[0], *y = node->out[0];
    const double n = (double)y->rows * (double)y->cols;
    return (Work){4 * n, n * (double)(dtype_size(x->type) + dtype_size(y->type)), 0};
}

static const Op activation_op = {"activation", true, activation_forward, activation_backward, work};
static const Op sigmoid_gate_op = {"sigmoid_gate", true, sigmoid_gate_forward, sigmoid_gate_backward, work};
static const Op exponential_decay_op = {"exponential_decay", true, exponential_decay_forward,
                                        exponential_decay_backward, work};

static Tensor *record(Tape *tape, const Op *op, Tensor *x, DType type, ActivationAttributes attributes) {
    Node *node = tape_node(tape, op, (Tensor *[]){x}, 1);
    Tensor *y = node_output(node, x->rows, x->cols, type);
    *(ActivationAttributes *)node->attributes = attributes;
    node_run(node);
    return y;
}

Tensor *activation(Tape *tape, Tensor *x, Activation kind) {
    CHECK(kind >= 0 && kind < ACTIVATIONS, "there is no activation %d", (int)kind);
    return record(tape, &activation_op, x, x->type, (ActivationAttributes){.kind = kind});
}

Tensor *sigmoid_gate(Tape *tape, Tensor *x, float factor) {
    return record(tape, &sigmoid_gate_op, x, F32, (ActivationAttributes){.factor = factor});
}

Tensor *exponential_decay(Tape *tape, Tensor *x) {
    return record(tape, &exponential_decay_op, x, F32, (ActivationAttributes){0});
}
