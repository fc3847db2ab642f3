#include "kernels/tropical/tropical_attention/tropical_attention.h"

#include "base/check.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { Q, K, V, INPUTS };

static int64_t heads_in(const Node *node) { return *(const int64_t *)node->attributes; }

static TropicalArguments arguments_of(const Node *node) {
    Tensor *const *in = node->in;
    const Batch *batch = node->tape->batch;
    const Tensor k = node_joined(node, K), v = node_joined(node, V);
    return (TropicalArguments){.q = heads_of(in[Q]),
                               .k = heads_of(&k),
                               .v = heads_of(&v),
                               .out = heads_of(node->out[0]),
                               .dout = heads_of_gradient(node->out[0]),
                               .dq = heads_of_gradient(in[Q]),
                               .dk = heads_of_gradient(in[K]),
                               .dv = heads_of_gradient(in[V]),
                               .choice = heads_of(node->saved[0]),
                               .position = batch->position,
                               .B = batch->B,
                               .T = batch->T,
                               .heads = heads_in(node),
                               .cols = in[Q]->cols / heads_in(node),
                               .before = tape_tokens_before(node->tape),
                               .key_rows = k.rows / batch->B};
}

static void launch(const Node *node, Kernel kernel, const TropicalArguments *a, int64_t programs) {
    node->tape->device->launch(kernel, node->out[0]->type, (Grid){programs, a->heads, a->B}, a);
}

/* On a GPU there is a program for each token and head, on a CPU one for each block of queries and head. */
static void tropical_attention_forward(Node *node) {
    const TropicalArguments a = arguments_of(node);
    if (node->tape->device->gpu)
        launch(node, KERNEL_tropical_attention, &a, a.T);
    else
        launch(node, KERNEL_tropical_attention_block, &a, blocks_of(a.T, TROPICAL_QUERIES));
}

static void tropical_attention_backward(Node *node) {
    TropicalArguments a = arguments_of(node);
    if (node->tape->device->gpu) {
        if (a.dq.data) launch(node, KERNEL_tropical_queries, &a, a.T);
        if (a.dk.data || a.dv.data) launch(node, KERNEL_tropical_keys, &a, a.T);
    } else {
        a.sums = tape_workspace(node->tape, 2 * a.B * a.heads * a.T * a.cols * (int64_t)sizeof(float));
        launch(node, KERNEL_tropical_gradients, &a, 1);
    }
}

/* Counts, for every pair of tokens and each column, two differences, a sum, and a maximum of each. */
static Work tropical_attention_work(const Node *node) {
    const Tensor *q = node->in[Q];
    const double T = (double)node->tape->batch->T, entries = (double)q->rows * (double)q->cols;
    const double bytes = entries * (4 * (double)dtype_size(q->type) + (double)dtype_size(I32));
    return (Work){6 * entries * (T + 1) / 2, bytes,
                  node_history(node, node->in[K], (int64_t)T) + node_history(node, node->in[V], (int64_t)T)};
}

static const Op tropical_attention_op = {"tropical_attention", false, tropical_attention_forward,
                                         tropical_attention_backward, tropical_attention_work};

Tensor *tropical_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, int64_t heads) {
    CHECK(q->cols % heads == 0 && q->cols / heads <= TROPICAL_COLS, "tropical_attention of %lld columns in %lld heads",
          (long long)q->cols, (long long)heads);
    CHECK(k->cols == q->cols && v->cols == q->cols && k->rows == q->rows && v->rows == q->rows,
          "tropical_attention of different shapes");
    Node *node = tape_node(tape, &tropical_attention_op, (Tensor *[]){q, k, v}, INPUTS);
    Tensor *out = node_output(node, q->rows, q->cols, q->type);
    node_save(node, q->rows, q->cols, I32);
    *(int64_t *)node->attributes = heads;
    node_past(node, 1 << K | 1 << V, 0, INT64_MAX, PAST_JOINED);
    node_run(node);
    return out;
}
