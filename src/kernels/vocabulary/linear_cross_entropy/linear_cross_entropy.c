/* losses[n] = log sum_v e^(x_n . W_v) - x_n . W_label, or 0 for a label of -100; logits may have a bias. A teacher adds
 * the divergence of softmax(x_n W^T) from its own distribution (arXiv 1503.02531).
 *
 * Works in chunks of tokens: logits = x W^T in fp32, the teacher's likewise, then the row kernel, then dx = dlogits W
 * and dW += dlogits^T x. All of this happens in forward, because the gradient of the plain sum of the losses depends on
 * nothing that comes later. So the logits are computed once and never exist as a whole. Hence the weight's gradient
 * must exist before forward (NULL then means frozen), and backward only passes dx on. The node must not be recomputed,
 * which would add dW twice. */
#include "kernels/vocabulary/linear_cross_entropy/linear_cross_entropy.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "kernels/products/bias/bias.h"
#include "tile/rows.h"

/* The approximate size of a chunk's logits. Each chunk reads W, and reads and writes dW, so smaller chunks take longer
 * in all. On a GPU, whose products are faster, chunks are larger: 4096 rows of 32000 words. */
enum { CHUNK_BYTES = 128 << 20, CHUNK_MINIMUM = 128, CHUNK_MAXIMUM = 1024, CHUNK_MULTIPLE = 64 };
enum { CHUNK_BYTES_GPU = 500 << 20, CHUNK_MAXIMUM_GPU = 4096 };
enum { STRIDE_MULTIPLE = 64 }; /* rows of logits are a multiple of this apart, because products need aligned rows */

enum { X, WEIGHT, BIAS, TEACHER_X, TEACHER_WEIGHT, TEACHER_BIAS, INPUTS };

typedef struct LossAttributes {
    LossShape shape;
    float teacher_cap, share;
    Tensor *margins;             /* an output; NULL: not wanted */
    const void *weight_gradient; /* the gradient to which forward added */
} LossAttributes;

static int64_t row_stride(const Tensor *weight) { return blocks_of(weight->rows, STRIDE_MULTIPLE) * STRIDE_MULTIPLE; }

static int64_t chunk_rows(const Tape *tape, int64_t N, int64_t vocabulary) {
    const bool gpu = tape->device->gpu;
    const int64_t maximum = gpu ? CHUNK_MAXIMUM_GPU : CHUNK_MAXIMUM;
    int64_t rows = (gpu ? CHUNK_BYTES_GPU : CHUNK_BYTES) / (4 * vocabulary) / CHUNK_MULTIPLE * CHUNK_MULTIPLE;
    rows = rows < CHUNK_MINIMUM ? CHUNK_MINIMUM : rows > maximum ? maximum : rows;
    return rows < N ? rows : N;
}

/* `rows` rows of the node from `row` on, and the chunk's work memory. */
typedef struct Chunk {
    int64_t row, rows;
    float *logits, *teacher; /* teacher: its logits, or NULL */
    void *dlogits;           /* the logits' memory in fp32; NULL: no gradients */
} Chunk;

static const void *chunk_of(const Tensor *tensor, const Chunk *chunk) {
    return (const char *)tensor->data + chunk->row * tensor->stride * dtype_size(tensor->type);
}

static void chunk_logits(Node *node, const Chunk *chunk, const Tensor *x, const Tensor *weight, float *logits) {
    const Gemm product = {.transpose_b = true,
                          .m = chunk->rows,
                          .n = weight->rows,
                          .k = x->cols,
                          .a = chunk_of(x, chunk),
                          .lda = x->stride,
                          .b = weight->data,
                          .ldb = weight->cols,
                          .c = logits,
                          .ldc = row_stride(weight),
                          .type = x->type,
                          .c_type = F32};
    node->tape->device->gemm(&product);
}

