#include "kernels/softmax/grouped_rows.h"

#include <math.h>

GroupedArguments grouped_arguments(const Node *node, int64_t heads, int64_t kv_heads) {
    const Tensor *q = node->in[0], *out = node->out[0], k = node_joined(node, 1), v = node_joined(node, 2);
    const int64_t head_dim = q->cols / heads;
    return (GroupedArguments){.q = heads_of(q),
                              .k = heads_of(&k),
                              .v = heads_of(&v),
                              .out = heads_of(out),
                              .dout = heads_of_gradient(out),
                              .dq = heads_of_gradient(q),
                              .dk = heads_of_gradient(&k),
                              .dv = heads_of_gradient(&v),
                              .log_sum_exp = node->saved[0]->data,
                              .position = node->tape->batch->position,
                              .T = node->tape->batch->T,
                              .head_dim = head_dim,
                              .group = heads / kv_heads,
                              .kv_heads = kv_heads,
                              .before = tape_tokens_before(node->tape),
                              .scale = 1 / sqrtf((float)head_dim),
                              .aligned = heads_aligned(heads_of(&k), head_dim, q->type) &&
                                         heads_aligned(heads_of(&v), head_dim, q->type)};
}

enum { PROGRAMS_WANTED = 32, MOST_PARTS = 8 };

int64_t grouped_parts(const Node *node, const GroupedArguments *a) {
    const int64_t wanted = PROGRAMS_WANTED / (a->kv_heads * node->tape->batch->B);
    const int64_t programs = blocks_of(a->T * a->group, GROUPED_ROWS(false));
    const int64_t most = programs < MOST_PARTS ? programs : MOST_PARTS;
    return wanted < 1 ? 1 : wanted > most ? most : wanted;
}
