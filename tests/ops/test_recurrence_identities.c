/* Recurrences that are equivalent for special inputs, for example if the gates of one are open, or equal for all
 * channels. Compares outputs and the gradients of all inputs that both use: bit for bit where the same kernels compute
 * both, else up to the rounding of fp32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "models/mixers/mlstm.h"
#include "ops/op_identity.h"

enum { HEADS = 2, K = 32, V = 48, T = 200 };
static const float key_scale = 0.17677669529663687f; /* K^(-1/2) */

enum { Q, KEY, VALUE, BETA, GATE, CHANNEL_GATE, BONUS, LAMBDA };

static const ChunkSimpleGlaShape linear_shape = {
    .heads = HEADS, .key_size = K, .value_size = V, .scale = 0.17677669529663687f};
static const ChunkDeltaShape delta_shape = {HEADS, HEADS, 1, false}, undecayed_shape = {HEADS, HEADS, 1, true};
static const ChunkGlaShape gla_shape = {HEADS, HEADS, 0};

/* Repeats the number of a head for each of its channels. */
static Tensor *of_channels(Tape *tape, Tensor *x, int64_t channels) { return repeat_heads(tape, x, HEADS, channels); }
static Tensor *ones_like(Tape *tape, Tensor *x) { return activation(tape, scale(tape, x, 0), ACTIVATION_ONE_PLUS_ELU); }

static Tensor *linear_with(Tape *tape, Tensor *const in[], ChunkSimpleGlaGates gates) {
    return chunk_simple_gla(tape, in[Q], in[KEY], in[VALUE], gates, linear_shape, NULL, NULL);
}
static Tensor *plain_linear(Tape *tape, Tensor *const in[]) { return linear_with(tape, in, (ChunkSimpleGlaGates){0}); }
static Tensor *linear_with_gate(Tape *tape, Tensor *const in[]) {
    return linear_with(tape, in, (ChunkSimpleGlaGates){.log_decay = in[GATE]});
}
static Tensor *linear_with_scale(Tape *tape, Tensor *const in[]) {
    return linear_with(tape, in, (ChunkSimpleGlaGates){.log_scale = in[GATE]});
}
static Tensor *linear_with_both(Tape *tape, Tensor *const in[]) {
    return linear_with(tape, in, (ChunkSimpleGlaGates){.log_decay = in[GATE], .log_scale = in[BETA]});
}
static const float decays[HEADS] = {-0.031748699f, -0.015748357f}; /* ln(1 - 2^-5), ln(1 - 2^-6) */
static Tensor *retention(Tape *tape, Tensor *const in[]) {
    ChunkSimpleGlaShape shape = linear_shape;
    shape.log_decay = decays;
    return chunk_simple_gla(tape, in[Q], in[KEY], in[VALUE], (ChunkSimpleGlaGates){0}, shape, NULL, NULL);
}
/* A lambda of 1e8 is so large that the keys do not matter, and x is q / lambda. */
static Tensor *mesa(Tape *tape, Tensor *const in[]) {
    const MesaSolveShape shape = {HEADS, 4, 0};
    Tensor *x = mesa_solve(tape, in[Q], in[KEY], in[GATE], in[BETA], in[LAMBDA], shape, NULL, NULL);
    const ChunkSimpleGlaGates both = {.log_decay = in[GATE], .log_scale = in[BETA]};
    return chunk_simple_gla(tape, scale(tape, x, 1e8f), in[KEY], in[VALUE], both, linear_shape, NULL, NULL);
}

