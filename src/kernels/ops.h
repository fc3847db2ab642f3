/* Every op a model is written with. Each function records one node on the tape and runs its forward.
 * N = B*T rows, one per token; heads lie side by side in the columns. An op whose name starts a folder of kernels/ is
 * defined, with its equation, its backward and its fp64 definition, in that folder. */
#ifndef FLAME_KERNELS_OPS_H
#define FLAME_KERNELS_OPS_H

#include "core/tape.h"
#include "kernels/gates/activation/activation_kind.h"

/* table [vocabulary, h] -> [N, h], the rows of the batch's tokens. Row `padding_index` of the table gets no gradient
 * (-1: every row does), as torch.nn.Embedding(padding_idx). */
Tensor *embedding(Tape *tape, Tensor *table, int64_t padding_index);

/* y = x W^T, W [out, in]. */
Tensor *linear(Tape *tape, Tensor *x, Tensor *weight);
/* y = x W^T for each head of x, whose width is that of W: [N, heads*in] -> [N, heads*out]. */
Tensor *linear_heads(Tape *tape, Tensor *x, Tensor *weight);
/* y = x m^T for each head, of two activations: [N, heads*K], [R, heads*K] -> [N, heads*R]. */
Tensor *head_products(Tape *tape, Tensor *x, Tensor *m, int64_t heads);
/* out[p] = x_p W_p^T, where x_p and W_p are the p-th of `parts` equal ranges of the columns of x and of the weight. */
void linear_parts(Tape *tape, Tensor *x, Tensor *weight, int parts, Tensor *out[]);
/* out[i] = x weight[i]^T for weights that are adjacent in memory: one product, whose column ranges are the outputs. */
void linear_group(Tape *tape, Tensor *x, Tensor *const weight[], int count, Tensor *out[]);
/* The same for the inputs x[0 .. parts-1] side by side, [x_0 x_1 ..] weight[i]^T, without a copy of them. */
void linear_concatenated(Tape *tape, Tensor *const x[], int parts, Tensor *const weight[], int count, Tensor *out[]);
/* out[i] = x W_i^T for one or two block-diagonal W_i: weight[i] [cols / n, n*n] holds blocks of n x n, n = 1, 2, 4, 8
 * or 16 (NX-AI's LinearHeadwiseExpand). */
void linear_blocks(Tape *tape, Tensor *x, Tensor *const weight[], int count, Tensor *out[]);
/* out[i] = the next cols[i] columns of x, as views of x's memory. x must have no other use. */
void split(Tape *tape, Tensor *x, const int64_t cols[], int count, Tensor *out[]);
/* Each of the heads of x `group` times in a row: [N, heads*K] -> [N, heads*group*K]; x itself if group is 1. */
Tensor *repeat_heads(Tape *tape, Tensor *x, int64_t heads, int64_t group);
/* x + bias, bias [1, cols]. */
Tensor *bias(Tape *tape, Tensor *x, Tensor *bias);
/* A copy of x that later blocks get as tape->handed_on: a value of one block that others use, beside the residual
 * stream. One block of a model does this, and no block before it asks for it. */
Tensor *hand_on(Tape *tape, Tensor *x);
/* Of each document one row, given to all of its tokens: its last, or the mean of its rows. */
Tensor *document_summary(Tape *tape, Tensor *x, bool mean);
/* Adds factor * the mean over the micro-batch's tokens of the sums of the rows of x, fp32 [N, cols], to the mean loss
 * of its targets, in training: to each token's loss its sum * factor * (targets / N). Gives these parts, fp32 [N, 1].
 * Backward ignores their gradient: x gets that of the loss. */
Tensor *add_loss(Tape *tape, Tensor *x, float factor);
/* The rows of each document in the opposite order. */
Tensor *reverse(Tape *tape, Tensor *x);
/* x + y. */
Tensor *add(Tape *tape, Tensor *x, Tensor *y);

/* y = w * s / sqrt(mean(s^2) + eps), s = x + residual, over groups of weight->cols columns (all of them, or one head).
 * `residual` may be NULL. *sum, if sum is not NULL, is s rounded to the element type, to go on with as the residual
 * stream (x itself if residual is NULL); the norm sees s before rounding, as fla's fused norm does. */
