/* Arguments of the tropical_attention kernels, shared by host and device. */
#ifndef FLAME_KERNELS_TROPICAL_TROPICAL_ATTENTION_TROPICAL_ATTENTION_H
#define FLAME_KERNELS_TROPICAL_TROPICAL_ATTENTION_TROPICAL_ATTENTION_H

#include "kernels/heads.h"

/* Tokens whose scores a program has at a time; columns of the widest head; queries of a program on a CPU. */
enum { TROPICAL_TOKENS = 64, TROPICAL_COLS = 256, TROPICAL_QUERIES = 32 };

/* Per head, over the tokens j <= i of i's document: s_ij = -(max_d(q_id - k_jd) - min_d(q_id - k_jd)), o_id =
 * max_j(s_ij + v_jd), which is largest at j = choice_id, the first of equal ones. Backward: dv_jd = do_id where
 * choice_id = j, summed over i; ds_ij is the sum of do_id over the d with choice_id = j, and goes to q_i and k_j at the
 * entries d of the maximum and of the minimum. */
typedef struct TropicalArguments {
    Heads q, k, v, out, dout, dq, dk, dv; /* data of inputs' gradients may be NULL */
    Heads choice;                         /* int32, numbers of tokens within the sequence */
    float *sums;                          /* [2, B, heads, T, cols]: on the CPU, dk and dv */
    const int32_t *position;
    int64_t B, T, heads, cols; /* cols: of a head */
    int64_t before, key_rows;  /* of each sequence: tokens before those of this call, and rows of k and v */
} TropicalArguments;

#ifdef FLAME_KERNEL_FILE
/* ROW: a head of token t of this call. KEY_ROW: a head of token s, counted with those of earlier calls. */
#define ROW(matrix, type, t)                                                                                           \
    ((type *)(matrix).data + entry_of_head(matrix, a.cols, program_z * a.T + (t), program_y, 0))
#define KEY_ROW(matrix, s)                                                                                             \
    ((const element *)(matrix).data + entry_of_head(matrix, a.cols, program_z * a.key_rows + (s), program_y, 0))
#endif

#endif