static Tensor *gla_with(Tape *tape, Tensor *const in[], Tensor *gate) {
    return chunk_gla(tape, in[Q], in[KEY], in[VALUE], gate, gla_shape, NULL, NULL);
}
static Tensor *gla(Tape *tape, Tensor *const in[]) { return gla_with(tape, in, in[CHANNEL_GATE]); }
static Tensor *gla_of_heads(Tape *tape, Tensor *const in[]) {
    return gla_with(tape, in, of_channels(tape, in[GATE], K));
}
/* Reads the state before the token, and adds the token itself. In gla, the state that is read has decayed once more. */
static Tensor *rwkv6(Tape *tape, Tensor *const in[]) {
    Tensor *q = scale(tape, in[Q], key_scale);
    Tensor *decayed = scale(tape, multiply(tape, q, exponential_decay(tape, in[CHANNEL_GATE])), -1);
    Tensor *o = chunk_gla(tape, decayed, token_shift(tape, in[KEY]), token_shift(tape, in[VALUE]),
                          token_shift(tape, in[CHANNEL_GATE]), (ChunkGlaShape){HEADS, HEADS, 1}, NULL, NULL);
    return current_token(tape, o, q, in[KEY], in[VALUE], in[BONUS], HEADS);
}
static Tensor *rwkv7_that_erases_nothing(Tape *tape, Tensor *const in[]) {
    Tensor *erased = scale(tape, in[KEY], 0);
    return chunk_dplr(tape, in[Q], in[KEY], in[VALUE], erased, in[KEY], in[CHANNEL_GATE], HEADS, key_scale, NULL, NULL);
}
static Tensor *gsa_of_one_slot(Tape *tape, Tensor *const in[]) {
    Tensor *s = decay_complement(tape, in[GATE]);
    return slot_attention(tape, in[Q], in[KEY], in[VALUE], s, in[GATE], (ChunkGlaShape){HEADS, HEADS, 1});
}
static Tensor *mean_with_gate(Tape *tape, Tensor *const in[]) {
    const ChunkSimpleGlaShape shape = {.heads = HEADS, .key_size = 1, .value_size = V, .scale = 1};
    Tensor *s = decay_complement(tape, in[GATE]);
    return chunk_simple_gla(tape, ones_like(tape, s), s, in[VALUE], (ChunkSimpleGlaGates){.log_decay = in[GATE]}, shape,
                            NULL, NULL);
}
static Tensor *hgrn(Tape *tape, Tensor *const in[]) {
    return diagonal_scan(tape, in[KEY], in[CHANNEL_GATE], NULL, NULL);
}
static Tensor *hgrn2_of_single_channels(Tape *tape, Tensor *const in[]) {
    Tensor *ones = ones_like(tape, in[KEY]), *again = ones_like(tape, in[KEY]);
    return chunk_gla(tape, ones, again, in[KEY], in[CHANNEL_GATE], (ChunkGlaShape){HEADS * K, HEADS * K, 1}, NULL,
                     NULL);
}

static Tensor *delta_with(Tape *tape, Tensor *const in[], Tensor *beta, Tensor *gate, ChunkDeltaShape shape) {
    return chunk_delta(tape, in[Q], in[KEY], in[VALUE], beta, gate, shape, NULL, NULL);
}
static Tensor *plain_delta(Tape *tape, Tensor *const in[]) { return delta_with(tape, in, in[BETA], NULL, delta_shape); }
static Tensor *delta_without_beta(Tape *tape, Tensor *const in[]) {
    return delta_with(tape, in, NULL, NULL, delta_shape);
}
static Tensor *delta_with_gate(Tape *tape, Tensor *const in[]) {
    return delta_with(tape, in, in[BETA], in[GATE], delta_shape);
}
static Tensor *comba(Tape *tape, Tensor *const in[]) {
    return delta_with(tape, in, in[BETA], in[GATE], undecayed_shape);
}
static Tensor *kda_with(Tape *tape, Tensor *const in[], Tensor *gate) {
    return chunk_kda(tape, in[Q], in[KEY], in[VALUE], in[BETA], gate, HEADS, NULL, NULL);
}
static Tensor *kda(Tape *tape, Tensor *const in[]) { return kda_with(tape, in, in[CHANNEL_GATE]); }
static Tensor *kda_of_heads(Tape *tape, Tensor *const in[]) {
    return kda_with(tape, in, of_channels(tape, in[GATE], K));
}
/* Writes beta k, and erases what k reads from the decayed state. */
static Tensor *rwkv7_that_erases_its_key(Tape *tape, Tensor *const in[]) {
    Tensor *beta = of_channels(tape, in[BETA], K);
    Tensor *written = multiply(tape, in[KEY], beta), *erasing = multiply(tape, in[KEY], beta);
    Tensor *found = multiply(tape, in[KEY], exponential_decay(tape, in[CHANNEL_GATE]));
    return chunk_dplr(tape, in[Q], written, in[VALUE], found, erasing, in[CHANNEL_GATE], HEADS, key_scale, NULL, NULL);
}
/* The same, but erases what k reads from the state before its decay. */
static Tensor *rwkv7_that_erases_undecayed(Tape *tape, Tensor *const in[]) {
    Tensor *beta = of_channels(tape, in[BETA], K), *found = scale(tape, in[KEY], -1);
    Tensor *written = multiply(tape, in[KEY], beta), *erasing = multiply(tape, in[KEY], beta);
    return chunk_dplr(tape, in[Q], written, in[VALUE], found, erasing, of_channels(tape, in[GATE], K), HEADS, key_scale,
                      NULL, NULL);
}