Tensor *rms_norm(Tape *tape, Tensor *x, Tensor *residual, Tensor *weight, float eps, Tensor **sum);
/* rms_norm of x silu(gate), or of x if gate is NULL, over groups of group_cols columns, with a weight of its own for
 * each: weight [1, cols]. */
Tensor *rms_norm_groups(Tape *tape, Tensor *x, Tensor *gate, Tensor *weight, int64_t group_cols, float eps);
/* y = w * (s - mean(s)) / sqrt(var(s) + eps) + b, s = x + residual, var of the population, over groups of group_cols
 * columns (all of them, or one head: GroupNorm); weight, bias [1, cols]: each group has parts of its own, or [1,
 * group_cols]: all share them. `residual` and `sum` as in rms_norm. */
Tensor *layer_norm(Tape *tape, Tensor *x, Tensor *residual, Tensor *weight, Tensor *bias, int64_t group_cols, float eps,
                   Tensor **sum);
/* The same without a residual and a bias, with the weight w + offset. */
Tensor *layer_norm_unbiased(Tape *tape, Tensor *x, Tensor *weight, float offset, int64_t group_cols, float eps);
/* rms_norm(x) * f(gate), per group of weight->cols columns; f is silu or sigmoid. */
Tensor *gated_rms_norm(Tape *tape, Tensor *x, Tensor *gate, Tensor *weight, Activation f, float eps);
/* x / sqrt(sum(x^2) + eps), per group of `cols` columns. */
Tensor *l2_norm(Tape *tape, Tensor *x, int64_t cols, float eps);
/* rms_norm without a weight: x / sqrt(mean(x^2) + eps), per group of `cols` columns. */
Tensor *rms_norm_plain(Tape *tape, Tensor *x, int64_t cols, float eps);
/* x / (max(|z|, e^-m) + eps) per head: the output of linear attention by the sum z of its weights. x [N, heads*V], z
 * and m fp32 [N, heads]; m may be NULL, which is |z| + eps. */
Tensor *normalise(Tape *tape, Tensor *x, Tensor *z, Tensor *m, float eps);

/* Rotates each head's halves (x[d], x[d + head_dim/2]) by position * theta^(-2d/head_dim), positions from the batch. */
Tensor *rotary(Tape *tape, Tensor *x, int64_t head_dim, float theta);
/* x + [sin(position f), cos(position f)], f_i = 10000^(-i / (cols/2 - 1)), positions from the batch; at most 512
 * columns. */
Tensor *sinusoid(Tape *tape, Tensor *x);
/* Positions 0 .. rows - 1 as [sin(p f), cos(p f)], f_i = theta^(-2i/cols): [rows, cols]. */
Tensor *sinusoid_table(Tape *tape, int64_t rows, int64_t cols, float theta);
/* Linearized relative positional encoding (arXiv 2307.09270) with learned frequencies theta [heads, D], positions from
 * the batch: for each head y = [x cos(position * theta), x sin(position * theta)], [N, heads*D] -> [N, heads*2D]. */
Tensor *lrpe(Tape *tape, Tensor *x, Tensor *theta);
/* (x + x_bias) * (y + y_bias); the biases have one head's width and are the same for all heads. */
Tensor *biased_product(Tape *tape, Tensor *x, Tensor *x_bias, Tensor *y, Tensor *y_bias);
/* Features of a polynomial kernel, per head of `size` columns: phi(x) . phi(y) = (x . y)^2 (ReBased, arXiv 2402.10644)
 * or, with `taylor`, 1 + s + s^2 / 2 for s = x . y / sqrt(size) (Based, arXiv 2402.18668). [N, heads*size] -> [N,
 * heads*features], a multiple of 8 for each head. */
Tensor *quadratic_features(Tape *tape, Tensor *x, int64_t size, bool taylor);
/* silu(gate) * up. */
Tensor *swiglu(Tape *tape, Tensor *gate, Tensor *up);
/* factor * x. */
Tensor *scale(Tape *tape, Tensor *x, float factor);
/* x * y, two activations of one shape. */
Tensor *multiply(Tape *tape, Tensor *x, Tensor *y);
/* The sum over b < 3 of sigmoid(gate_hb) x_b, for each head h: gate [N, heads*3], gate_hb in column 3 h + b (Native
 * Sparse Attention's branches, arXiv 2502.11089). */
