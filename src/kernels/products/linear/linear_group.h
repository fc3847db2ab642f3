/* Weights of one node that lie next to each other and are multiplied as one matrix [W_1; W_2; ...]. */
#ifndef FLAME_KERNELS_PRODUCTS_LINEAR_LINEAR_GROUP_H
#define FLAME_KERNELS_PRODUCTS_LINEAR_LINEAR_GROUP_H

#include "core/tape.h"

/* The inputs from `first` on are the weights. Rows of all of them together. */
int64_t group_rows(const Node *node, int first);
/* Ends the program if they are not adjacent. */
void group_check(const Node *node, int first);
/* Whether every weight learns and the gradients are one matrix as the weights are. */
bool group_gradients_adjacent(const Node *node, int first);

#endif