/* As many slots as there are key channels, all with the same scores. */
static Tensor *abc_of_equal_scores(Tape *tape, Tensor *const in[]) {
    Tensor *decay, *s = running_softmax(tape, scale(tape, in[CHANNEL_GATE], 0), NULL, &decay, NULL);
    return slot_attention(tape, in[Q], in[KEY], in[VALUE], s, decay, gla_shape);
}
static Tensor *attention_without_queries(Tape *tape, Tensor *const in[]) {
    Tensor *q = scale(tape, in[VALUE], 0), *k = scale(tape, in[VALUE], 0);
    return attention(tape, q, k, in[VALUE], (AttentionShape){HEADS, HEADS, 0});
}

static Tensor *sum_with(Tape *tape, Tensor *const in[], Tensor *log_decay, Tensor *log_scale) {
    return chunk_normaliser(tape, in[Q], in[KEY], log_decay, log_scale, HEADS, key_scale, NULL, NULL);
}
static Tensor *plain_sum(Tape *tape, Tensor *const in[]) { return sum_with(tape, in, NULL, NULL); }
static Tensor *sum_with_gate(Tape *tape, Tensor *const in[]) { return sum_with(tape, in, in[GATE], NULL); }
static Tensor *sum_with_both(Tape *tape, Tensor *const in[]) { return sum_with(tape, in, in[GATE], in[BETA]); }
static Tensor *linear_of_ones(Tape *tape, Tensor *const in[]) {
    const ChunkSimpleGlaGates both = {.log_decay = in[GATE], .log_scale = in[BETA]};
    const ChunkSimpleGlaShape shape = {.heads = HEADS, .key_size = K, .value_size = 1, .scale = key_scale};
    return chunk_simple_gla(tape, in[Q], in[KEY], ones_like(tape, in[GATE]), both, shape, NULL, NULL);
}

enum { INPUT = BETA, INPUT_BIAS, FORGET, FORGET_BIAS };

static Tensor *mlstm(Tape *tape, Tensor *const in[]) {
    const MlstmGates gates = {in[INPUT], in[INPUT_BIAS], in[FORGET], in[FORGET_BIAS], 0};
    return mlstm_cell(tape, in[Q], in[KEY], in[VALUE], gates, 1e-6f);
}
static Tensor *normalised(Tape *tape, Tensor *const in[]) {
    return normalised_attention(tape, in[Q], in[KEY], in[VALUE], HEADS, key_scale, 1e-6f);
}
static Tensor *normalised_with_gate(Tape *tape, Tensor *const in[]) {
    Tensor *gate = log_sigmoid_gate(tape, in[FORGET], in[FORGET_BIAS], 1, -INFINITY);
    Tensor *o = linear_with(tape, in, (ChunkSimpleGlaGates){.log_decay = gate});
    return normalise(tape, o, sum_with(tape, in, gate, NULL), NULL, 1e-6f);
}

