/* Every op a model is written with. Each function records one node on the tape and runs its forward.
 * N = B*T rows, one per token; heads lie side by side in the columns. An op is defined, with its equation, its backward
 * and its fp64 definition, in the folder below kernels/ that has its name or a beginning of it (linear_group:
 * products/linear), or where its comment says. */
#ifndef FLAME_KERNELS_OPS_H
#define FLAME_KERNELS_OPS_H

#include "core/tape.h"
#include "kernels/gates/activation/activation_kind.h"

/* table [vocabulary, h] -> [N, h]: the rows of the table for the batch's tokens. Row `padding_index` of the table gets
 * no gradient (-1: every row does), as in torch.nn.Embedding(padding_idx). */
Tensor *embedding(Tape *tape, Tensor *table, int64_t padding_index);

/* y = x W^T, W [out, in]. */
Tensor *linear(Tape *tape, Tensor *x, Tensor *weight);
/* y = x W^T for each head of x, whose width is that of W: [N, heads*in] -> [N, heads*out]. */
Tensor *linear_heads(Tape *tape, Tensor *x, Tensor *weight);
/* y = x m^T for each head of two activations: x [N, heads*K], m [R, heads*K] -> [N, heads*R]. */
Tensor *head_products(Tape *tape, Tensor *x, Tensor *m, int64_t heads);
/* out[p] = x_p W_p^T, where x_p and W_p are the p-th of `parts` equal ranges of the columns of x and of the weight. */
void linear_parts(Tape *tape, Tensor *x, Tensor *weight, int parts, Tensor *out[]);
/* out[i] = x weight[i]^T for weights that are adjacent in memory. It is one product; the outputs are ranges of its
 * columns. */
void linear_group(Tape *tape, Tensor *x, Tensor *const weight[], int count, Tensor *out[]);
/* The same for several inputs side by side, [x_0 x_1 ..] weight[i]^T with x[0 .. parts-1], without copying them
 * together. */
void linear_concatenated(Tape *tape, Tensor *const x[], int parts, Tensor *const weight[], int count, Tensor *out[]);
/* out[i] = x W_i^T for one or two block-diagonal W_i: weight[i] [cols / n, n*n] holds blocks of n x n, n = 1, 2, 4, 8
 * or 16 (NX-AI's LinearHeadwiseExpand). */
void linear_blocks(Tape *tape, Tensor *x, Tensor *const weight[], int count, Tensor *out[]);
/* out[i] = the next cols[i] columns of x, as views of x's memory. x must have no other use. */
void split(Tape *tape, Tensor *x, const int64_t cols[], int count, Tensor *out[]);
/* Repeats each head of x `group` times in a row: [N, heads*K] -> [N, heads*group*K]. Returns x itself if group is 1. */
Tensor *repeat_heads(Tape *tape, Tensor *x, int64_t heads, int64_t group);
/* x + bias, bias [1, cols]. */
Tensor *bias(Tape *tape, Tensor *x, Tensor *bias);
/* A copy of x that later blocks get as tape->handed_on: a value that one block hands to others besides the residual
 * stream. Only one block of a model may call this, and blocks before it must not use handed_on. */
Tensor *hand_on(Tape *tape, Tensor *x);
/* Of each document one row, given to all of its tokens: its last, or the mean of its rows. In basic/document_rows. */
Tensor *document_summary(Tape *tape, Tensor *x, bool mean);
/* In training, adds a term to the mean loss over the targets of each sequence: factor * the mean over its tokens of the
 * sums of the rows of x, fp32 [N, cols]. To this end each token's loss grows by (the sum of its row) * factor *
 * (targets of the sequence / T). Returns these additions, fp32 [N, 1]. Backward ignores their gradient: x gets the
 * gradient of the loss. */
Tensor *add_loss(Tape *tape, Tensor *x, float factor);
/* The rows of each document in the opposite order. In basic/document_rows. */
Tensor *reverse(Tape *tape, Tensor *x);
/* x + y. */
Tensor *add(Tape *tape, Tensor *x, Tensor *y);

/* y = w * s / sqrt(mean(s^2) + eps), s = x + residual, over groups of weight->cols columns (all of them, or one head).
 * `residual` may be NULL. *sum, if sum is not NULL, is s rounded to the element type, for use as the residual stream (x
 * itself if residual is NULL). The norm itself sees s before rounding, as fla's fused norm does. */
