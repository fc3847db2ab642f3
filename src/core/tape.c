#include "core/tape.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "core/add.h"
#include "core/past.h"
#include "tile/rows.h"

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
    tape->carried = NULL;
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

Tensor *node_output_carried(Node *node, int64_t rows, int64_t cols, DType type) {
    Tape *tape = node->tape;
    Tensor *out = node_output(node, rows, cols, type);
    if (!tape->carried) return out;
    out->base = new_tensor(tape, rows, cols, type);
    out->base->data = carried_state(tape->carried, tensor_bytes(out) / tape->batch->B, 0);
    return out;
}

Tensor *node_save(Node *node, int64_t rows, int64_t cols, DType type) {
    CHECK(node->saved_count < NODE_SAVED, "%s saves too many tensors", node->op->name);
    return node->saved[node->saved_count++] = new_tensor(node->tape, rows, cols, type);
}

void node_state(Node *node, int input, int64_t rows, int64_t cols, int nothing, Tensor **final) {
    Tape *tape = node->tape;
    node->carries = tape->carried && !node->in[input];
    node->state = input;
    if (node->carries) {
        Tensor *state = node->in[input] = new_tensor(tape, rows, cols, F32);
        state->data = carried_state(tape->carried, tensor_bytes(state) / tape->batch->B, nothing);
        state->constant = true;
    }
    if (!final && !node->carries) return;
    Tensor *left = node_output(node, rows, cols, F32);
    if (final) *final = left;
}

/* If several ops read rows of a tensor again, the first that needs all rows remembers them for the ops after it. */
static void remember(Node *node, int input, int64_t rows) {
    Tensor *x = node->remembers[input] ? node->remembers[input] : node->in[input];
    node->remembers[input] = x->carried ? NULL : x;
    node->past[input] =
        x->carried ? x->carried : carried_rows(node->tape->carried, rows, x->cols * dtype_size(x->type));
    if (rows == INT64_MAX) x->carried = node->past[input];
}

void node_past(Node *node, unsigned reads, unsigned skips, int64_t rows, PastForm form) {
    if (!node->tape->carried) return;
    node->skips |= rows == 0 ? reads | skips : skips;
    if (rows == 0) return;
    CHECK(form != PAST_JOINED || rows == INT64_MAX, "%s joins rows that are forgotten", node->op->name);
    node->past_form = form;
    if (rows > node->past_rows) node->past_rows = rows;
    node->reads |= reads;
    for (int i = 0; i < node->inputs; i++)
        if (node->in[i] && reads >> i & 1) remember(node, i, rows);
}

void node_past_of(Node *node, int input, Tensor *made) {
    if (node->tape->carried) node->remembers[input] = made;
}

const CarriedRows *node_rows(Node *node, int input, int64_t row_bytes) {
    if (!node->tape->carried) return NULL;
    return node->past[input] = carried_rows(node->tape->carried, INT64_MAX, row_bytes);
}

Tensor node_joined(const Node *node, int input) {
    const Tensor *x = node->in[input];
    const CarriedRows *rows = node->past[input];
    return rows ? tensor_of(rows->data, node->tape->batch->B * rows->capacity, x->cols, x->type) : *x;
}

int64_t tape_tokens_before(const Tape *tape) { return tape->carried ? carried_tokens(tape->carried) : 0; }
int64_t tape_tokens(const Tape *tape) { return tape_tokens_before(tape) + tape->batch->T; }
int64_t tape_tokens_limit(const Tape *tape) { return tape->carried ? carried_limit(tape->carried) : tape->batch->T; }

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

/* Copies `rows` rows of `bytes` bytes of each sequence. Distances in bytes: to_part and from_part between sequences,
 * to_row and from_row between rows. */
static void copy_rows(const Tape *tape, char *to, int64_t to_part, const char *from, int64_t from_part, int64_t rows,
                      int64_t to_row, int64_t from_row, int64_t bytes) {
    if (rows == 1) tape->device->copy(to, to_part, from, from_part, tape->batch->B, bytes);
    for (int64_t b = 0; b < tape->batch->B && rows > 1; b++)
        tape->device->copy(to + b * to_part, to_row, from + b * from_part, from_row, rows, bytes);
}

static Batch batch_with_past(Tape *tape, int64_t past) {
    Batch batch = {.B = tape->batch->B, .T = past + tape->batch->T, .past = past};
    const int64_t bytes = batch.B * batch.T * (int64_t)sizeof(int32_t);
    const PastTokensArguments arguments = {.segment = tape->batch->segment,
                                           .position = tape->batch->position,
                                           .all_segments = tape_workspace(tape, bytes),
                                           .all_positions = tape_workspace(tape, bytes),
                                           .T = tape->batch->T,
                                           .past = past};
    tape->device->launch(KERNEL_past_tokens, tape->type, (Grid){blocks_of(batch.T, PAST_TOKENS), batch.B, 1},
                         &arguments);
    batch.segment = arguments.all_segments;
    batch.position = arguments.all_positions;
    return batch;
}

/* Workspace with `past` old rows of each sequence, then the rows of x. The old rows are those remembered in `rows`,
 * with zeros in front if there are fewer than `past`. If `rows` is NULL, only the last `zeros` old rows are set, to
 * 0. */
