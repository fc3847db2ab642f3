#include "kernels/recurrences/recurrent_step/recurrent_step.h"

#include "tile/rows.h"

bool recurrent_step_fits(const Node *node, int64_t K) { return node_is_one_token(node) && K <= RECURRENT_STEP_K; }

void recurrent_step(const Node *node, int state, RecurrentStepArguments *arguments) {
    const Tape *tape = node->tape;
    const Tensor *initial = node->in[state], *final = node->out[node->outputs - 1];
    arguments->o = heads_of(node->out[0]);
    arguments->state = initial->data;
    arguments->final = final->data;
    const bool of_rows = arguments->of_rows;
    const int64_t programs =
        of_rows ? blocks_of(arguments->K, RECURRENT_STEP_ROWS) : blocks_of(arguments->V, RECURRENT_STEP_COLS);
    const Grid grid = {programs, arguments->heads, tape->batch->B};
    tape->device->launch(of_rows ? KERNEL_recurrent_step_rows : KERNEL_recurrent_step, node->in[0]->type, grid,
                         arguments);
}
