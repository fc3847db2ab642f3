/* Weights of one node that are adjacent in memory and are multiplied as one matrix [W_1; W_2; ...]. */
#ifndef FLAME_KERNELS_PRODUCTS_LINEAR_LINEAR_GROUP_H
#define FLAME_KERNELS_PRODUCTS_LINEAR_LINEAR_GROUP_H

#include "core/tape.h"

/* The number of rows of all weights together. The weights are the node's inputs from `first` on. */
int64_t group_rows(const Node *node, int first);
/* Ends the program if the weights are not adjacent. */
void group_check(const Node *node, int first);
/* Whether every weight is trained and the gradients are adjacent as the weights are. */
bool group_gradients_adjacent(const Node *node, int first);

#endif
