#include "core/tape.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "core/add.h"

void tape_begin(Tape *tape, const Device *device, Arena *keep, Arena *scratch, DType type, const Batch *batch,
                bool recording, Recompute recompute) {
    tape->device = device;
    tape->keep = keep;
    tape->scratch = scratch;
    tape->type = type;
    tape->batch = batch;
    tape->recording = recording;
    tape->recompute = recompute;
    tape->work = (Work){0, 0, 0};
    tape->profile = NULL;
    tape->handed_on = NULL;
    tape->hands_on = NULL;
    tape->nodes = tape->tensors = 0;
}

Tensor tensor_of(void *data, int64_t rows, int64_t cols, DType type) {
    return (Tensor){.data = data, .rows = rows, .cols = cols, .stride = cols, .type = type};
}

static Tensor *new_tensor(Tape *tape, int64_t rows, int64_t cols, DType type) {
    CHECK(tape->tensors < TAPE_TENSORS, "a block has more than %d tensors", TAPE_TENSORS);
    Tensor *tensor = &tape->tensor[tape->tensors++];
    *tensor = tensor_of(NULL, rows, cols, type);
    return tensor;
}

static bool lives_in_scratch(const Tape *tape, const Op *op) {
    return !tape->recording || tape->recompute == RECOMPUTE_FULL ||
           (tape->recompute == RECOMPUTE_SELECTIVE && op->cheap);
}

Node *tape_node(Tape *tape, const Op *op, Tensor *const in[], int inputs) {
    CHECK(tape->nodes < TAPE_NODES, "a block has more than %d ops", TAPE_NODES);
    CHECK(inputs <= NODE_INPUTS, "%s has %d inputs", op->name, inputs);
    Node *node = &tape->node[tape->nodes++];
    memset(node, 0, sizeof *node);
    node->op = op;
    node->tape = tape;
    node->inputs = inputs;
    for (int i = 0; i < inputs; i++) node->in[i] = in[i];
    node->in_scratch = lives_in_scratch(tape, op);
    return node;
}

Tensor *node_output(Node *node, int64_t rows, int64_t cols, DType type) {
    CHECK(node->outputs < NODE_OUTPUTS, "%s has too many outputs", node->op->name);
    return node->out[node->outputs++] = new_tensor(node->tape, rows, cols, type);
}

Tensor *node_output_view(Node *node, Tensor *base, int64_t column, int64_t cols) {
    Tensor *view = node_output(node, base->rows, cols, base->type);
    view->base = base;
    view->column = column;
    view->stride = base->stride;
    base->has_views = true;
    return view;
}

Tensor *node_save(Node *node, int64_t rows, int64_t cols, DType type) {
    CHECK(node->saved_count < NODE_SAVED, "%s saves too many tensors", node->op->name);
    return node->saved[node->saved_count++] = new_tensor(node->tape, rows, cols, type);
}

static void *column_of(void *data, const Tensor *view) { return (char *)data + view->column * dtype_size(view->type); }

static double start_clock(const Tape *tape) {
    if (!tape->profile) return 0;
    tape->device->synchronize();
    return seconds_now();
}

static double stop_clock(const Tape *tape, double start) {
    tape->device->synchronize();
    return seconds_now() - start;
}

void node_run(Node *node) {
    Tape *tape = node->tape;
    Arena *arena = node->in_scratch ? tape->scratch : tape->keep;
    for (int i = 0; i < node->outputs; i++) {
        Tensor *out = node->out[i];
        out->data = out->base ? column_of(out->base->data, out) : arena_push(arena, tensor_bytes(out));
    }
    for (int i = 0; i < node->saved_count; i++) node->saved[i]->data = arena_push(arena, tensor_bytes(node->saved[i]));
    const int64_t mark = arena_mark(tape->scratch);
    const double start = start_clock(tape);
    node->op->forward(node);
    node->has_run = true;
    arena_rewind(tape->scratch, mark);
    const Work work = node->op->work ? node->op->work(node) : (Work){0, 0, 0};
    tape->work.flops += work.flops;
    tape->work.bytes += work.bytes;
    tape->work.state += work.state;
    if (!tape->profile) return;
    OpProfile *op = profile_op(tape->profile, node->op->name);
    op->forward_seconds += stop_clock(tape, start);
    op->forward_runs++;
    op->flops += work.flops;
    op->bytes += work.bytes;
}

void *tape_workspace(Tape *tape, int64_t bytes) { return arena_push(tape->scratch, bytes); }

bool node_keeps(const Node *node) { return !node->in_scratch && node->tape->recompute == RECOMPUTE_NONE; }

