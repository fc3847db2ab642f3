#include "kernels/recurrences/recurrent_step/recurrent_step.h"

#include "tile/rows.h"

bool recurrent_step_fits(const Node *node, int64_t K) {
    return node->tape->carried && node->tape->batch->T == 1 && K <= RECURRENT_STEP_KEYS;
}

void recurrent_step(const Node *node, int state, RecurrentStepArguments *arguments) {
    const Tape *tape = node->tape;
    const Tensor *initial = node->in[state], *final = node->out[node->outputs - 1];
    arguments->o = heads_of(node->out[0]);
    arguments->state = initial->data;
    arguments->final = final->data;
    const Grid grid = {blocks_of(arguments->V, RECURRENT_STEP_COLS), arguments->heads, tape->batch->B};
    tape->device->launch(KERNEL_recurrent_step, node->out[0]->type, grid, arguments);
}