Tensor *rms_norm(Tape *tape, Tensor *x, Tensor *residual, Tensor *weight, float eps, Tensor **sum);
/* rms_norm of x silu(gate), or of x if gate is NULL, over groups of group_cols columns. Each group has its own weights:
 * weight [1, cols]. */
Tensor *rms_norm_groups(Tape *tape, Tensor *x, Tensor *gate, Tensor *weight, int64_t group_cols, float eps);
/* y = w * (s - mean(s)) / sqrt(var(s) + eps) + b, s = x + residual, var of the population, over groups of group_cols
 * columns (all of them, or one head: GroupNorm). weight and bias are [1, cols], with parts for each group, or [1,
 * group_cols], shared by all groups. `residual` and `sum` as in rms_norm. */
Tensor *layer_norm(Tape *tape, Tensor *x, Tensor *residual, Tensor *weight, Tensor *bias, int64_t group_cols, float eps,
                   Tensor **sum);
/* The same without residual and bias, and with the weight w + offset. */
Tensor *layer_norm_unbiased(Tape *tape, Tensor *x, Tensor *weight, float offset, int64_t group_cols, float eps);
/* rms_norm(x) * f(gate), per group of weight->cols columns; f is silu or sigmoid. */
Tensor *gated_rms_norm(Tape *tape, Tensor *x, Tensor *gate, Tensor *weight, Activation f, float eps);
/* x / sqrt(sum(x^2) + eps), per group of `cols` columns. */
Tensor *l2_norm(Tape *tape, Tensor *x, int64_t cols, float eps);
/* rms_norm without a weight: x / sqrt(mean(x^2) + eps), per group of `cols` columns. In norms/l2_norm. */
Tensor *rms_norm_plain(Tape *tape, Tensor *x, int64_t cols, float eps);
/* x / (max(|z|, e^-m) + eps) per head: divides the output of linear attention by the sum z of its weights. x [N,
 * heads*V]; z and m fp32 [N, heads]. m may be NULL: the divisor is then |z| + eps. */
Tensor *normalise(Tape *tape, Tensor *x, Tensor *z, Tensor *m, float eps);

/* Rotates each pair (x[d], x[d + head_dim/2]) of a head by position * theta^(-2d/head_dim), with positions from the
 * batch. head_dim is even and at most 512. */
Tensor *rotary(Tape *tape, Tensor *x, int64_t head_dim, float theta);
/* x + [sin(position f), cos(position f)], f_i = 10000^(-i / (cols/2 - 1)), with positions from the batch. x has at most
 * 512 columns. */
Tensor *sinusoid(Tape *tape, Tensor *x);
/* A table of the positions p = 0 .. rows - 1 as [sin(p f), cos(p f)], f_i = theta^(-2i/cols): [rows, cols]. */
Tensor *sinusoid_table(Tape *tape, int64_t rows, int64_t cols, float theta);
/* Linearized relative positional encoding (arXiv 2307.09270) with learned frequencies theta [heads, D], positions from
 * the batch: for each head y = [x cos(position * theta), x sin(position * theta)], [N, heads*D] -> [N, heads*2D]. D is
 * at most PROGRAM_COLS. */
Tensor *lrpe(Tape *tape, Tensor *x, Tensor *theta);
/* (x + x_bias) * (y + y_bias); the biases have one head's width and are the same for all heads. */
Tensor *biased_product(Tape *tape, Tensor *x, Tensor *x_bias, Tensor *y, Tensor *y_bias);
/* Features of a polynomial kernel, per head of `size` columns: phi(x) . phi(y) = (x . y)^2 (ReBased, arXiv 2402.10644)
 * or, with `taylor`, 1 + s + s^2 / 2 for s = x . y / sqrt(size) (Based, arXiv 2402.18668). [N, heads*size] -> [N,
 * heads*features], where `features` is a multiple of 8. */
Tensor *quadratic_features(Tape *tape, Tensor *x, int64_t size, bool taylor);
/* silu(gate) * up. */
Tensor *swiglu(Tape *tape, Tensor *gate, Tensor *up);
/* factor * x. */
Tensor *scale(Tape *tape, Tensor *x, float factor);
/* x * y, two activations of one shape. */
Tensor *multiply(Tape *tape, Tensor *x, Tensor *y);
/* The sum over b < 3 of sigmoid(gate_hb) x_b for each head h, which joins the branches of Native Sparse Attention
 * (arXiv 2502.11089). gate [N, heads*3] has gate_hb in column 3 h + b. */
