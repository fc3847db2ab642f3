/* Recurrences with gates that do nothing are those without gates: outputs and gradients, bit for bit where the same
 * kernels compute both, else to the rounding of fp32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "models/mixers/mlstm.h"
#include "ops/op_run.h"

enum { HEADS = 2, K = 32, V = 48, T = 200 };
enum { Q, KEY, VALUE, BETA, GATE, CHANNEL_GATE };
enum { INPUT = BETA, INPUT_BIAS, FORGET, FORGET_BIAS };

static const ChunkSimpleGlaShape linear_shape = {
    .heads = HEADS, .key_size = K, .value_size = V, .scale = 0.17677669529663687f}; /* K^(-1/2) */
static const ChunkDeltaShape delta_shape = {HEADS, HEADS, 1, false}, undecayed_shape = {HEADS, HEADS, 1, true};

static Tensor *plain_linear(Tape *tape, Tensor *const in[]) {
    return chunk_simple_gla(tape, in[Q], in[KEY], in[VALUE], (ChunkSimpleGlaGates){0}, linear_shape, NULL, NULL);
}
static Tensor *linear_with_gate(Tape *tape, Tensor *const in[]) {
    const ChunkSimpleGlaGates gates = {.log_decay = in[GATE]};
    return chunk_simple_gla(tape, in[Q], in[KEY], in[VALUE], gates, linear_shape, NULL, NULL);
}
static Tensor *linear_with_scale(Tape *tape, Tensor *const in[]) {
    const ChunkSimpleGlaGates gates = {.log_scale = in[GATE]};
    return chunk_simple_gla(tape, in[Q], in[KEY], in[VALUE], gates, linear_shape, NULL, NULL);
}
static Tensor *gla(Tape *tape, Tensor *const in[]) {
    return chunk_gla(tape, in[Q], in[KEY], in[VALUE], in[CHANNEL_GATE], (ChunkGlaShape){HEADS, HEADS, 0}, NULL, NULL);
}
static Tensor *plain_delta(Tape *tape, Tensor *const in[]) {
    return chunk_delta(tape, in[Q], in[KEY], in[VALUE], in[BETA], NULL, delta_shape, NULL, NULL);
}
static Tensor *delta_with_gate(Tape *tape, Tensor *const in[]) {
    return chunk_delta(tape, in[Q], in[KEY], in[VALUE], in[BETA], in[GATE], delta_shape, NULL, NULL);
}
static Tensor *comba(Tape *tape, Tensor *const in[]) {
    return chunk_delta(tape, in[Q], in[KEY], in[VALUE], in[BETA], in[GATE], undecayed_shape, NULL, NULL);
}
static Tensor *kda(Tape *tape, Tensor *const in[]) {
    return chunk_kda(tape, in[Q], in[KEY], in[VALUE], in[BETA], in[CHANNEL_GATE], HEADS, NULL, NULL);
}
static Tensor *plain_sum(Tape *tape, Tensor *const in[]) {
    return chunk_normaliser(tape, in[Q], in[KEY], NULL, NULL, HEADS, linear_shape.scale, NULL, NULL);
}
static Tensor *sum_with_gate(Tape *tape, Tensor *const in[]) {
    return chunk_normaliser(tape, in[Q], in[KEY], in[GATE], NULL, HEADS, linear_shape.scale, NULL, NULL);
}
static Tensor *mlstm(Tape *tape, Tensor *const in[]) {
    const MlstmGates gates = {in[INPUT], in[INPUT_BIAS], in[FORGET], in[FORGET_BIAS], 0};
    return mlstm_cell(tape, in[Q], in[KEY], in[VALUE], gates, 1e-6f);
}
static Tensor *normalised(Tape *tape, Tensor *const in[]) {
    return normalised_attention(tape, in[Q], in[KEY], in[VALUE], HEADS, linear_shape.scale, 1e-6f);
}

/* `form` is what the problem is made for and what runs; it takes those of the inputs that it has. */
typedef Tensor *Form(Tape *tape, Tensor *const in[]);
static Form *form;
static void build(Tape *tape, Tensor *const in[], const OpCase *c, Tensor *out[]) {
    (void)c;
    out[0] = form(tape, in);
}
static const OpTest of_form = {.name = "form", .build = build};

static const OpCase gates_at_zero = {.name = "zero",
                                     .B = 2,
                                     .packed = true,
                                     .input = {{.name = "q", .cols = HEADS * K},
                                               {.name = "k", .cols = HEADS * K, .low = -0.306, .high = 0.306},
                                               {.name = "v", .cols = HEADS * V},
                                               {.name = "beta", .cols = HEADS, .fp32 = true, .low = 1e-3, .high = 1},
                                               {.name = "g", .cols = HEADS, .fp32 = true},
                                               {.name = "g of channels", .cols = HEADS * K, .fp32 = true}}};