enum { X, TIME, IN, OUT, A_LOG, DT_BIAS, A_LOG_OF_ALL, DT_BIAS_OF_ALL };

static Tensor *mamba(Tape *tape, Tensor *const in[]) {
    return selective_scan(tape, in[X], of_channels(tape, in[TIME], V), in[IN], in[OUT], in[A_LOG_OF_ALL],
                          in[DT_BIAS_OF_ALL], NULL, NULL);
}
static Tensor *mamba2(Tape *tape, Tensor *const in[]) {
    ChunkSimpleGlaGates gates = {0};
    gates.log_decay = softplus_decay(tape, in[TIME], in[A_LOG], in[DT_BIAS], &gates.log_scale);
    const ChunkSimpleGlaShape shape = {.heads = HEADS, .key_size = K, .value_size = V, .scale = 1};
    return chunk_simple_gla(tape, in[OUT], in[IN], in[X], gates, shape, NULL, NULL);
}

enum { CELL_INPUT, HIDDEN, BIAS, CELL = 40 };

static Tensor *lstm_cell(Tape *tape, Tensor *const in[]) {
    return lstm(tape, in[CELL_INPUT], in[HIDDEN], in[BIAS], NULL, NULL);
}
static Tensor *gated(Tape *tape, Tensor *x, Tensor *gate) {
    return multiply(tape, activation(tape, x, ACTIVATION_TANH), activation(tape, gate, ACTIVATION_SIGMOID));
}
static Tensor *scan_as_lstm(Tape *tape, Tensor *const in[]) {
    Tensor *x[4]; /* input, forget, value, output */
    split(tape, bias(tape, in[CELL_INPUT], in[BIAS]), (int64_t[]){CELL, CELL, CELL, CELL}, 4, x);
    Tensor *decay = log_sigmoid_gate(tape, x[1], NULL, 1, -INFINITY);
    return gated(tape, diagonal_scan(tape, gated(tape, x[2], x[0]), decay, NULL, NULL), x[3]);
}
static Tensor *gru_cell(Tape *tape, Tensor *const in[]) {
    return gru(tape, in[CELL_INPUT], in[HIDDEN], in[BIAS], NULL, NULL);
}
/* Without a bias, the reset gate has no effect. */
static Tensor *scan_as_gru(Tape *tape, Tensor *const in[]) {
    Tensor *x[3]; /* reset, update, value */
    split(tape, in[CELL_INPUT], (int64_t[]){CELL, CELL, CELL}, 3, x);
    Tensor *decay = log_sigmoid_gate(tape, x[1], NULL, 1, -INFINITY);
    Tensor *value = multiply(tape, activation(tape, x[2], ACTIVATION_TANH), decay_complement(tape, decay));
    return diagonal_scan(tape, value, decay, NULL, NULL);
}

static const OpCase gates = {
    .name = "gates",
    .B = 2,
    .packed = true,
    .input = {{.name = "q", .cols = HEADS * K},
              {.name = "k", .cols = HEADS * K, .low = -0.306, .high = 0.306},
              {.name = "v", .cols = HEADS * V},
              {.name = "beta", .cols = HEADS, .fp32 = true, .low = 1e-3, .high = 1},
              {.name = "g", .cols = HEADS, .fp32 = true, .low = -0.3, .high = 0},
              {.name = "g of channels", .cols = HEADS * K, .fp32 = true, .low = -0.3, .high = 0},
              {.name = "u", .rows = HEADS, .cols = K, .parameter = true},
              {.name = "lambda", .rows = 1, .cols = HEADS * K, .parameter = true}}};