Tensor *branch_gate(Tape *tape, Tensor *gate, Tensor *const x[3], int64_t heads);
/* x + (y - x) * w, three activations of one shape. */
Tensor *lerp(Tape *tape, Tensor *x, Tensor *y, Tensor *w);
/* A function of every element of x: see Activation. */
Tensor *activation(Tape *tape, Tensor *x, Activation kind);
/* Depthwise causal convolution over time, weight [cols, width], width at most 64, bias [1, cols] or NULL, then silu if
 * asked for: y_t = silu(bias + sum_w weight[w] x_{t-width+1+w}), where inputs before the start of the document are 0.
 */
Tensor *short_convolution(Tape *tape, Tensor *x, Tensor *weight, Tensor *bias, bool silu);
/* y_t = x_{t-1}, 0 for the first token of a document. x is of elements or, as a log decay, fp32, and so is y. */
Tensor *token_shift(Tape *tape, Tensor *x);
/* Mixes of each token with the one before (RWKV, arXiv 2404.05892): out[i] = x + (x' - x) * (mu[i] + offset_i), i <
 * count <= 6, where x'_t = x_{t-1}, 0 for the first token of a document. All mu are parameters of cols entries, or all
 * are activations [N, cols]; offset is a parameter [count, cols], only beside activations, or NULL. */
void token_mix(Tape *tape, Tensor *x, Tensor *const mu[], Tensor *offset, int count, Tensor *out[]);
/* factor * sigmoid(x), always fp32. */
Tensor *sigmoid_gate(Tape *tape, Tensor *x, float factor);
/* -e^x: a log decay, always fp32 (RWKV-6). */
Tensor *exponential_decay(Tape *tape, Tensor *x);
/* -e^A_log softplus(x + dt_bias): a log decay, always fp32. A_log, dt_bias [1, cols]. *log_step, if log_step is not
 * NULL: ln softplus(x + dt_bias), fp32. */
Tensor *softplus_decay(Tape *tape, Tensor *x, Tensor *A_log, Tensor *dt_bias, Tensor **log_step);
/* -e^A_log softplus(x + dt_bias) with one A_log for all channels of a head, at most 256: A_log [1, heads], dt_bias [1,
 * heads*channels]. With a lower_bound < 0 (0: none) it is lower_bound * sigmoid(e^A_log (x + dt_bias)). */
Tensor *channel_decay(Tape *tape, Tensor *x, Tensor *A_log, Tensor *dt_bias, float lower_bound);
/* (y + D x) silu(gate), D [1, cols]; without the factor if gate is NULL. */
Tensor *gated_skip(Tape *tape, Tensor *y, Tensor *x, Tensor *D, Tensor *gate);
/* q - D sigmoid(decay) k per head, with D and decay [1, heads]: what Comba's output is corrected by, in the query. */
Tensor *output_correction(Tape *tape, Tensor *q, Tensor *k, Tensor *D, Tensor *decay);
/* The keys of RWKV-7's state update (arXiv 2503.14456). x: the projected key; rate: how much of what is erased is
 * written, in (0, 1); scale, mix [1, cols]. With n = x scale / sqrt(sum((x scale)^2) + eps) per head of head_dim
 * columns: out[0] = x (1 + (rate - 1) mix), the key written; out[1] = -n, which reads what is erased; out[2] = n rate.
 */
void rwkv7_keys(Tape *tape, Tensor *x, Tensor *rate, Tensor *scale, Tensor *mix, int64_t head_dim, float eps,
                Tensor *out[3]);
/* o + (sum of q u k over each head's columns) v: what a token reads of itself beside a state that holds the tokens
 * before it (RWKV's bonus, arXiv 2404.05892). q, k [N, heads*K], o, v [N, heads*V], u [heads, K]. */
Tensor *current_token(Tape *tape, Tensor *o, Tensor *q, Tensor *k, Tensor *v, Tensor *u, int64_t heads);
/* max(log sigmoid(x + bias) / normalizer, clamp_min): a log decay, always fp32. bias [1, cols] or NULL;
 * clamp_min = -INFINITY: none. */
Tensor *log_sigmoid_gate(Tape *tape, Tensor *x, Tensor *bias, float normalizer, float clamp_min);