Tensor *branch_gate(Tape *tape, Tensor *gate, Tensor *const x[3], int64_t heads);
/* x + (y - x) * w, three activations of one shape. */
Tensor *lerp(Tape *tape, Tensor *x, Tensor *y, Tensor *w);
/* Applies the function `kind` to every element of x. */
Tensor *activation(Tape *tape, Tensor *x, Activation kind);
/* Depthwise causal convolution over time, followed by silu if `silu`: y_t = silu(bias + sum_w weight[w]
 * x_{t-width+1+w}), where inputs before the start of the document are 0. weight [cols, width], width at most 64; bias
 * [1, cols] or NULL. */
Tensor *short_convolution(Tape *tape, Tensor *x, Tensor *weight, Tensor *bias, bool silu);
/* y_t = x_{t-1}, and 0 for the first token of a document. x may also be fp32, as log decays are; y has the type of
 * x. */
Tensor *token_shift(Tape *tape, Tensor *x);
/* Mixes of each token with the one before (RWKV, arXiv 2404.05892): out[i] = x + (x' - x) * (mu[i] + offset_i), i <
 * count <= 6, where x'_t = x_{t-1}, 0 for the first token of a document. All mu are parameters of cols entries, or all
 * are activations [N, cols]. offset is NULL or, if they are activations, may be a parameter [count, cols]. */
void token_mix(Tape *tape, Tensor *x, Tensor *const mu[], Tensor *offset, int count, Tensor *out[]);
/* factor * sigmoid(x), always fp32. In gates/activation. */
Tensor *sigmoid_gate(Tape *tape, Tensor *x, float factor);
/* -e^x: a log decay, always fp32 (RWKV-6). In gates/activation. */
Tensor *exponential_decay(Tape *tape, Tensor *x);
/* -e^A_log softplus(x + dt_bias): a log decay, always fp32. A_log, dt_bias [1, cols]. *log_step, if log_step is not
 * NULL: ln softplus(x + dt_bias), fp32. */
Tensor *softplus_decay(Tape *tape, Tensor *x, Tensor *A_log, Tensor *dt_bias, Tensor **log_step);
/* -e^A_log softplus(x + dt_bias) with one A_log for all channels of a head, at most 256: A_log [1, heads], dt_bias [1,
 * heads*channels]. If lower_bound is not 0 but negative, the result is lower_bound * sigmoid(e^A_log (x + dt_bias))
 * instead. */
Tensor *channel_decay(Tape *tape, Tensor *x, Tensor *A_log, Tensor *dt_bias, float lower_bound);
/* (y + D x) silu(gate), or y + D x if gate is NULL. D [1, cols]. */
Tensor *gated_skip(Tape *tape, Tensor *y, Tensor *x, Tensor *D, Tensor *gate);
/* q - D sigmoid(decay) k per head, with D and decay [1, heads]: Comba's correction of the output, applied to the query
 * (arXiv 2506.02475). */
Tensor *output_correction(Tape *tape, Tensor *q, Tensor *k, Tensor *D, Tensor *decay);
/* The keys of RWKV-7's state update (arXiv 2503.14456). x is the projected key, rate the in-context learning rate in
 * (0, 1); scale and mix are [1, cols]. With n = x scale / sqrt(sum((x scale)^2) + eps) per head of head_dim columns:
 * out[0] = x (1 + (rate - 1) mix) is the key written, out[1] = -n is the key that reads what is erased, and out[2] =
 * n rate the key with which it is erased. */
void rwkv7_keys(Tape *tape, Tensor *x, Tensor *rate, Tensor *scale, Tensor *mix, int64_t head_dim, float eps,
                Tensor *out[3]);
/* o + (sum of q u k over each head's columns) v: what a token reads of itself, for a state that holds only the tokens
 * before it (RWKV's bonus, arXiv 2404.05892). q, k [N, heads*K], o, v [N, heads*V], u [heads, K]; K and V are at most
 * PROGRAM_COLS. */
Tensor *current_token(Tape *tape, Tensor *o, Tensor *q, Tensor *k, Tensor *v, Tensor *u, int64_t heads);
/* max(log sigmoid(x + bias) / normalizer, clamp_min): a log decay, always fp32. bias [1, cols] or NULL; clamp_min =
 * -INFINITY: no limit. */