/* Sums of weights that are never below 1, which mLSTM divides by at least. */
static const OpCase of_mlstm = {.name = "mlstm",
                                .B = 2,
                                .packed = true,
                                .input = {{.name = "q", .cols = HEADS * K, .low = 0.6, .high = 1.6},
                                          {.name = "k", .cols = HEADS * K, .low = 0.6, .high = 1.6},
                                          {.name = "v", .cols = HEADS * V},
                                          {.name = "i", .cols = HEADS},
                                          {.name = "i's bias", .rows = 1, .cols = HEADS, .parameter = true},
                                          {.name = "f", .cols = HEADS},
                                          {.name = "f's bias", .rows = 1, .cols = HEADS, .parameter = true}}};

static const OpCase of_mamba = {
    .name = "mamba",
    .B = 2,
    .packed = true,
    .input = {{.name = "x", .cols = HEADS * V},
              {.name = "dt", .cols = HEADS, .low = -3.5, .high = -1},
              {.name = "B", .cols = K},
              {.name = "C", .cols = K},
              {.name = "A_log", .rows = 1, .cols = HEADS, .parameter = true, .low = 0, .high = 2.8},
              {.name = "dt_bias", .rows = 1, .cols = HEADS, .parameter = true, .low = -0.5, .high = 0.5},
              {.name = "A_log of all", .rows = HEADS * V, .cols = K, .parameter = true},
              {.name = "dt_bias of all", .rows = 1, .cols = HEADS * V, .parameter = true}}};

#define CELL_OF(parts)                                                                                                 \
    {                                                                                                                  \
        {.name = "x", .cols = (parts)*CELL}, {.name = "W", .rows = (parts)*CELL, .cols = CELL, .parameter = true},     \
            {.name = "bias", .rows = 1, .cols = (parts)*CELL, .parameter = true},                                      \
    }
static const OpCase of_lstm = {.name = "lstm", .B = 2, .packed = true, .input = CELL_OF(4)};
static const OpCase of_gru = {.name = "gru", .B = 2, .packed = true, .input = CELL_OF(3)};

static void open_gates(OpProblem *problem) {
    fill_matrix(&problem->in[GATE], 0);
    fill_matrix(&problem->in[CHANNEL_GATE], 0);
}
static void constant_gates(OpProblem *problem) {
    Matrix *gate = &problem->in[GATE];
    for (int64_t i = 0; i < gate->rows * HEADS; i++) gate->value[i] = (double)decays[i % HEADS];
}
static void beta_of_one(OpProblem *problem) { fill_matrix(&problem->in[BETA], 1); }
static void bonus_of_one(OpProblem *problem) { fill_matrix(&problem->in[BONUS], 1); }
static void large_lambda(OpProblem *problem) { fill_matrix(&problem->in[LAMBDA], 1e8); }
/* Every input gate e^1.5, every forget gate open. */
static void constant_mlstm(OpProblem *problem) {
    fill_matrix(&problem->in[INPUT], 1);
    fill_matrix(&problem->in[INPUT_BIAS], 0.5);
    fill_matrix(&problem->in[FORGET], 128);
    fill_matrix(&problem->in[FORGET_BIAS], 0);
}
static void input_gates_of_one(OpProblem *problem) {
    fill_matrix(&problem->in[INPUT], 0);
    fill_matrix(&problem->in[INPUT_BIAS], 0);
}
static void no_recurrence(OpProblem *problem) { fill_matrix(&problem->in[HIDDEN], 0); }
static void no_recurrence_and_bias(OpProblem *problem) {
    no_recurrence(problem);
    fill_matrix(&problem->in[BIAS], 0);
}
static void same_for_heads(OpProblem *problem) {
    Matrix *in = problem->in;
    for (int64_t i = 0; i < HEADS * V; i++) {
        for (int64_t n = 0; n < K; n++) in[A_LOG_OF_ALL].value[i * K + n] = in[A_LOG].value[i / V];
        in[DT_BIAS_OF_ALL].value[i] = in[DT_BIAS].value[i / V];
    }
}