/* HGRN's forget gate f = bound + (1 - bound) sigmoid(x) (arXiv 2311.04823): gives log f, always fp32, and in *gated
 * what it lets in, 1 - f, times silu(input) if input is not NULL. The bound of layer `layer` is the sum of
 * softmax(bounds, over layers) over layers 1 .. layer, a fixed 0 for layer 0; bounds [layers, cols], NULL: 0. */
Tensor *lower_bound_gate(Tape *tape, Tensor *x, Tensor *input, Tensor *bounds, int64_t layer, Tensor **gated);

/* min(max(x, low), high); an infinite bound is none. */
Tensor *clamp(Tape *tape, Tensor *x, float low, float high);
/* 1 - e^g in the tape's type: what the log decay g, fp32, lets in. */
Tensor *decay_complement(Tape *tape, Tensor *g);
/* e^x / sum(e^x), per group of `cols` columns. */
Tensor *group_softmax(Tape *tape, Tensor *x, int64_t cols);

typedef struct AttentionShape {
    int64_t heads, kv_heads; /* query head n reads key-value head n / (heads / kv_heads) */
    int64_t window;          /* a query sees the last `window` tokens, itself included; 0: all */
} AttentionShape;
/* Causal softmax attention within documents, scale 1/sqrt(head size). q [N, heads*D], k v [N, kv_heads*D] -> [N,
 * heads*D]. */
Tensor *attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, AttentionShape shape);
/* The same with forget gates (arXiv 2503.02130): the score of query i and key j has the sum of the log gates g of the
 * tokens j + 1 .. i. g [N, heads] fp32; no window. */
Tensor *forgetting_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *g, AttentionShape shape);
/* The same with the positions of PaTH (arXiv 2505.16381): between query i and key j stand H_i .. H_{j+1}, H_t = I -
 * beta_t w_t w_t^T, and the score is scale (q_i H_i .. H_{j+1} k_j + the sum of forget over j+1 .. i). w as k, beta
 * fp32 [N, kv_heads]; forget fp32 [N, heads], log gates, or NULL: 0. Heads of up to 128 columns; shape.window is 0. */
Tensor *path_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *w, Tensor *beta, Tensor *forget,
                       AttentionShape shape);

/* The nearest of a head's codes c_s = c_sum_s / max(c_count_s, 0.01) for each key (VQ, arXiv 2309.16354): k [N,
 * heads*K], K <= 256, c_sum [heads, codes*K], c_count [heads, codes] -> [N, heads*K], which gradients reach k through
 * as if it were k. *index: the codes, I32 [N, heads], the first of equal ones; *error: |k - c|^2, fp32 [N, heads];
 * *codes: c [heads*codes, K], a constant. c_sum and c_count are buffers (Parameter.moving_average): their gradients get
 * the sum and the number of the keys with each code. */
Tensor *nearest_codes(Tape *tape, Tensor *k, Tensor *c_sum, Tensor *c_count, int64_t heads, Tensor **index,
                      Tensor **error, Tensor **codes);
typedef struct CodebookAttentionShape {
    int64_t heads;
    int64_t block, window; /* tokens */
    float scale;
} CodebookAttentionShape;
/* Transformer-VQ's attention (arXiv 2309.16354): causal softmax attention within documents to the keys k and, before a
 * window, to their codes in place of them. With s the first token of i's block, blocks counted from the start of the
 * document, the score of key j is scale q_i k_j + r_i,i-j from s - window on, without r where i - j > window, and scale
 * q_i c_j before: there it takes one score for each code. q, k [N, heads*K], K <= 256, v [N, heads*V], relative [N,
 * heads*R], R > window: r of the distances 0 .. R - 1; index, codes: nearest_codes' -> [N, heads*V]. Codes are
 * constants. */
Tensor *codebook_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *relative, Tensor *index, Tensor *codes,
                           CodebookAttentionShape shape);
/* Means over blocks of `block` tokens, counted from the start of each document: [N, cols] -> [B*rows, cols], with
 * block_rows(tape_tokens_limit, block) rows for each sequence (document_blocks.h says which). What a document has after
 * its last whole block is in none. */
Tensor *block_means(Tape *tape, Tensor *x, int64_t block);