Tensor *log_sigmoid_gate(Tape *tape, Tensor *x, Tensor *bias, float normalizer, float clamp_min);

/* HGRN's forget gate f = bound + (1 - bound) sigmoid(x) (arXiv 2311.04823): returns log f, always fp32. *gated is 1 -
 * f, the share of new input, times silu(input) if input is not NULL. The bound of layer `layer` is the sum of
 * softmax(bounds, over layers) over layers 1 .. layer, hence always 0 for layer 0. bounds [layers, cols], or NULL for
 * 0. */
Tensor *lower_bound_gate(Tape *tape, Tensor *x, Tensor *input, Tensor *bounds, int64_t layer, Tensor **gated);

/* min(max(x, low), high). An infinite bound limits nothing. */
Tensor *clamp(Tape *tape, Tensor *x, float low, float high);
/* 1 - e^g in the tape's element type: the share of new input that belongs to the log decay g, fp32. */
Tensor *decay_complement(Tape *tape, Tensor *g);
/* e^x / sum(e^x), per group of `cols` columns. */
Tensor *group_softmax(Tape *tape, Tensor *x, int64_t cols);

typedef struct AttentionShape {
    int64_t heads, kv_heads; /* query head n reads key-value head n / (heads / kv_heads) */
    int64_t window;          /* a query sees the last `window` tokens, itself included; 0: all */
} AttentionShape;
/* Causal softmax attention within documents, scale 1/sqrt(head size). q [N, heads*D], k v [N, kv_heads*D] -> [N,
 * heads*D]; D is at most 256. On a CPU the sums for the gradient of q are divided by B and kv_heads, on which its last
 * bits depend. */
Tensor *attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, AttentionShape shape);
/* The same with forget gates (arXiv 2503.02130): the score of query i and key j has the sum of the log gates g of the
 * tokens j + 1 .. i. g [N, heads] fp32; no window. In softmax/attention. */
Tensor *forgetting_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *g, AttentionShape shape);
/* Causal softmax attention with the positions of PaTH (arXiv 2505.16381). With H_t = I - beta_t w_t w_t^T, the score of
 * query i and key j is scale (q_i H_i .. H_{j+1} k_j + the sum of forget over j+1 .. i). w has the shape of k; beta is
 * fp32 [N, kv_heads]; forget, log gates, is fp32 [N, heads] or NULL for 0. Heads have up to 128 columns; shape.window
 * is 0. */
Tensor *path_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *w, Tensor *beta, Tensor *forget,
                       AttentionShape shape);

/* Vector quantization (arXiv 2309.16354): replaces each key by the nearest of its head's codes c_s = c_sum_s /
 * max(c_count_s, 0.01). k [N, heads*K], K <= 256, c_sum [heads, codes*K], c_count [heads, codes] -> [N, heads*K]. The
 * gradient passes straight through to k. *index: the number of the code, I32 [N, heads], the first of equally near
 * ones; *error: |k - c|^2, fp32 [N, heads]; *codes: c [heads*codes, K], a constant. c_sum and c_count are buffers
 * (Parameter.moving_average): their gradients get the sum and the number of the keys with each code, without
 * sequences that are padding. */
Tensor *nearest_codes(Tape *tape, Tensor *k, Tensor *c_sum, Tensor *c_count, int64_t heads, Tensor **index,
                      Tensor **error, Tensor **codes);
typedef struct CodebookAttentionShape {
    int64_t heads;
    int64_t block, window; /* tokens */
    float scale;
} CodebookAttentionShape;
/* Transformer-VQ's attention (arXiv 2309.16354): causal softmax attention within documents, to keys k in and near the
 * query's own block and to their codes further back. Let s be the first token of query i's block, counting blocks from
 * the start of the document. For j >= s - window the score of key j is scale q_i k_j + r_i,i-j, without r where i - j >
 * window. For earlier j it is scale q_i c_j, so that one score per code serves all of them. q, k [N, heads*K], K <=
 * 256, v [N, heads*V], relative [N, heads*R] is r for the distances 0 .. R - 1, R > window; index and codes are those
 * of nearest_codes -> [N, heads*V]. Codes are constants. */
Tensor *codebook_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *relative, Tensor *index, Tensor *codes,
                           CodebookAttentionShape shape);
