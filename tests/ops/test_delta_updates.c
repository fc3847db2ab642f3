/* Several updates per token (Gated DeltaProduct) are equivalent to one token per update, where the first has the
 * token's gate and the last its query. Outputs and gradients are compared; in fp32 they have the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/ops.h"
#include "ops/op_identity.h"

enum { HEADS = 2, K = 32, V = 48, T = 100, UPDATES = 2 };
enum { Q, KEY, VALUE, BETA, GATE };
enum { FIRST, LAST = UPDATES - 1 };

static Tensor *delta(Tape *tape, Tensor *const in[], int64_t steps) {
    const ChunkDeltaShape shape = {HEADS, HEADS, steps, false};
    return chunk_delta(tape, in[Q], in[KEY], in[VALUE], in[BETA], in[GATE], shape, NULL, NULL);
}
static Tensor *several_updates(Tape *tape, Tensor *const in[]) { return delta(tape, in, UPDATES); }
static Tensor *one_update(Tape *tape, Tensor *const in[]) { return delta(tape, in, 1); }

#define INPUTS_OF(updates)                                                                                             \
    {                                                                                                                  \
        {.name = "q", .cols = HEADS * K}, {.name = "k", .cols = (updates)*HEADS * K, .low = -0.306, .high = 0.306},    \
            {.name = "v", .cols = (updates)*HEADS * V},                                                                \
            {.name = "beta", .cols = (updates)*HEADS, .fp32 = true, .low = 1e-3, .high = 1},                           \
            {.name = "g", .cols = HEADS, .fp32 = true, .low = -0.3, .high = 0},                                        \
    }
static const OpCase of_tokens = {.name = "tokens", .B = 2, .packed = true, .input = INPUTS_OF(UPDATES)};
static const OpCase of_updates = {.name = "updates", .B = 2, .packed = true, .input = INPUTS_OF(1)};

static double *row_of(const Matrix *updates, int64_t token, int64_t update) {
    return updates->value + (token * UPDATES + update) * updates->cols;
}

/* The rows of tokens, each as that of the token's update `update`; those of other updates are 0. */
static void spread(Matrix *updates, const Matrix *tokens, int64_t update) {
    fill_matrix(updates, 0);
    for (int64_t n = 0; n < tokens->rows; n++)
        memcpy(row_of(updates, n, update), tokens->value + n * tokens->cols, (size_t)tokens->cols * sizeof(double));
}

static OpProblem update_by_update(const OpProblem *tokens) {
    OpProblem updates = form_problem(one_update, &of_updates, UPDATES * T, tokens->type);
    int32_t *segment = (int32_t *)updates.batch.segment, *position = (int32_t *)updates.batch.position;
    for (int64_t n = 0; n < updates.in[Q].rows; n++) {
        segment[n] = tokens->batch.segment[n / UPDATES];
        position[n] = tokens->batch.position[n / UPDATES] * UPDATES + (int32_t)(n % UPDATES);
    }
    for (int i = KEY; i <= BETA; i++)
        memcpy(updates.in[i].value, tokens->in[i].value,
               (size_t)(tokens->in[i].rows * tokens->in[i].cols) * sizeof(double));
    spread(&updates.in[Q], &tokens->in[Q], LAST);
    spread(&updates.in[GATE], &tokens->in[GATE], FIRST);
    spread(&updates.out_gradient[0], &tokens->out_gradient[0], LAST);
    return updates;
}

static void expect_near(const OpBackend *backend, const char *part, const Matrix *tokens, const Matrix *updates) {
    const double error = matrix_error(updates, tokens);
    /* Kernels for bf16 add in another order, so a few elements round the other way, by 2^-8. */
    if (!(error <= (backend->type == F32 ? 0 : 1e-4))) fail_msg("%s: error of %s is %.3g", backend->name, part, error);
}

/* Compares with the rows of the update `update`. */
static void expect_rows(const OpBackend *backend, const char *part, const Matrix *tokens, const Matrix *updates,
                        int64_t update) {
    Matrix rows = matrix_create(tokens->rows, tokens->cols);
    for (int64_t n = 0; n < rows.rows; n++)
        memcpy(rows.value + n * rows.cols, row_of(updates, n, update), (size_t)rows.cols * sizeof(double));
    expect_near(backend, part, tokens, &rows);
    matrix_destroy(&rows);
}

static void expect_same(const OpBackend *backend) {
    OpProblem tokens = form_problem(several_updates, &of_tokens, T, backend->type);
    OpProblem updates = update_by_update(&tokens);
    OpResult given = form_run(several_updates, &tokens, backend), apart = form_run(one_update, &updates, backend);
    expect_rows(backend, "the output", &given.out[0], &apart.out[0], LAST);
    expect_rows(backend, "q", &given.in_gradient[Q], &apart.in_gradient[Q], LAST);
    expect_rows(backend, "g", &given.in_gradient[GATE], &apart.in_gradient[GATE], FIRST);
    for (int i = KEY; i <= BETA; i++)
        expect_near(backend, of_tokens.input[i].name, &given.in_gradient[i], &apart.in_gradient[i]);
    op_result_destroy(&given);
    op_result_destroy(&apart);
    op_problem_destroy(&tokens);
    op_problem_destroy(&updates);
}

static void updates_are_tokens(void **state) {
    (void)state;
    for (int b = 0; b < ALL; b++) {
        const OpBackend backend = op_backend(b);
        expect_same(&backend);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(updates_are_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