static void chunk_losses(Node *node, const Chunk *chunk) {
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT], *bias = node->in[BIAS];
    const LossAttributes *attributes = (const LossAttributes *)node->attributes;
    const Tensor *margins = attributes->margins;
    chunk_logits(node, chunk, x, weight, chunk->logits);
    CrossEntropyArguments arguments = {.logits = chunk->logits,
                                       .labels = node->tape->batch->labels + chunk->row,
                                       .losses = (float *)node->out[0]->data + chunk->row,
                                       .margins = margins ? (float *)margins->data + chunk->row : NULL,
                                       .gradient = chunk->dlogits,
                                       .bias = bias ? bias->data : NULL,
                                       .rows = chunk->rows,
                                       .cols = weight->rows,
                                       .stride = row_stride(weight),
                                       .pull = attributes->shape.pull,
                                       .cap = attributes->shape.cap,
                                       .smoothing = attributes->shape.smoothing,
                                       .z_loss = attributes->shape.z_loss};
    if (chunk->teacher) {
        chunk_logits(node, chunk, node->in[TEACHER_X], node->in[TEACHER_WEIGHT], chunk->teacher);
        arguments.teacher = chunk->teacher;
        arguments.divergences = (float *)node->out[1]->data + chunk->row;
        arguments.teacher_bias = node->in[TEACHER_BIAS] ? node->in[TEACHER_BIAS]->data : NULL;
        arguments.teacher_cap = attributes->teacher_cap;
        arguments.share = attributes->share;
    }
    const Kernel kernel = chunk->teacher ? KERNEL_cross_entropy_taught : KERNEL_cross_entropy;
    node->tape->device->launch(kernel, x->type, (Grid){chunk->rows, 1, 1}, &arguments);
}

static void add_bias_gradient(Node *node, const Chunk *chunk) {
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT], *bias = node->in[BIAS];
    if (!bias || !bias->gradient) return;
    Arena *scratch = node->tape->scratch;
    const int64_t rows = rows_per_sum(chunk->rows), sums = blocks_of(chunk->rows, rows), mark = arena_mark(scratch);
    const BiasBackwardArguments arguments = {.dy = chunk->dlogits,
                                             .partial =
                                                 tape_workspace(node->tape, sums * weight->rows * dtype_size(F32)),
                                             .rows = chunk->rows,
                                             .cols = weight->rows,
                                             .rows_per_program = rows,
                                             .dy_stride = row_stride(weight)};
    const Grid grid = {sums, blocks_of(weight->rows, WARP_COLS), 1};
    node->tape->device->launch(KERNEL_bias_backward, x->type, grid, &arguments);
    column_sum(node->tape, arguments.partial, sums, bias);
    arena_rewind(scratch, mark);
}

static void chunk_gradients(Node *node, const Chunk *chunk) {
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT], *dx = node->saved[0];
    const Gemm to_x = {.m = chunk->rows,
                       .n = x->cols,
                       .k = weight->rows,
                       .a = chunk->dlogits,
                       .lda = row_stride(weight),
                       .b = weight->data,
                       .ldb = weight->cols,
                       .c = (void *)chunk_of(dx, chunk),
                       .ldc = dx->stride,
                       .type = x->type,
                       .c_type = dx->type};
    node->tape->device->gemm(&to_x);
    add_bias_gradient(node, chunk);
    if (!weight->gradient) return;
    const Gemm to_weight = {.transpose_a = true,
                            .accumulate = true,
                            .m = weight->rows,
                            .n = x->cols,
                            .k = chunk->rows,
                            .a = chunk->dlogits,
                            .lda = row_stride(weight),
                            .b = chunk_of(x, chunk),
                            .ldb = x->stride,
                            .c = weight->gradient,
                            .ldc = weight->cols,
                            .type = x->type,
                            .c_type = F32};
    node->tape->device->gemm(&to_weight);
}