/* Means over blocks of `block` tokens, counted from the start of each document: [N, cols] -> [B*rows, cols], with
 * block_rows(tape_tokens_limit, block) rows for each sequence (document_blocks.h says which row is whose). Tokens after
 * a document's last whole block are in no mean. */
Tensor *block_means(Tape *tape, Tensor *x, int64_t block);

typedef struct BlockAttentionShape {
    int64_t heads, kv_heads; /* heads / kv_heads is a multiple of 16; head sizes up to 128 */
    int64_t block, count;    /* block: tokens of a block. count: how many blocks a token selects, at least 3 */
} BlockAttentionShape;
/* The compressed branch of Native Sparse Attention (arXiv 2502.11089). A token attends to the whole blocks of its
 * document that end at or before it, with scale 1/sqrt(D). q [N, heads*D]; k and v are the blocks' means, [B*rows,
 * kv_heads*D], as block_means returns them -> [N, heads*D], 0 for a token without such blocks. *selected, which has no
 * gradient, is a set of `count` blocks for each token and key head: the document's first block, the token's own, the
 * one before it, and of the others those with the largest softmax, summed over the query heads of the key head (of
 * equal ones the first). */
Tensor *compressed_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, BlockAttentionShape shape, Tensor **selected);
/* The selected branch: each token attends to the tokens up to itself in the blocks that it selected.
 * q [N, heads*D], k, v [N, kv_heads*D] -> [N, heads*D]. */
Tensor *selected_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *selected, BlockAttentionShape shape);

typedef struct SimplicialShape {
    int64_t heads, kv_heads;  /* query head n reads key-value head n / (heads / kv_heads); head sizes up to 128 */
    int64_t window1, window2; /* a query sees this many of the last tokens, itself included, as k1 and k2 */
    float k2_bias, v2_bias;   /* added to every entry of k2 and v2 */
} SimplicialShape;
typedef struct SimplicialInputs {
    Tensor *q, *k1, *v1, *k2, *v2; /* q [N, heads*D], others [N, kv_heads*D] */
} SimplicialInputs;
/* 2-simplicial attention (arXiv 2507.02754) within documents: one softmax over all pairs of a token j in the first
 * window and a token k in the second, of the scores D^(-1/2) sum over d of q_id k1_jd k2_kd. o_i is the sum of its
 * weights times the elementwise products v1_j * v2_k -> [N, heads*D]. */
Tensor *simplicial_attention(Tape *tape, SimplicialInputs in, SimplicialShape shape);

/* The matrix product in the max-plus semiring: y_j = max over i of x_i + w_ij, for each head of x. x [N, heads*K]; w
 * [K, J] is shared by all heads -> [N, heads*J]. K and J are at most 256. */
Tensor *max_plus_product(Tape *tape, Tensor *x, Tensor *w);
/* Tropical attention (arXiv 2505.17190), per head: o_i = the elementwise maximum over the document's tokens j <= i of
 * s_ij + v_j, where -s_ij is the largest minus the smallest entry of q_i - k_j. q, k, v [N, heads*D] -> [N, heads*D]; D
 * is at most 256. */
Tensor *tropical_attention(Tape *tape, Tensor *q, Tensor *k, Tensor *v, int64_t heads);

/* Values minus what the earlier ones predict (DeltaFormer, arXiv 2505.19488): u_i = v_i - beta_i sum over the
 * document's j < i of softmax_j(q_i k_j / sqrt(D)) u_j, per head. q, k, v [N, heads*D], beta [N, heads] of q's type ->
 * u [N, heads*D]; D is at most 256. */
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
/* The same with gates on the values: the first pass of gated slot attention (arXiv 2409.07146): S_t = S_{t-1}
 * diag(e^g_t) + k_t s_t^T, o_t = scale q_t S_t. q [N, heads*K], k [N, kv_heads*K], s [N, kv_heads*M], g [N, kv_heads*M]
 * fp32 log decays -> o [N, heads*M]. initial: the transposed state before the first token, fp32 [B*kv_heads*M, K], or
 * NULL for zero. *final, if final is not NULL: that after the last token, same layout. */
Tensor *chunk_gla_values(Tape *tape, Tensor *q, Tensor *k, Tensor *s, Tensor *g, ChunkGlaShape shape, Tensor *initial,
                         Tensor **final);