typedef struct BlockAttentionShape {
    int64_t heads, kv_heads; /* heads / kv_heads is a multiple of 16; head sizes up to 128 */
    int64_t block, count;    /* tokens of a block; blocks that a token selects, at least 3 */
} BlockAttentionShape;
/* The compressed branch of Native Sparse Attention (arXiv 2502.11089). A token sees the whole blocks of its document
 * that end at it or before it: q [N, heads*D]; k, v, the blocks' means, [B*rows, kv_heads*D] as block_means gives them
 * -> [N, heads*D], 0 where a token sees none; scale 1/sqrt(D). *selected: for each token and key head a set of `count`
 * blocks, without gradient: the document's first, the token's own, the one before it, and those others whose softmax,
 * summed over the query heads of the key head, is largest (equal ones: the first). */
Tensor *compressed_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, BlockAttentionShape shape, Tensor **selected);
/* Its selected branch: softmax attention of each token to the tokens up to itself in the blocks that it selected.
 * q [N, heads*D], k, v [N, kv_heads*D] -> [N, heads*D]. */
Tensor *selected_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *selected, BlockAttentionShape shape);

typedef struct SimplicialShape {
    int64_t heads, kv_heads;  /* query head n reads key-value head n / (heads / kv_heads); head sizes up to 128 */
    int64_t window1, window2; /* a query sees as many of the last tokens, itself included */
    float k2_bias, v2_bias;   /* added to every entry of k2 and v2 */
} SimplicialShape;
typedef struct SimplicialInputs {
    Tensor *q, *k1, *v1, *k2, *v2; /* q [N, heads*D], others [N, kv_heads*D] */
} SimplicialInputs;
/* 2-simplicial attention (arXiv 2507.02754) within documents: one softmax over pairs of a token j in the first window
 * and a token k in the second, of D^(-1/2) sum over d of q_id k1_jd k2_kd; o_i is the sum of its weights times the
 * products by entries v1_j * v2_k -> [N, heads*D]. */
Tensor *simplicial_attention(Tape *tape, SimplicialInputs in, SimplicialShape shape);

/* The product over the semiring of maxima and sums: per head of as many columns as w has rows, y_j = max over i of x_i
 * + w_ij. x [N, heads*K], w [K, J], of all heads -> [N, heads*J]; K and J are 256 at
 * most. */
Tensor *max_plus_product(Tape *tape, Tensor *x, Tensor *w);
/* Tropical attention (arXiv 2505.17190), per head: o_i = max over j <= i of the document of s_ij + v_j, by entries,
 * where -s_ij is the largest minus the smallest entry of q_i - k_j. q, k, v [N, heads*D] -> [N, heads*D]; D is 256 at
 * most. */
Tensor *tropical_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, int64_t heads);

/* Values from which what earlier ones predict is taken (DeltaFormer, arXiv 2505.19488): u_i = v_i - beta_i sum over j <
 * i of the document of softmax_j(q_i k_j / sqrt(D)) u_j, per head. q, k, v [N, heads*D], beta [N, heads] -> u [N,
 * heads*D]. */
Tensor *delta_values(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, int64_t heads);

typedef struct ChunkGlaShape {
    int64_t heads, kv_heads;
    float scale; /* of q; 0: K^(-1/2) */
} ChunkGlaShape;
/* Gated linear attention (arXiv 2312.06635): S_t = diag(e^g_t) S_{t-1} + k_t v_t^T, o_t = scale q_t S_t, per head.
 * q [N, heads*K], k [N, kv_heads*K], v [N, kv_heads*V], g [N, kv_heads*K] fp32 log decays -> o [N, heads*V].
 * initial: state before the first token, fp32 [B*kv_heads*K, V], or NULL for zero. *final, if final is not NULL: the
 * state after the last token, same layout. */
Tensor *chunk_gla(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *g, ChunkGlaShape shape, Tensor *initial,
                  Tensor **final);
/* The same with gates on the values, the first pass of slot attention (arXiv 2409.07146): S_t = S_{t-1} diag(e^g_t) +
 * k_t s_t^T, o_t = scale q_t S_t. q [N, heads*K], k [N, kv_heads*K], s [N, kv_heads*M], g [N, kv_heads*M] fp32 log
 * decays -> o [N, heads*M]. initial: the transposed state before the first token, fp32 [B*kv_heads*M, K], or NULL for
 * zero. *final, if final is not NULL: that after the last token, same layout. */