static void linear_cross_entropy_forward(Node *node) {
    Tape *tape = node->tape;
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT];
    const int64_t rows = chunk_rows(tape, x->rows, weight->rows), logits = rows * row_stride(weight);
    Chunk chunk = {.logits = tape_workspace(tape, logits * (int64_t)sizeof(float))};
    if (node->in[TEACHER_X]) chunk.teacher = tape_workspace(tape, logits * (int64_t)sizeof(float));
    if (tape->recording)
        chunk.dlogits = x->type == F32 ? chunk.logits : tape_workspace(tape, logits * dtype_size(x->type));
    for (; chunk.row < x->rows; chunk.row += rows) {
        chunk.rows = x->rows - chunk.row < rows ? x->rows - chunk.row : rows;
        chunk_losses(node, &chunk);
        if (tape->recording) chunk_gradients(node, &chunk);
    }
    ((LossAttributes *)node->attributes)->weight_gradient = weight->gradient;
}

static void linear_cross_entropy_backward(Node *node) {
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT], *dx = node->saved[0];
    CHECK(weight->gradient == ((LossAttributes *)node->attributes)->weight_gradient,
          "the gradient of the head must exist before the loss is computed");
    if (!x->gradient) return;
    const int64_t size = dtype_size(x->type);
    node->tape->device->copy(x->gradient, x->stride * size, dx->data, dx->stride * size, x->rows, x->cols * size);
}

/* In training, this work is counted three times. The teacher's product is made only once, hence the division by 3. */
static Work linear_cross_entropy_work(const Node *node) {
    const Tensor *x = node->in[X], *weight = node->in[WEIGHT], *teacher = node->in[TEACHER_X];
    const double N = (double)x->rows, V = (double)weight->rows, size = (double)dtype_size(x->type);
    const double h = (double)x->cols + (teacher ? (double)teacher->cols / 3 : 0);
    return (Work){2 * N * h * V, (N * h + h * V) * size, 0};
}

static const Op linear_cross_entropy_op = {"linear_cross_entropy", false, linear_cross_entropy_forward,
                                           linear_cross_entropy_backward, linear_cross_entropy_work};

static void check_head(const Tensor *x, const Tensor *weight) {
    CHECK(weight->cols == x->cols && weight->stride == weight->cols && weight->type == x->type,
          "cross-entropy: a head of %lld columns for an input of %lld", (long long)weight->cols, (long long)x->cols);
}

Tensor *linear_cross_entropy(Tape *tape, Tensor *x, Tensor *weight, Tensor *bias, LossShape shape,
                             const LossTeacher *teacher, Tensor **divergences, Tensor **margins) {
    Tensor *in[INPUTS] = {x, weight, bias};
    LossAttributes attributes = {.shape = shape};
    check_head(x, weight);
    if (teacher) {
        check_head(teacher->x, teacher->weight);
        CHECK(teacher->x->rows == x->rows && teacher->weight->rows == weight->rows && teacher->x->type == x->type,
              "cross-entropy: a teacher of %lld words for %lld", (long long)teacher->weight->rows,
              (long long)weight->rows);
        in[TEACHER_X] = teacher->x;
        in[TEACHER_WEIGHT] = teacher->weight;
        in[TEACHER_BIAS] = teacher->bias;
        attributes.teacher_cap = teacher->cap;
        attributes.share = teacher->share;
    }
    Node *node = tape_node(tape, &linear_cross_entropy_op, in, INPUTS);
    node->in_scratch = !tape->recording;
    node->gradients_in_forward = tape->recording;
    Tensor *losses = node_output(node, x->rows, 1, F32);
    if (teacher) *divergences = node_output(node, x->rows, 1, F32);
    if (margins) *margins = attributes.margins = node_output(node, x->rows, 1, F32);
    *(LossAttributes *)node->attributes = attributes;
    if (tape->recording) node_save(node, x->rows, x->cols, x->type);
    node_run(node);
    return losses;
}