typedef struct ChunkSimpleGlaShape {
    int64_t heads, key_size, value_size; /* of the states; K and V */
    float scale;
    const float *log_decay; /* [heads], for every token if there is no g; on the host, must outlive the tape; NULL: 0 */
} ChunkSimpleGlaShape;
/* The gates of tokens and heads. Each may be NULL. */
typedef struct ChunkSimpleGlaGates {
    Tensor *log_decay, *log_scale; /* g and s: fp32 [N, heads]; if NULL, g is the shape's log_decay and s is 0 */
    Tensor *skip;                  /* D: [1, heads]; if NULL, 0 */
} ChunkSimpleGlaGates;
/* Linear attention with one decay per head and token (Mamba-2, arXiv 2405.21060; retention, arXiv 2307.08621): S_t =
 * e^g_t S_{t-1} + e^s_t k_t v_t^T, o_t = scale q_t S_t + D v_t. q [N, q_heads*K], k [N, k_heads*K], v [N, v_heads*V],
 * where head n of `heads` reads query head n / (heads / q_heads), and so on; k_heads divides q_heads -> o [N, heads*V].
 * initial: state before the first token, fp32 [B*heads*K, V], or NULL for zero. *final, if final is not NULL: the state
 * after the last token, same layout. */
Tensor *chunk_simple_gla(Tape *tape, Tensor *q, Tensor *k, Tensor *v, ChunkSimpleGlaGates gates,
                         ChunkSimpleGlaShape shape, Tensor *initial, Tensor **final);

/* The output of chunk_simple_gla for values that are all 1, always fp32: n_t = e^g_t n_{t-1} + e^s_t k_t, z_t = scale
 * q_t . n_t, per head. q, k [N, heads*K], g and s fp32 [N, heads] or NULL for 0 -> z [N, heads]. initial: n before the
 * first token, fp32 [B*heads, K], or NULL for zero. *final, if final is not NULL: n after the last token, same
 * layout. */
Tensor *chunk_normaliser(Tape *tape, Tensor *q, Tensor *k, Tensor *log_decay, Tensor *log_scale, int64_t heads,
                         float scale, Tensor *initial, Tensor **final);

/* The gates of mLSTM (arXiv 2405.04517), stabilised by a running maximum, per head: with i = c(input + input_bias), f =
 * log sigmoid(c(forget + forget_bias)) and c(x) = cap tanh(x / cap), or x if cap is 0, m_t = max(f_t + m_{t-1}, i_t),
 * where m = 0 before the first token of a document. Returns the log decay f_t + m_{t-1} - m_t; *log_scale is i_t - m_t
 * and *m is m. The first two are at most 0, and all three are fp32. Inputs and outputs are [N, heads], the biases [1,
 * heads]; or input_bias holds both biases, [1, 2*heads], and forget_bias is NULL. The gradient treats m as a constant.
 * So what is computed from the three must not depend on m, as mLSTM's output does not. */
Tensor *exponential_gates(Tape *tape, Tensor *input, Tensor *input_bias, Tensor *forget, Tensor *forget_bias, float cap,
                          Tensor **log_scale, Tensor **m);
typedef struct MesaSolveShape {
    int64_t heads;
    int32_t steps; /* iterations of conjugate gradients */
    float lower_bound;
} MesaSolveShape;
/* The query with which a Mesa layer reads its memory (arXiv 2506.05233): x_t = (H_t + diag(l))^-1 q_t per head, by
 * conjugate gradients from 0, with H_t = e^g_t H_{t-1} + e^s_t k_t k_t^T and l = softplus(lambda) + lower_bound. As in
 * fla, 1e-5 is added to both denominators of an iteration, also when backward solves for the gradient of q. The effect
 * of that depends on the scale of the gradient (Batch.mean_of). q, k [N, heads*K], K <= 128, g, s fp32 [N, heads],
 * lambda [1, heads*K] -> x [N, heads*K]. initial: H before the first token, fp32 [B*heads*K, K], or NULL for zero.
 * *final, if final is not NULL: H after the last token, same layout. */
Tensor *mesa_solve(Tape *tape, Tensor *q, Tensor *k, Tensor *g, Tensor *s, Tensor *lambda, MesaSolveShape shape,
                   Tensor *initial, Tensor **final);