static Tensor with_past(Tape *tape, const CarriedRows *rows, const Tensor *x, int64_t past, int64_t zeros) {
    const int64_t T = tape->batch->T, size = dtype_size(x->type), row = x->cols * size, part = (past + T) * row;
    Tensor all = tensor_of(tape_workspace(tape, tape->batch->B * part), tape->batch->B * (past + T), x->cols, x->type);
    const int64_t left = !rows ? 0 : past < rows->capacity ? past : rows->capacity, first = past - left;
    if (rows) zeros = first;
    if (zeros > 0) tape->device->fill((char *)all.data + (first - zeros) * row, 0, tape->batch->B, zeros * row, part);
    if (rows) carried_read(tape->carried, rows, left, (char *)all.data + first * row, part);
    copy_rows(tape, (char *)all.data + past * row, part, x->data, T * x->stride * size, T, row, x->stride * size, row);
    return all;
}

/* While forward runs, lets an output have the old rows too, in workspace. Returns its own memory, for `shorten`. */
static void *lengthen(Tape *tape, Tensor *x, int64_t past) {
    void *const data = x->data;
    x->rows += tape->batch->B * past;
    x->data = x->base ? column_of(x->base->data, x) : tape_workspace(tape, tensor_bytes(x));
    return data;
}

static void shorten(const Tape *tape, Tensor *x, int64_t past, void *data) {
    const int64_t T = tape->batch->T, row = x->stride * dtype_size(x->type);
    if (!x->base) copy_rows(tape, data, T * row, (char *)x->data + past * row, (past + T) * row, T, row, row, row);
    x->rows -= tape->batch->B * past;
    x->data = data;
}

static bool is_of_tokens(const Tape *tape, const Tensor *x) { return x->rows == tape->batch->B * tape->batch->T; }

/* Runs forward over `past` rows of earlier calls and the new rows. */
static void run_with_past(Node *node, int64_t past) {
    Tape *tape = node->tape;
    const Batch *batch = tape->batch, all = batch_with_past(tape, past);
    Tensor input[NODE_INPUTS], *in[NODE_INPUTS], *made[NODE_OUTPUTS + NODE_SAVED];
    void *data[NODE_OUTPUTS + NODE_SAVED];
    const int64_t zeros = node->past_form == PAST_IN_BLOCKS ? past % PAST_BLOCK : past;
    int count = 0;
    memcpy(in, node->in, sizeof in);
    for (int i = 0; i < node->inputs; i++) {
        if (!in[i] || !((node->reads | node->skips) >> i & 1)) continue;
        input[i] = with_past(tape, node->reads >> i & 1 ? node->past[i] : NULL, in[i], past, zeros);
        node->in[i] = &input[i];
    }
    for (int i = 0; i < node->outputs; i++)
        if (is_of_tokens(tape, node->out[i])) made[count++] = node->out[i];
    for (int i = 0; i < node->saved_count; i++)
        if (is_of_tokens(tape, node->saved[i])) made[count++] = node->saved[i];
    for (int i = 0; i < count; i++) data[i] = lengthen(tape, made[i], past);
    tape->batch = &all;
    node->op->forward(node);
    tape->batch = batch;
    for (int i = 0; i < count; i++) shorten(tape, made[i], past, data[i]);
    memcpy(node->in, in, sizeof in);
}

int64_t node_past_tokens(const Node *node) {
    const int64_t before = node->past_rows > 0 ? carried_tokens(node->tape->carried) : 0;
    return before < node->past_rows ? before : node->past_rows;
}

/* Appends the new rows to those of earlier calls. */
static void remember_rows(const Node *node) {
    const Tape *tape = node->tape;
    for (int i = 0; i < node->inputs; i++) {
        const Tensor *x = node->remembers[i];
        if (x) carried_write(tape->carried, node->past[i], x->data, x->stride * dtype_size(x->type), tape->batch->T);
    }
}

/* Stores the state that the next call begins with. */
static void carry_state(const Node *node) {
    if (!node->carries) return;
    const Tensor *left = node->out[node->outputs - 1];
    node->tape->device->copy(node->in[node->state]->data, 0, left->data, 0, 1, tensor_bytes(left));
}

static void run_forward(Node *node) {
    const bool joined = node->past_form == PAST_JOINED;
    const int64_t past = joined || node->past_form == PAST_READ ? 0 : node_past_tokens(node);
    if (joined) remember_rows(node);
    if (past > 0)
        run_with_past(node, past);
    else
        node->op->forward(node);
    if (!joined) remember_rows(node);
    carry_state(node);
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
    run_forward(node);
    node->has_run = true;
    arena_rewind(tape->scratch, mark);
    const Work work = node->op->work ? node->op->work(node) : (Work){0, 0, 0};
    tape->work.flops += work.flops;
    tape->work.bytes += work.bytes;
    tape->work.state += work.state;
    if (!tape->profile) return;
    OpProfile *op = profile_op(tape->profile, node->op->name);
    op->gradients_in_forward = node->gradients_in_forward;
    op->forward_seconds += stop_clock(tape, start);
    op->forward_runs++;
    op->flops += work.flops;
    op->bytes += work.bytes;
}

void *tape_workspace(Tape *tape, int64_t bytes) { return arena_push(tape->scratch, bytes); }

bool node_is_one_token(const Node *node) { return node->tape->carried && node->tape->batch->T == 1; }

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

/* An output that no op uses has a zero gradient. Indices (I32) have no gradient. */
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
    if (in->base || in->stride != from->stride) { /* the gradient's place or layout is fixed */
        node->tape->device->copy(in->gradient, in->stride * size, from->gradient, from->stride * size, in->rows,
                                 in->cols * size);
        return;
    }
    in->gradient = from->gradient;
    in->shared = from->shared = true;
}

/* Whether an input is an activation that gets a gradient. Constants and indices (I32) get none. */
static bool has_gradient(const Tensor *in) { return in && !in->parameter && !in->constant && in->type != I32; }

/* Runs one node's backward. If an input already has a gradient from another use, the new one goes to new memory and the
 * two are added. */
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
