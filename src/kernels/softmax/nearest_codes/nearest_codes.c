#include "kernels/softmax/nearest_codes/nearest_codes.h"

#include "base/check.h"
#include "kernels/basic/column_sum/column_sum.h"
#include "kernels/ops.h"
#include "tile/rows.h"

enum { K, C_SUM, C_COUNT, INPUTS }; /* inputs */
enum { Y, INDEX, ERROR, CODES };    /* outputs */

/* The kernels are compiled for a few head sizes. A head uses those for the smallest size that it fits into. */
typedef struct CodesKernels {
    int64_t head_dim;
    Kernel nearest, statistics;
} CodesKernels;

static const CodesKernels codes_kernels[] = {
    {32, KERNEL_nearest_codes_32, KERNEL_nearest_codes_statistics_32},
    {64, KERNEL_nearest_codes_64, KERNEL_nearest_codes_statistics_64},
    {128, KERNEL_nearest_codes_128, KERNEL_nearest_codes_statistics_128},
    {256, KERNEL_nearest_codes_256, KERNEL_nearest_codes_statistics_256},
};
enum { HEAD_SIZES = sizeof codes_kernels / sizeof codes_kernels[0] };

static const CodesKernels *kernels_for(int64_t head_dim) {
    for (int i = 0; i < HEAD_SIZES; i++)
        if (head_dim <= codes_kernels[i].head_dim) return &codes_kernels[i];
    CHECK(false, "nearest_codes has no kernel for heads of %lld", (long long)head_dim);
}

/* At most about 64 parts, because their sums take memory and 64 give a GPU enough programs. */
static int64_t rows_of_part(int64_t rows) {
    const int64_t least = blocks_of(rows, 64 * CODE_TOKENS) * CODE_TOKENS;
    return least > STATISTICS_PART ? least : STATISTICS_PART;
}

static NearestCodesArguments arguments_of(const Node *node) {
    const Tensor *k = node->in[K], *c_count = node->in[C_COUNT], *y = node->out[Y];
    const int64_t heads = node->out[INDEX]->cols;
    return (NearestCodesArguments){.k = heads_of(k),
                                   .y = heads_of(y),
                                   .dy = heads_of_gradient(y),
                                   .dk = heads_of_gradient(k),
                                   .c_sum = node->in[C_SUM]->data,
                                   .c_count = c_count->data,
                                   .code = node->out[CODES]->data,
                                   .index = node->out[INDEX]->data,
                                   .error = node->out[ERROR]->data,
                                   .derror = node->out[ERROR]->gradient,
                                   .rows = k->rows,
                                   .heads = heads,
                                   .codes = c_count->rows * c_count->cols / heads,
                                   .head_dim = k->cols / heads,
                                   .rows_of_part = rows_of_part(k->rows)};
}

static void nearest_codes_forward(Node *node) {
    const Device *device = node->tape->device;
    const DType type = node->out[Y]->type;
    NearestCodesArguments a = arguments_of(node);
    const int64_t codes = a.heads * a.codes;
    a.square = tape_workspace(node->tape, codes * dtype_size(F32));
    a.rows_per_program = rows_per_program(a.head_dim);
    device->launch(KERNEL_nearest_codes_codebook, type, (Grid){blocks_of(codes, a.rows_per_program), 1, 1}, &a);
    device->launch(kernels_for(a.head_dim)->nearest, type, (Grid){blocks_of(a.rows, CODE_TOKENS), a.heads, 1}, &a);
    a.rows_per_program = rows_per_program(a.heads * a.head_dim);
    device->launch(KERNEL_nearest_codes_quantise, type, (Grid){blocks_of(a.rows, a.rows_per_program), 1, 1}, &a);
}

static void add_statistics(Node *node, NearestCodesArguments a) {
    const int64_t parts = blocks_of(a.rows, a.rows_of_part), codes = a.heads * a.codes;
    a.sums = tape_workspace(node->tape, parts * codes * a.head_dim * dtype_size(F32));
    a.labels = node->tape->batch->labels;
    a.counts = tape_workspace(node->tape, parts * codes * dtype_size(F32));
    const Grid grid = {blocks_of(a.codes, CODE_ROWS), a.heads, parts};
    node->tape->device->launch(kernels_for(a.head_dim)->statistics, node->out[Y]->type, grid, &a);
    column_sum(node->tape, a.sums, parts, node->in[C_SUM]);
    column_sum(node->tape, a.counts, parts, node->in[C_COUNT]);
}

static void nearest_codes_backward(Node *node) {
    NearestCodesArguments a = arguments_of(node);
    a.rows_per_program = rows_per_program(a.heads * a.head_dim);
    const Grid grid = {blocks_of(a.rows, a.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_nearest_codes_backward, node->out[Y]->type, grid, &a);
    if (node->in[C_SUM]->gradient || node->in[C_COUNT]->gradient) add_statistics(node, a);
}

/* Counts the product of keys and codes. */
static Work nearest_codes_work(const Node *node) {
    const Tensor *k = node->in[K], *c_sum = node->in[C_SUM];
    const double codes =
        (double)node->in[C_COUNT]->rows * (double)node->in[C_COUNT]->cols / (double)node->out[INDEX]->cols;
    const double entries = 2 * (double)k->rows * (double)k->cols + 2 * (double)c_sum->rows * (double)c_sum->cols;
    return (Work){2 * (double)k->rows * (double)k->cols * codes, entries * (double)dtype_size(k->type), 0};
}

static const Op nearest_codes_op = {"nearest_codes", false, nearest_codes_forward, nearest_codes_backward,
                                    nearest_codes_work};

Tensor *nearest_codes(Tape *tape, Tensor *k, Tensor *c_sum, Tensor *c_count, int64_t heads, Tensor **index,
                      Tensor **error, Tensor **codes) {
    const int64_t count = c_count->rows * c_count->cols, head_dim = k->cols / heads;
    CHECK(k->cols % heads == 0 && count % heads == 0 && c_sum->rows * c_sum->cols == count * head_dim,
          "nearest_codes of %lld columns in %lld heads, %lld codes", (long long)k->cols, (long long)heads,
          (long long)count);
    Node *node = tape_node(tape, &nearest_codes_op, (Tensor *[]){k, c_sum, c_count}, INPUTS);
    Tensor *y = node_output(node, k->rows, k->cols, k->type);
    *index = node_output(node, k->rows, heads, I32);
    *error = node_output(node, k->rows, heads, F32);
    *codes = node_output(node, count, head_dim, k->type);
    node_run(node);
    return y;
}