void *node_workspace(Node *node, int64_t bytes) {
    if (!node_keeps(node)) return tape_workspace(node->tape, bytes);
    if (node->has_run) {
        CHECK(node->kept_taken < node->kept_count, "%s: backward asks for what forward did not make", node->op->name);
        return node->kept[node->kept_taken++];
    }
    CHECK(node->kept_count < NODE_KEPT, "%s keeps too much", node->op->name);
    return node->kept[node->kept_count++] = arena_push(node->tape->keep, bytes);
}

double node_history(const Node *node, Tensor *x, int64_t rows) {
    const int64_t T = node->tape->batch->T, kept = rows < T ? rows : T;
    const int64_t more = kept > x->history ? kept - x->history : 0;
    x->history += more;
    return (double)(more * x->cols * dtype_size(x->type));
}

void tape_rematerialise(Tape *tape) {
    for (int i = 0; i < tape->nodes; i++)
        if (tape->node[i].in_scratch) node_run(&tape->node[i]);
}

void tape_seed_gradient(Tensor *tensor, void *gradient) {
    tensor->gradient = gradient;
    tensor->touched = true;
}

/* Memory for the gradient of an activation, laid out like the activation. */
static void give_gradient(Tape *tape, Tensor *tensor) {
    if (tensor->base) {
        give_gradient(tape, tensor->base);
        tensor->gradient = column_of(tensor->base->gradient, tensor);
    } else if (!tensor->gradient) {
        tensor->gradient = arena_push(tape->scratch, tensor_bytes(tensor));
    }
}

static void zero_gradient(Tape *tape, Tensor *tensor) {
    const int64_t size = dtype_size(tensor->type);
    tape->device->fill(tensor->gradient, 0, tensor->rows, tensor->cols * size, tensor->stride * size);
    tensor->touched = true;
}

/* An output without a use has a zero gradient, an index none. */
static void complete_output_gradients(Node *node) {
    for (int i = 0; i < node->outputs; i++) {
        Tensor *out = node->out[i];
        if (out->touched || out->has_views || out->type == I32) continue;
        give_gradient(node->tape, out);
        zero_gradient(node->tape, out);
    }
}

static void add_gradient(Tape *tape, Tensor *tensor, const void *first, const void *second) {
    const AddArguments arguments = {.x = first,
                                    .y = second,
                                    .z = tensor->gradient,
                                    .rows = tensor->rows,
                                    .cols = tensor->cols,
                                    .x_stride = tensor->stride,
                                    .y_stride = tensor->stride,
                                    .z_stride = tensor->stride};
    add_launch(tape->device, tensor->type, &arguments);
}

void node_share_gradient(Node *node, int input, Tensor *from) {
    Tensor *in = node->in[input];
    CHECK(in->rows == from->rows && in->cols == from->cols && in->type == from->type,
          "%s shares the gradient of tensors of different shape", node->op->name);
    const int64_t size = dtype_size(in->type);
    if (in->base || in->stride != from->stride) { /* a range of columns of another tensor's gradient: cannot move */
        node->tape->device->copy(in->gradient, in->stride * size, from->gradient, from->stride * size, in->rows,
                                 in->cols * size);
        return;
    }
    in->gradient = from->gradient;
    in->shared = from->shared = true;
}

/* Whether an input is an activation that gets a gradient: an index has none. */
static bool has_gradient(const Tensor *in) { return in && !in->parameter && !in->constant && in->type != I32; }

/* Runs one node's backward. Each input's gradient goes to new memory and is added to the gradient it already has. */
static void node_backward(Node *node) {
    Tape *tape = node->tape;
    bool had_one[NODE_INPUTS] = {false};
    void *before[NODE_INPUTS] = {0};
    complete_output_gradients(node);
    for (int i = 0; i < node->inputs; i++) {
        Tensor *in = node->in[i];
        if (!has_gradient(in)) continue;
        if (in->touched) {
            had_one[i] = true;
            before[i] = in->gradient;
            in->gradient = arena_push(tape->scratch, tensor_bytes(in));
        } else {
            give_gradient(tape, in);
        }
    }
    const int64_t mark = arena_mark(tape->scratch);
    const double start = start_clock(tape);
    node->op->backward(node);
    arena_rewind(tape->scratch, mark);
    if (tape->profile) {
        OpProfile *op = profile_op(tape->profile, node->op->name);
        op->backward_seconds += stop_clock(tape, start);
        op->backward_runs++;
    }
    for (int i = 0; i < node->inputs; i++) {
        Tensor *in = node->in[i];
        if (!has_gradient(in)) continue;
        if (had_one[i]) {
            const void *added = in->gradient;
            if (!in->shared)
                in->gradient = before[i];
            else
                in->gradient = arena_push(tape->scratch, tensor_bytes(in));
            add_gradient(tape, in, before[i], added);
            in->shared = false;
        }
        in->touched = true;
    }
}

void tape_backward(Tape *tape) {
    for (int i = tape->nodes - 1; i >= 0; i--) node_backward(&tape->node[i]);
}