Tensor *chunk_gla_values(Tape *tape, Tensor *q, Tensor *k, Tensor *s, Tensor *g, ChunkGlaShape shape, Tensor *initial,
                         Tensor **final);

typedef struct ChunkSimpleGlaShape {
    int64_t heads, key_size, value_size; /* of the states; K and V */
    float scale;
    const float *log_decay; /* [heads], of every token where there is no g; on the host, outlives the tape; NULL: 0 */
} ChunkSimpleGlaShape;
/* What depends on the token and head; each may be NULL. */
typedef struct ChunkSimpleGlaGates {
    Tensor *log_decay, *log_scale; /* g, s: fp32 [N, heads]; else the shape's log_decay, and 0 */
    Tensor *skip;                  /* D: [1, heads]; else 0 */
} ChunkSimpleGlaGates;
/* Linear attention with one decay per head and token (Mamba-2, arXiv 2405.21060; retention, arXiv 2307.08621): S_t =
 * e^g_t S_{t-1} + e^s_t k_t v_t^T, o_t = scale q_t S_t + D v_t. q [N, q_heads*K], k [N, k_heads*K], v [N, v_heads*V],
 * where head n of `heads` reads query head n / (heads / q_heads), and so on; k_heads divides q_heads -> o [N, heads*V].
 * initial: state before the first token, fp32 [B*heads*K, V], or NULL for zero. *final, if final is not NULL: the state
 * after the last token, same layout. */
Tensor *chunk_simple_gla(Tape *tape, Tensor *q, Tensor *k, Tensor *v, ChunkSimpleGlaGates gates,
                         ChunkSimpleGlaShape shape, Tensor *initial, Tensor **final);

/* What chunk_simple_gla gives for values of 1, always fp32: n_t = e^g_t n_{t-1} + e^s_t k_t, z_t = scale q_t . n_t, per
 * head. q, k [N, heads*K], g and s fp32 [N, heads] or NULL for 0 -> z [N, heads]. initial: n before the first token,
 * fp32 [B*heads, K], or NULL for zero. *final, if final is not NULL: n after the last token, same layout. */
Tensor *chunk_normaliser(Tape *tape, Tensor *q, Tensor *k, Tensor *log_decay, Tensor *log_scale, int64_t heads,
                         float scale, Tensor *initial, Tensor **final);

/* The gates of mLSTM (arXiv 2405.04517), stabilised by a running maximum, per head: with i = c(input + input_bias), f =
 * log sigmoid(c(forget + forget_bias)) and c(x) = cap tanh(x / cap), or x if cap is 0, m_t = max(f_t + m_{t-1}, i_t),
 * where m = 0 before the first token of a document. Gives the log decay f_t + m_{t-1} - m_t, in *log_scale i_t - m_t,
 * both at most 0, and *m, all fp32. All [N, heads], the biases [1, heads]; or input_bias is [1, 2*heads], both, and
 * forget_bias NULL. The gradient takes m for constant: what is made of the three must not depend on m, as mLSTM's
 * output does not. */
Tensor *exponential_gates(Tape *tape, Tensor *input, Tensor *input_bias, Tensor *forget, Tensor *forget_bias, float cap,
                          Tensor **log_scale, Tensor **m);
typedef struct MesaSolveShape {
    int64_t heads;
    int32_t steps; /* of conjugate gradients */
    float lower_bound;
} MesaSolveShape;
/* What a Mesa layer reads its memory with (arXiv 2506.05233): x_t = (H_t + diag(l))^-1 q_t per head by conjugate
 * gradients from 0, with H_t = e^g_t H_{t-1} + e^s_t k_t k_t^T and l = softplus(lambda) + lower_bound. As in fla 1e-5
 * is added to both denominators of a step, also in backward, which solves for the gradient of q: there this depends on
 * the scale of the gradient (Batch.mean_of). q, k [N, heads*K], K <= 128, g, s fp32 [N, heads], lambda [1, heads*K] ->
 * x [N, heads*K]. initial: H before the first token, fp32 [B*heads*K, K], or NULL for zero. *final, if final is not
 * NULL: H after the last token, same layout. */
