#include "kernels/vocabulary/embedding/embedding.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "kernels/ops.h"
#include "tile/rows.h"

typedef struct EmbeddingAttributes {
    int64_t padding_index;
} EmbeddingAttributes;

static void embedding_forward(Node *node) {
    const Tensor *y = node->out[0];
    const EmbeddingArguments arguments = {
        .table = node->in[0]->data,
        .tokens = node->tape->batch->tokens,
        .y = y->data,
        .rows = y->rows,
        .cols = y->cols,
        .rows_per_program = rows_per_program(y->cols),
        .y_stride = y->stride,
    };
    const Grid grid = {blocks_of(arguments.rows, arguments.rows_per_program), 1, 1};
    node->tape->device->launch(KERNEL_embedding, y->type, grid, &arguments);
}

static void embedding_backward(Node *node) {
    const Tensor *table = node->in[0], *y = node->out[0];
    if (!table->gradient) return;
    const EmbeddingBackwardArguments arguments = {
        .tokens = node->tape->batch->tokens,
        .by_token = node->tape->batch->by_token,
        .dy = y->gradient,
        .dtable = table->gradient,
        .rows = y->rows,
        .cols = y->cols,
        .dy_stride = y->stride,
        .padding_index = ((const EmbeddingAttributes *)node->attributes)->padding_index,
    };
    const Grid grid = {blocks_of(y->cols, EMBEDDING_COLS), blocks_of(y->rows, EMBEDDING_PLACES), 1};
    node->tape->device->launch(KERNEL_embedding_backward, y->type, grid, &arguments);
}

static Work embedding_work(const Node *node) {
    const Tensor *y = node->out[0];
    return (Work){0, 2 * (double)y->rows * (double)y->cols * (double)dtype_size(y->type), 0};
}

static const Op embedding_op = {"embedding", false, embedding_forward, embedding_backward, embedding_work};

Tensor *embedding(Tape *tape, Tensor *table, int64_t padding_index) {
    Node *node = tape_node(tape, &embedding_op, (Tensor *[]){table}, 1);
    Tensor *y = node_output(node, tape->batch->B * tape->batch->T, table->cols, table->type);
    ((EmbeddingAttributes *)node->attributes)->padding_index = padding_index;
    node_run(node);
    return y;
}

void embedding_sort(const int32_t *tokens, int64_t count, int64_t vocabulary, int32_t *by_token) {
    /* place[t]: the place for the next row of word t */
    int32_t *place = memory_take((vocabulary + 1) * (int64_t)sizeof *place, "a count of each word", NOTHING_LESS);
    for (int64_t n = 0; n < count; n++) place[tokens[n] + 1]++;
    for (int64_t t = 0; t < vocabulary; t++) place[t + 1] += place[t];
    for (int64_t n = 0; n < count; n++) by_token[place[tokens[n]]++] = (int32_t)n;
    free(place);
}
