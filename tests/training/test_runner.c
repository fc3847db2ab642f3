/* The loop over blocks: recomputing must not change a bit, and the memory plan must match the memory that is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "training/session.h"

typedef struct Gradients {
    double loss;
    int64_t count;
    float *values;
} Gradients;

static void fill_batch(HostBatch batch, int64_t B, int64_t T) {
    for (int64_t i = 0; i < B * T; i++) {
        batch.tokens[i] = (int32_t)((i * 37 + 11) % 72);
        batch.labels[i] = (int32_t)((i * 53 + 5) % 72);
        batch.segment[i] = (int32_t)(i % T / 50);
        batch.position[i] = (int32_t)(i % T % 50);
    }
}

/* Loss and all gradients of one micro-batch of a golden model with fresh weights. */
static Gradients run(const char *config, DType type, Recompute recompute, int64_t every, int micro_batches) {
    enum { B = 2, T = 80 };
    Model *model = NULL;
    Session session = {0};
    assert_int_equal(model_from_file(config, &model), OK);
    const RunnerOptions options = {
        .type = type, .recompute = recompute, .recompute_every = every, .B = B, .T = T, .training = true};
    assert_int_equal(
        session_open(&session, comm_self_create(), device_cpu(), model, options, session_sharding(&options)), OK);
    fsdp_initialise(session.fsdp, 3);
    Gradients g = {0};
    for (int m = 0; m < micro_batches; m++) {
        fill_batch(runner_batch(session.runner), B, T);
        runner_train(session.runner, m == micro_batches - 1);
    }
    int64_t targets = 0;
    runner_losses(session.runner, &g.loss, &targets);
    assert_int_equal(targets, micro_batches * B * T);
    g.values = malloc((size_t)model_parameter_count(model) * sizeof(float));
    assert_non_null(g.values);
    for (int u = 0; u < model->units; u++)
        for (int i = 0; i < model->unit[u].parameters; i++) {
            const Parameter *p = &model->unit[u].parameter[i];
            memcpy(g.values + g.count, model->unit[u].gradient_shard + p->offset, (size_t)p->elements * sizeof(float));
            g.count += p->elements;
        }
    session_close(&session);
    return g;
}

static const char *const configs[] = {"tests/golden/gla-conv-gqa/config.json",
                                      "tests/golden/gla-swa-packed/config.json",
                                      "tests/golden/transformer-qknorm/config.json",
                                      "tests/golden/gated_deltaproduct/config.json",
                                      "tests/golden/mamba2/config.json",
                                      "tests/golden/rwkv7/config.json"};

static void test_recomputing_changes_no_bit(void **state) {
    (void)state;
    static const struct {
        Recompute recompute;
        int64_t every;
    } recomputed[] = {{RECOMPUTE_SELECTIVE, 0}, {RECOMPUTE_FULL, 0}, {RECOMPUTE_SELECTIVE, 2}};
    for (size_t c = 0; c < sizeof configs / sizeof configs[0]; c++)
        for (DType type = F32; type <= BF16; type++) {
            const Gradients kept = run(configs[c], type, RECOMPUTE_NONE, 0, 1);
            for (int r = 0; r < LENGTH(recomputed); r++) {
                const Gradients again = run(configs[c], type, recomputed[r].recompute, recomputed[r].every, 1);
                assert_true(kept.loss == again.loss);
                assert_int_equal(kept.count, again.count);
                assert_memory_equal(kept.values, again.values, (size_t)kept.count * sizeof(float));
                free(again.values);
            }
            free(kept.values);
        }
}

static void test_gradients_of_micro_batches_add(void **state) {
    (void)state;
    const Gradients one = run(configs[1], F32, RECOMPUTE_SELECTIVE, 0, 1),
                    two = run(configs[1], F32, RECOMPUTE_SELECTIVE, 0, 2);
    double error = 0, norm = 0;
    for (int64_t i = 0; i < one.count; i++) {
        const double twice = 2 * (double)one.values[i];
        error += ((double)two.values[i] - twice) * ((double)two.values[i] - twice);
        norm += twice * twice;
    }
    assert_true(norm > 0 && error <= 1e-12 * norm); /* fp32 sums of two equal parts */
    free(one.values);
    free(two.values);
}

static void test_recomputing_saves_memory(void **state) {
    (void)state;
    Model *model = NULL;
    assert_int_equal(model_from_file(configs[1], &model), OK);
    int64_t kept[3];
    for (Recompute r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r++)
        kept[r] =
            runner_plan(model, (RunnerOptions){.type = F32, .recompute = r, .B = 2, .T = 80, .training = true}, false)
                .keep_bytes;
    assert_true(kept[RECOMPUTE_FULL] < kept[RECOMPUTE_SELECTIVE]);
    assert_true(kept[RECOMPUTE_SELECTIVE] < kept[RECOMPUTE_NONE]);
    const RunnerOptions second = {
        .type = F32, .recompute = RECOMPUTE_SELECTIVE, .recompute_every = 2, .B = 2, .T = 80, .training = true};
    const int64_t half = runner_plan(model, second, false).keep_bytes;
    assert_true(half > kept[RECOMPUTE_FULL] && half < kept[RECOMPUTE_NONE]);
    model_destroy(model);
}

/* There is no backward, so the inputs of other blocks are not kept. */
static void test_evaluation_keeps_two_boundaries(void **state) {
    (void)state;
    enum { B = 2, T = 80 };
    Model *model = NULL;
    assert_int_equal(model_from_file(configs[1], &model), OK);
    const int64_t kept = runner_plan(model, (RunnerOptions){.type = F32, .B = B, .T = T}, false).keep_bytes;
    assert_int_equal(kept, 2 * B * T * model->config.hidden_size * (int64_t)sizeof(float));
    model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recomputing_changes_no_bit), cmocka_unit_test(test_gradients_of_micro_batches_add),
        cmocka_unit_test(test_recomputing_saves_memory), cmocka_unit_test(test_evaluation_keeps_two_boundaries)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