Tensor *mesa_solve(Tape *tape, Tensor *q, Tensor *k, Tensor *g, Tensor *s, Tensor *lambda, MesaSolveShape shape,
                   Tensor *initial, Tensor **final);

/* The linear recurrence of single channels: h_t = e^g_t h_{t-1} + x_t for every column (HGRN, arXiv 2311.04823). g [N,
 * cols] fp32 log decays; initial: h before the first token, fp32 [B, cols], or NULL for zero. *final, if final is not
 * NULL: h after the last token, same layout. */
Tensor *diagonal_scan(Tape *tape, Tensor *x, Tensor *g, Tensor *initial, Tensor **final);

/* How complex_scan's decay alpha_t comes from columns 2c and 2c + 1 of `a`, a_0 and a_1: sigmoid(a_0) e^(i a_1), or, if
 * cartesian, sigmoid(|c|) c / |c| with c = a_0 + i a_1. */
typedef struct ComplexTransition {
    bool cartesian;
    float gradient_factor; /* what the gradient of `a` is multiplied by; usually 1 */
} ComplexTransition;
/* The linear recurrence of complex channels: S_t = alpha_t S_{t-1} + k_t v_t, o_t = q_t Re S_t for every column
 * (GateLoop, arXiv 2311.01927). q, k, v [N, cols], a [N, 2 cols]; initial: S before the first token, fp32 [B, 2 cols],
 * first all real parts, or NULL for zero. *final, if final is not NULL: S after the last token, same layout. */
Tensor *complex_scan(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *a, ComplexTransition transition,
                     Tensor *initial, Tensor **final);

/* The LSTM's recurrence (Hochreiter & Schmidhuber 1997, as torch.nn.LSTM): i, f, g, o = x_t + h_{t-1} W^T + bias, c_t =
 * sigmoid(f) c_{t-1} + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t). x [N, 4D], the inputs' part; W = hidden [4D, D],
 * bias [1, 4D] -> h [N, D]. initial: h and c before the first token, fp32 [B, 2D], or NULL for zero. *final, if final
 * is not NULL: those after the last token, same layout. */
Tensor *lstm(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial, Tensor **final);
/* The gated recurrent unit's (arXiv 1406.1078, as torch.nn.GRU): with p = h_{t-1} W^T + bias, r, z = sigmoid(x_t + p),
 * n = tanh(x_n + r p_n), h_t = (1 - z) n + z h_{t-1}. x [N, 3D], hidden [3D, D]; the state is h, fp32 [B, D]. */
Tensor *gru(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial, Tensor **final);

/* Softmax over the tokens of the document so far (arXiv 2110.02488), for every column: with z_t = log sum over j <= t
 * of e^s_j, gives e^(s_t - z_t), and in *g the log decay z_{t-1} - z_t, always fp32, of what the tokens before weighed;
 * at a document's first token 1 and 0. initial: z before the first token, fp32 [B, cols], or NULL for none. *final, if
 * final is not NULL: z after the last token, same layout. */
Tensor *running_softmax(Tape *tape, Tensor *s, Tensor *initial, Tensor **g, Tensor **final);

/* Mamba's selective scan (arXiv 2312.00752): for every column of x and state n < N, with t = softplus(dt + dt_bias),
 * h = e^(-t e^A_log) h + t B_n x, y = sum over n of C_n h. x, dt [rows, cols]; B, C [rows, N], N at most 64, the same
 * for all columns; A_log [cols, N], dt_bias [1, cols]. initial: h before the first token, fp32 [B*cols, N], or NULL for
 * zero. *final, if final is not NULL: h after the last token, same layout. */
Tensor *selective_scan(Tape *tape, Tensor *x, Tensor *dt, Tensor *B, Tensor *C, Tensor *A_log, Tensor *dt_bias,
                       Tensor *initial, Tensor **final);

