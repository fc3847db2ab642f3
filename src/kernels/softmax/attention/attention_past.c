#include "kernels/softmax/attention/attention_past.h"

PastRows past_rows(const CarriedRows *rows) { return rows ? (PastRows){rows->data, rows->capacity} : (PastRows){0}; }

bool attention_past_fits(const Node *node) { return node->past_form == PAST_READ && node_past_tokens(node) > 0; }

void attention_past(const Node *node, int k, int v, int g, AttentionPastArguments *arguments) {
    const Tape *tape = node->tape;
    const Tensor *gates = node->in[g];
    arguments->k = heads_of(node->in[k]);
    arguments->v = heads_of(node->in[v]);
    arguments->out = heads_of(node->out[0]);
    arguments->past_k = past_rows(node->past[k]);
    arguments->past_v = past_rows(node->past[v]);
    arguments->g = gates ? gates->data : NULL;
    arguments->g_stride = gates ? gates->stride : 0;
    arguments->past_g = past_rows(node->past[g]);
    arguments->position = tape->batch->position;
    arguments->T = tape->batch->T;
    arguments->tokens = carried_tokens(tape->carried);
    arguments->past = node_past_tokens(node);
    arguments->head_dim = node->in[k]->cols / arguments->kv_heads;
    tape->device->launch(KERNEL_attention_past, node->out[0]->type,
                         (Grid){tape->batch->B * arguments->T, arguments->heads, 1}, arguments);
}