/* The gates of a chunk add up to about -10, which fp32 rounds by up to 5e-7; the relative error of the exponential is
 * the same. Without gates, only the sums over channels and tokens round. */
static const double ROUNDING = 1e-6, GATED = 2e-6;

static void recurrences_are_others(void **state) {
    (void)state;
    const Identity identities[] = {
        {"linear attention with a gate of 1", linear_with_gate, plain_linear, &gates, open_gates, ALL, 0},
        {"linear attention with a scale of 1", linear_with_scale, plain_linear, &gates, open_gates, ALL, 0},
        {"normaliser of linear attention with a gate of 1", sum_with_gate, plain_sum, &gates, open_gates, ALL, 0},
        {"gated_deltanet, a gate of 1: delta_net", delta_with_gate, plain_delta, &gates, open_gates, ALL, 0},
        {"comba, a gate of 1: delta_net", comba, plain_delta, &gates, open_gates, CPU_F32, ROUNDING},
        {"gla, gates of 1: linear_attn", gla, plain_linear, &gates, open_gates, CPU_F32, ROUNDING},
        {"kda, gates of 1: delta_net", kda, plain_delta, &gates, open_gates, CPU_F32, ROUNDING},
        {"delta_net, beta 1: without beta", plain_delta, delta_without_beta, &gates, beta_of_one, ALL, 0},
        {"linear attention with constant gates: retnet", linear_with_gate, retention, &gates, constant_gates, ALL, 0},
        {"gla, gates of heads: mamba2's", gla_of_heads, linear_with_gate, &gates, NULL, CPU_F32, GATED},
        {"kda, gates of heads: gated_deltanet", kda_of_heads, delta_with_gate, &gates, NULL, CPU_F32, GATED},
        {"rwkv6, a bonus of 1: gla", rwkv6, gla, &gates, bonus_of_one, CPU_F32, GATED},
        {"rwkv7 that erases nothing: gla", rwkv7_that_erases_nothing, gla, &gates, NULL, CPU_F32, GATED},
        {"rwkv7 that erases its key: kda", rwkv7_that_erases_its_key, kda, &gates, NULL, CPU_F32, GATED},
        {"rwkv7 that erases undecayed: comba", rwkv7_that_erases_undecayed, comba, &gates, NULL, CPU_F32, GATED},
        {"abc of equal scores: a mean", abc_of_equal_scores, attention_without_queries, &gates, NULL, CPU_F32, GATED},
        {"gsa of one slot: a mean", gsa_of_one_slot, mean_with_gate, &gates, NULL, CPU_F32, GATED},
        {"hgrn2 of single channels: hgrn", hgrn2_of_single_channels, hgrn, &gates, NULL, CPU_F32, GATED},
        {"mesa_net, a large lambda: mamba2's", mesa, linear_with_both, &gates, large_lambda, CPU_F32, GATED},
        {"values of 1: the normaliser", linear_of_ones, sum_with_both, &gates, NULL, CPU_F32, GATED},
        {"mlstm, constant gates: normalised attention", mlstm, normalised, &of_mlstm, constant_mlstm, CPU, 0},
        {"mlstm, input gates of 1: with decay", mlstm, normalised_with_gate, &of_mlstm, input_gates_of_one, CPU, 0},
        {"mamba, the same for a head: mamba2", mamba, mamba2, &of_mamba, same_for_heads, CPU_F32, GATED},
        {"lstm without recurrent weights: a scan", lstm_cell, scan_as_lstm, &of_lstm, no_recurrence, CPU_F32, GATED},
        {"gru without recurrent weights: a scan", gru_cell, scan_as_gru, &of_gru, no_recurrence_and_bias, CPU_F32,
         GATED},
    };
    expect_identities(identities, sizeof identities / sizeof *identities, T);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(recurrences_are_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
