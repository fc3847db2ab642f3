#include "kernels/convolution/token_mix/token_mix.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

/* Inputs: x, the offset (may be NULL), then mu for each output. */
enum { X, OFFSET, MU };

static int64_t cols_per_program(const Node *node) {
    return node->tape->device->gpu ? TOKEN_MIX_COLS : TOKEN_MIX_CPU_COLS;
}

static Grid grid_of(const Node *node) {
    const Tensor *x = node->in[X];
    return (Grid){blocks_of(x->cols, cols_per_program(node)), blocks_of(x->rows, TOKEN_MIX_ROWS), 1};
}

static void token_mix_forward(Node *node) {
    const Tensor *x = node->in[X], *offset = node->in[OFFSET];
    TokenMixArguments arguments = {
        .x = x->data,
        .offset = offset ? offset->data : NULL,
        .position = node->tape->batch->position,
        .rows = x->rows,
        .cols = x->cols,
        .cols_per_program = cols_per_program(node),
        .count = node->outputs,
        .x_stride = x->stride,
        .out_stride = node->out[0]->stride,
        .parameters = node->in[MU]->parameter,
    };
    for (int i = 0; i < node->outputs; i++) {
        arguments.mu[i] = node->in[MU + i]->data;
        arguments.mu_stride[i] = node->in[MU + i]->stride;
        arguments.out[i] = node->out[i]->data;
    }
    node->tape->device->launch(KERNEL_token_mix, x->type, grid_of(node), &arguments);
}

static void token_mix_backward(Node *node) {
    const Tensor *x = node->in[X], *offset = node->in[OFFSET];
    const bool parameters = node->in[MU]->parameter;
    const int64_t count = node->outputs, sums = parameters || offset ? grid_of(node).y : 0;
    TokenMixBackwardArguments arguments = {
        .x = x->data,
        .offset = offset ? offset->data : NULL,
        .position = node->tape->batch->position,
        .dx = x->gradient,
        .partial = sums ? tape_workspace(node->tape, sums * count * x->cols * dtype_size(F32)) : NULL,
        .rows = x->rows,
        .cols = x->cols,
        .cols_per_program = cols_per_program(node),
        .count = count,
        .x_stride = x->stride,
        .out_stride = node->out[0]->stride,
        .parameters = parameters,
    };
    for (int i = 0; i < count; i++) {
        arguments.mu[i] = node->in[MU + i]->data;
        arguments.mu_stride[i] = node->in[MU + i]->stride;
        arguments.dmu[i] = parameters ? NULL : node->in[MU + i]->gradient;
        arguments.dout[i] = node->out[i]->gradient;
    }
    node->tape->device->launch(KERNEL_token_mix_backward, x->type, grid_of(node), &arguments);
    if (parameters)
        column_sums(node->tape, arguments.partial, sums, node->in + MU, (int)count);
    else if (offset)
        column_sum(node->tape, arguments.partial, sums, offset);
}

static Work token_mix_work(const Node *node) {
    const Tensor *x = node->in[X];
    const double n = (double)x->rows * (double)x->cols, count = node->outputs;
    const double matrices = 1 + count * (node->in[MU]->parameter ? 1 : 2);
    return (Work){3 * count * n, matrices * n * (double)dtype_size(x->type), node_history(node, node->in[X], 1)};
}

static const Op token_mix_op = {"token_mix", true, token_mix_forward, token_mix_backward, token_mix_work};

static void check_mu(const Tensor *x, const Tensor *mu, bool parameter) {
    CHECK(mu->parameter == parameter, "token_mix of parameters and activations");
    CHECK(mu->type == x->type, "token_mix of different types");
    CHECK(parameter ? mu->rows * mu->cols == x->cols : mu->rows == x->rows && mu->cols == x->cols,
          "token_mix of %lld columns with a mu of another shape", (long long)x->cols);
}

void token_mix(Tape *tape, Tensor *x, Tensor *const mu[], Tensor *offset, int count, Tensor *out[]) {
    CHECK(count >= 1 && count <= TOKEN_MIX_MOST, "token_mix has %d outputs, at most %d", count, TOKEN_MIX_MOST);
    CHECK(!offset || (offset->rows * offset->cols == count * x->cols && !mu[0]->parameter),
          "token_mix with an offset of another shape, or beside parameters");
    Tensor *in[MU + TOKEN_MIX_MOST] = {x, offset};
    for (int i = 0; i < count; i++) {
        check_mu(x, mu[i], mu[0]->parameter);
        in[MU + i] = mu[i];
    }
    Node *node = tape_node(tape, &token_mix_op, in, MU + count);
    for (int i = 0; i < count; i++) out[i] = node_output(node, x->rows, x->cols, x->type);
    node_past(node, 1 << X, mu[0]->parameter ? 0 : ((1u << count) - 1) << MU, 1, PAST_IN_FRONT);
    node_run(node);
}