typedef struct ChunkDeltaShape {
    int64_t heads, v_heads; /* value head n reads query and key head n / (v_heads / heads) */
    int64_t steps;          /* updates of the state per token */
    bool undecayed;         /* v_t - k_t S_{t-1} for v_t - k_t S (Comba, arXiv 2506.02475), with one step */
} ChunkDeltaShape;
/* The gated delta rule (arXiv 2412.06464): S <- e^g_t S_{t-1}, S_t = S + beta_t k_t (v_t - k_t S)^T, o_t = K^(-1/2) q_t
 * S_t, per value head; with several steps, S_t is what the updates 0 .. steps-1 of the token leave, one after another.
 * q [N, heads*K], k [N, steps*heads*K], v [N, steps*v_heads*V], beta [N, steps*v_heads] fp32 or NULL for 1, g [N,
 * v_heads] fp32 log decays or NULL for 0 -> o [N, v_heads*V]. Keys are expected normed: |k| <= 1.
 * initial: state before the first token, fp32 [B*v_heads*K, V], or NULL for zero. *final, if final is not NULL: the
 * state after the last token, same layout. */
Tensor *chunk_delta(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, Tensor *g, ChunkDeltaShape shape,
                    Tensor *initial, Tensor **final);

/* The delta rule with a diagonal plus low rank transition, as RWKV-7's (arXiv 2503.14456): S_t = diag(e^g_t) S_{t-1} +
 * b_t (a_t S_{t-1}) + k_t v_t^T, o_t = scale q_t S_t, per head; a reads the state before its decay. q, k, a, b [N,
 * heads*K], v [N, heads*V], g [N, heads*K] fp32 log decays <= 0 -> o [N, heads*V]; K <= 256. initial: state before the
 * first token, fp32 [B*heads*K, V], or NULL for zero. *final, if final is not NULL: the state after the last token,
 * same layout. */
Tensor *chunk_dplr(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *a, Tensor *b, Tensor *g, int64_t heads,
                   float scale, Tensor *initial, Tensor **final);
/* Kimi Delta Attention (arXiv 2510.26692): S <- diag(e^g_t) S_{t-1}, S_t = S + beta_t k_t (v_t - k_t S)^T, o_t =
 * K^(-1/2) q_t S_t, per head. As chunk_dplr, with beta [N, heads] fp32; where beta is below 1e-15 its gradient is given
 * as 0. Keys are expected normed: |k| <= 1. */
Tensor *chunk_kda(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, Tensor *g, int64_t heads, Tensor *initial,
                  Tensor **final);

typedef struct LossShape {
    float pull; /* the gradient also has the part of pull / 2 times the square of each target's largest logit, which
                   keeps logits small (RWKV's L2Wrap) */
    float cap;  /* the logits are cap tanh(x W^T / cap); 0: x W^T */
    float smoothing; /* s of label smoothing (arXiv 1512.00567): the target is 1 - s for the label, and s divided among
                        all words */
    float
        z_loss; /* of the square of the logarithm of the softmax's denominator (arXiv 2204.02311), added to the loss */
} LossShape;
/* The model whose distribution over the next word another one learns (distillation, arXiv 1503.02531). */
typedef struct LossTeacher {
    Tensor *x, *weight, *bias; /* its logits are x W^T + bias, as those of the loss; the same words; x is a constant and
                                  the weights are frozen */
    float cap;
    float share; /* of the divergence in what is minimised; 1 - share is that of the cross-entropy */
} LossTeacher;
/* Cross-entropy of x W^T + bias (bias [1, vocabulary] or NULL) against the batch's labels, in chunks of tokens: the
 * logits never exist whole. Gives the losses [N, 1] fp32 (0 where the label is -100). The gradient is that of their
 * plain sum: backward ignores the gradient of the output, and the driver divides by the number of targets in the
 * optimizer.
 *
 * With a teacher (NULL: none), *divergences are KL(teacher || softmax(x W^T + bias)) of the same tokens, [N, 1] fp32,
 * and the gradient is that of the sum of (1 - share) losses + share divergences; it has no other effect on the losses.
 *
 * *margins (NULL: not asked for) are the label's logit minus the largest one, [N, 1] fp32: 0 where no word is more
 * likely than the label, and where it is -100. They have no part in the gradient. */
Tensor *linear_cross_entropy(Tape *tape, Tensor *x, Tensor *weight, Tensor *bias, LossShape shape,
                             const LossTeacher *teacher, Tensor **divergences, Tensor **margins);
/* (y - value)^2, 0 where the batch's label is -100: the losses of a regression. y [N, 1], value fp32 [N, 1] -> fp32 [N,
 * 1]. The gradient is that of their plain sum, as in linear_cross_entropy. */
Tensor *squared_error(Tape *tape, Tensor *y, Tensor *value);

#endif