/* The linear recurrence of single channels: h_t = e^g_t h_{t-1} + x_t for every column (HGRN, arXiv 2311.04823). g [N,
 * cols] fp32 log decays; initial: h before the first token, fp32 [B, cols], or NULL for zero. *final, if final is not
 * NULL: h after the last token, same layout. */
Tensor *diagonal_scan(Tape *tape, Tensor *x, Tensor *g, Tensor *initial, Tensor **final);

/* How complex_scan computes the decay alpha_t of column c from a_0 and a_1, columns 2c and 2c + 1 of `a`: sigmoid(a_0)
 * e^(i a_1), or, if cartesian, sigmoid(|z|) z / |z| with z = a_0 + i a_1. */
typedef struct ComplexTransition {
    bool cartesian;
    float gradient_factor; /* the gradient of `a` is multiplied by this; usually 1 */
} ComplexTransition;
/* The linear recurrence of complex channels: S_t = alpha_t S_{t-1} + k_t v_t, o_t = q_t Re S_t for every column
 * (GateLoop, arXiv 2311.01927). q, k, v [N, cols], a [N, 2 cols]; initial: S before the first token, fp32 [B, 2 cols],
 * with all real parts first, or NULL for zero. *final, if final is not NULL: S after the last token, same layout. */
Tensor *complex_scan(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *a, ComplexTransition transition,
                     Tensor *initial, Tensor **final);

/* The LSTM's recurrence (Hochreiter & Schmidhuber 1997, as torch.nn.LSTM): i, f, g, o = x_t + h_{t-1} W^T + bias, c_t =
 * sigmoid(f) c_{t-1} + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t). x [N, 4D], the inputs' part; W = hidden [4D, D],
 * bias [1, 4D] -> h [N, D]. initial: h and c before the first token, fp32 [B, 2D], or NULL for zero. *final, if final
 * is not NULL: those after the last token, same layout. In recurrences/recurrent_cell. */
Tensor *lstm(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial, Tensor **final);
/* The gated recurrent unit's (arXiv 1406.1078, as torch.nn.GRU): with p = h_{t-1} W^T + bias, r, z = sigmoid(x_t + p),
 * n = tanh(x_n + r p_n), h_t = (1 - z) n + z h_{t-1}. x [N, 3D], hidden [3D, D]; the state is h, fp32 [B, D]. In
 * recurrences/recurrent_cell. */
Tensor *gru(Tape *tape, Tensor *x, Tensor *hidden, Tensor *bias, Tensor *initial, Tensor **final);

/* A running softmax over the document's tokens so far (arXiv 2110.02488), for every column. With z_t = log sum over j
 * <= t of e^s_j, returns the token's weight e^(s_t - z_t); *g is the log decay z_{t-1} - z_t of the earlier tokens'
 * weights, always fp32. At a document's first token these are 1 and 0. initial: z before the first token, fp32 [B,
 * cols], or NULL for none. *final, if final is not NULL: z after the last token, same layout. */
Tensor *running_softmax(Tape *tape, Tensor *s, Tensor *initial, Tensor **g, Tensor **final);

/* Mamba's selective scan (arXiv 2312.00752): for every column of x and state n < N, with t = softplus(dt + dt_bias),
 * h_n = e^(-t e^A_log) h_n + t B_n x, y = sum over n of C_n h_n. x, dt [rows, cols]; B, C [rows, N], N at most 64, the
 * same for all columns; A_log [cols, N], dt_bias [1, cols]. initial: h before the first token, fp32 [B*cols, N], or
 * NULL for zero. *final, if final is not NULL: h after the last token, same layout. */
Tensor *selective_scan(Tape *tape, Tensor *x, Tensor *dt, Tensor *B, Tensor *C, Tensor *A_log, Tensor *dt_bias,
                       Tensor *initial, Tensor **final);

typedef struct ChunkDeltaShape {
    int64_t heads, v_heads; /* value head n reads query and key head n / (v_heads / heads) */
    int64_t steps;          /* updates of the state per token */
    bool undecayed; /* the update uses v_t - k_t S_{t-1}, the state before its decay, in place of v_t - k_t S (Comba,
                       arXiv 2506.02475); only with one step */
} ChunkDeltaShape;
/* The gated delta rule (arXiv 2412.06464): S <- e^g_t S_{t-1}, S_t = S + beta_t k_t (v_t - k_t S)^T, o_t = K^(-1/2) q_t
 * S_t, per value head. With several steps, S_t is the state after the token's updates 0 .. steps-1, made one after
 * another. q [N, heads*K], k [N, steps*heads*K], v [N, steps*v_heads*V], beta [N, steps*v_heads] fp32 or NULL for 1, g
 * [N, v_heads] fp32 log decays or NULL for 0 -> o [N, v_heads*V]. Keys are expected to be normalized: |k| <= 1.
 * initial: state before the first token, fp32 [B*v_heads*K, V], or NULL for zero. *final, if final is not NULL: the
 * state after the last token, same layout. */