/* Sums of weights that are never below 1, which mLSTM divides by at least. */
static const OpCase constant_gates = {.name = "constant",
                                      .B = 2,
                                      .packed = true,
                                      .input = {{.name = "q", .cols = HEADS * K, .low = 0.6, .high = 1.6},
                                                {.name = "k", .cols = HEADS * K, .low = 0.6, .high = 1.6},
                                                {.name = "v", .cols = HEADS * V},
                                                {.name = "i", .cols = HEADS},
                                                {.name = "i's bias", .rows = 1, .cols = HEADS, .parameter = true},
                                                {.name = "f", .cols = HEADS},
                                                {.name = "f's bias", .rows = 1, .cols = HEADS, .parameter = true}}};

static void fill(Matrix *matrix, double value) {
    for (int64_t i = 0; i < matrix->rows * matrix->cols; i++) matrix->value[i] = value;
}

static OpResult run(const OpProblem *problem, const OpBackend *backend, Form *given) {
    form = given;
    return op_run(problem, backend, (OpOptions){.threads = 2});
}

/* A bound of 0: bit for bit. */
static void expect_near(const char *what, const OpBackend *backend, const char *part, const Matrix *given,
                        const Matrix *expected, double bound) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < given->rows * given->cols; i++) {
        difference += pow(given->value[i] - expected->value[i], 2);
        size += pow(expected->value[i], 2);
    }
    if (!(sqrt(difference / size) <= bound))
        fail_msg("%s, %s: error of %s is %.3g", what, backend->name, part, sqrt(difference / size));
}

/* Compares the outputs and the gradients of the first `inputs` inputs. */
static void expect_same(const char *what, const OpProblem *problem, const OpBackend *backend, Form *gated, Form *plain,
                        int inputs, double bound) {
    OpResult given = run(problem, backend, gated), expected = run(problem, backend, plain);
    expect_near(what, backend, "the output", &given.out[0], &expected.out[0], bound);
    for (int i = 0; i < inputs; i++)
        expect_near(what, backend, problem->c->input[i].name, &given.in_gradient[i], &expected.in_gradient[i], bound);
    op_result_destroy(&given);
    op_result_destroy(&expected);
}

static void gates_of_one_do_nothing(void **state) {
    (void)state;
    static const struct {
        const char *what;
        Form *gated, *plain;
        int inputs;
        double bound; /* more than 0: other kernels, which round otherwise in bf16 */
    } identities[] = {
        {"linear attention with a gate of 1 (retnet, mamba2)", linear_with_gate, plain_linear, BETA, 0},
        {"linear attention with a scale of 1 (mamba2)", linear_with_scale, plain_linear, BETA, 0},
        {"its normaliser with a gate of 1", sum_with_gate, plain_sum, VALUE, 0},
        {"gated_deltanet is delta_net", delta_with_gate, plain_delta, GATE, 0},
        {"comba is delta_net", comba, plain_delta, GATE, 1e-6},
        {"gla is linear_attn", gla, plain_linear, BETA, 1e-6},
        {"kda is delta_net", kda, plain_delta, GATE, 1e-6},
    };
    const OpBackend backends[] = {
        {"cpu f32", device_cpu(), F32}, {"cpu bf16", device_cpu(), BF16}, {"emulator bf16", device_emulator(), BF16}};
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        for (size_t i = 0; i < sizeof identities / sizeof *identities; i++) {
            if (identities[i].bound > 0 && backends[b].type != F32) continue;
            form = identities[i].plain;
            OpProblem problem = op_problem_create(&of_form, &gates_at_zero, T, backends[b].type);
            fill(&problem.in[GATE], 0);
            fill(&problem.in[CHANNEL_GATE], 0);
            expect_same(identities[i].what, &problem, &backends[b], identities[i].gated, identities[i].plain,
                        identities[i].inputs, identities[i].bound);
            op_problem_destroy(&problem);
        }
    }
}

/* Every input gate e^1.5, every forget gate open. */
static void mlstm_with_constant_gates_is_normalised_attention(void **state) {
    (void)state;
    const OpBackend backends[] = {{"cpu f32", device_cpu(), F32}, {"cpu bf16", device_cpu(), BF16}};
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        form = normalised;
        OpProblem problem = op_problem_create(&of_form, &constant_gates, T, backends[b].type);
        fill(&problem.in[INPUT], 1);
        fill(&problem.in[INPUT_BIAS], 0.5);
        fill(&problem.in[FORGET], 128);
        fill(&problem.in[FORGET_BIAS], 0);
        expect_same("mlstm with constant gates", &problem, &backends[b], mlstm, normalised, BETA, 0);
        op_problem_destroy(&problem);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gates_of_one_do_nothing),
                                       cmocka_unit_test(mlstm_with_constant_gates_is_normalised_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
