/* Arguments of the kernels of recurrent cells, shared by host and device; strides in elements. */
#ifndef FLAME_KERNELS_RECURRENCES_RECURRENT_CELL_RECURRENT_CELL_H
#define FLAME_KERNELS_RECURRENCES_RECURRENT_CELL_RECURRENT_CELL_H

#include <stdint.h>

enum { RECURRENT_CELL_COLS = 128, RECURRENT_CELL_SAVED = 4 }; /* columns of a program; numbers saved per column */

/* One token t of every sequence, after the product with the hidden weights W [G*D, D], for G gates of D columns. h is 0
 * before the first token of a document; before the first token of the sequence it is `initial`. With the inputs' part x
 * [rows, G*D] and p = h_{t-1} W^T + bias:
 *
 *   LSTM   i, f, g, o = sigmoid(x_i + p_i), sigmoid(x_f + p_f), tanh(x_g + p_g), sigmoid(x_o + p_o)
 *          c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)
 *   GRU    r, z = sigmoid(x_r + p_r), sigmoid(x_z + p_z),  n = tanh(x_n + r p_n)
 *          h_t = (1 - z) n + z h_{t-1}
 *
 * Backward, from the last token on, after the product of the next token's dp with W: dh is the gradient from the output
 * plus that from the next token. Then
 *
 *   LSTM   dc += dh o (1 - tanh(c)^2);  dp = dx = dc g i', dc c_{t-1} f', dc i g', dh tanh(c) o'
 *          dc_{t-1} = dc f
 *   GRU    dx = dn~ p_n r', dh (h_{t-1} - n) z', dn~ with dn~ = dh (1 - z) n';  dp = dx but for dp_n = r dn~
 *          dh_{t-1} = dh z, and what comes from the product
 *
 * where ' is the derivative of the sigmoid or of tanh. Programs: x over columns, y over sequences. */
typedef struct RecurrentCellArguments {
    const void *x, *bias;   /* bias [G*D] */
    const float *product;   /* [B, G*D]; backward [B, D] */
    const float *initial;   /* [B, S*D] with S states: h and then c; may be NULL */
    const int32_t *segment; /* the segment of each row */
    void *h;
    void *before; /* [rows, D]: the h that a token's product reads, 0 at the start of a document */
    void *saved;  /* [rows, SAVED*D]: i f g o, or r z n p_n */
    float *state; /* [rows, D]: c, or h before it is rounded */
    float *final; /* [B, S*D], may be NULL */

    const void *dh;
    const float *dfinal; /* may be NULL */
    void *dx, *dp;       /* dp [rows, G*D] for the GRU; for the LSTM it is dx */
    float *carried;      /* [B, D]: dc, or the part of dh that does not pass the product */

    int64_t t, T, D;
    int64_t x_stride, h_stride, initial_stride;
} RecurrentCellArguments;

#endif