Tensor *chunk_delta(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, Tensor *g, ChunkDeltaShape shape,
                    Tensor *initial, Tensor **final);

/* The delta rule with a diagonal plus low-rank transition, as in RWKV-7 (arXiv 2503.14456): S_t = diag(e^g_t) S_{t-1} +
 * b_t (a_t S_{t-1}) + k_t v_t^T, o_t = scale q_t S_t, per head; a reads the state before its decay. q, k, a, b [N,
 * heads*K], v [N, heads*V], g [N, heads*K] fp32 log decays <= 0 -> o [N, heads*V]; K <= 256. initial: state before the
 * first token, fp32 [B*heads*K, V], or NULL for zero. *final, if final is not NULL: the state after the last token,
 * same layout. */
Tensor *chunk_dplr(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *a, Tensor *b, Tensor *g, int64_t heads,
                   float scale, Tensor *initial, Tensor **final);
/* Kimi Delta Attention (arXiv 2510.26692): S <- diag(e^g_t) S_{t-1}, S_t = S + beta_t k_t (v_t - k_t S)^T, o_t =
 * K^(-1/2) q_t S_t, per head. As chunk_dplr, with beta [N, heads] fp32; where beta is below 1e-15 its gradient is given
 * as 0. Keys are expected to be normalized: |k| <= 1. In recurrences/chunk_dplr. */
Tensor *chunk_kda(Tape *tape, Tensor *q, Tensor *k, Tensor *v, Tensor *beta, Tensor *g, int64_t heads, Tensor *initial,
                  Tensor **final);

typedef struct LossShape {
    float pull; /* the gradient includes that of pull / 2 times the square of each target's largest logit, which keeps
                   logits small (RWKV's L2Wrap) */
    float cap;  /* the logits are cap tanh(x W^T / cap); 0: x W^T */
    float smoothing; /* s of label smoothing (arXiv 1512.00567): the target is 1 - s for the label plus s spread evenly
                        over all words */
    float z_loss;    /* weight of log(softmax denominator)^2, which is added to the loss (arXiv 2204.02311) */
} LossShape;
/* Distillation (arXiv 1503.02531): the model whose distribution over the next word this one learns. */
typedef struct LossTeacher {
    Tensor *x, *weight, *bias; /* its logits are x W^T + bias, over the same words as those of the loss; x is a constant
                                  and the weights are frozen */
    float cap;
    float share; /* weight of the divergence in what is minimised; the cross-entropy's is 1 - share */
} LossTeacher;
/* Cross-entropy of x W^T + bias (bias [1, vocabulary] or NULL) against the batch's labels. Works in chunks of tokens,
 * so that the logits never exist as a whole. Returns the losses, fp32 [N, 1], 0 where the label is -100. The gradient
 * is that of their plain sum: backward ignores the gradient of the output, and the optimizer divides by the number of
 * targets.
 *
 * With a teacher (NULL: none), *divergences are KL(teacher || softmax(x W^T + bias)) of the same tokens, fp32 [N, 1],
 * and the gradient is that of the sum of (1 - share) losses + share divergences. The returned losses do not change.
 *
 * *margins, if margins is not NULL, are the label's logit minus the largest logit, fp32 [N, 1]: 0 where no word is more
 * likely than the label, and where the label is -100. They have no gradient. */
Tensor *linear_cross_entropy(Tape *tape, Tensor *x, Tensor *weight, Tensor *bias, LossShape shape,
                             const LossTeacher *teacher, Tensor **divergences, Tensor **margins);
/* The losses of a regression: (y - value)^2, and 0 where the batch's label is -100. y [N, 1], value fp32 [N, 1] -> fp32
 * [N, 1]. The gradient is that of their plain sum, as in linear_cross_entropy. */
Tensor *squared_error(Tape *tape, Tensor *y, Tensor *value);

#endif
