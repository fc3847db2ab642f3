/* The fast matrix products of a GPU need operands whose addresses and rows are multiples of 16 bytes. Checks every
 * product of a micro-batch of every file of configs/, with the addresses of the memory plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <glob.h>

#include "config/config.h"
#include "support/capture.h"
#include "training/session.h"
#include "training/setup.h"

const Device *__real_device_counting(void);
const Device *__wrap_device_counting(void);

static int products, misaligned;

static void count_product(const Gemm *g) {
    products++;
    if (gemm_is_aligned(g)) return;
    misaligned++;
    print_error("[%lld, %lld] times [%lld, %lld]: at %p, %p and %p, rows %lld, %lld and %lld elements apart\n",
                (long long)g->m, (long long)g->k, (long long)g->k, (long long)g->n, g->a, g->b, g->c, (long long)g->lda,
                (long long)g->ldb, (long long)g->ldc);
}

const Device *__wrap_device_counting(void) {
    static Device device;
    device = *__real_device_counting();
    device.gemm = count_product;
    return &device;
}

/* Runs a micro-batch in `type` and returns how many of its products are not aligned. `mixer` is the model_type of a
 * file that leaves it to the command line, else NULL. */
static int count_misaligned(char *path, const char *mixer, const char *type) {
    char precision[64], model_type[64], heads[] = "--model.num_heads=4",
                                        attn[] = "--model.attn={layers: [1], num_heads: 4}";
    snprintf(precision, sizeof precision, "--training.mixed_precision_param=%s", type);
    snprintf(model_type, sizeof model_type, "--model.model_type=%s", mixer ? mixer : "");
    const bool hybrid = mixer && strcmp(mixer, "samba") == 0;
    char *arguments[] = {"--config", path, precision, model_type, hybrid ? attn : heads};
    const bool needs_heads =
        hybrid || (mixer && strcmp(mixer, "mamba2") == 0); /* the default does not fit this hidden_size */
    TrainConfig config;
    Model *model = NULL;
    assert_int_equal(config_load(!mixer ? 3 : !needs_heads ? 4 : 5, arguments, &config), OK);
    assert_int_equal(model_create(config.model, &model), OK);
    products = misaligned = 0;
    runner_plan(model, setup_runner(&config, NULL), true);
    assert_true(products > 0);
    model_destroy(model);
    config_free(&config);
    if (misaligned)
        print_error("%s %s, %s: %d of %d products are not aligned\n", path, mixer ? mixer : "", type, misaligned,
                    products);
    return misaligned;
}

static int count_in_both_types(char *path, const char *mixer) {
    return count_misaligned(path, mixer, "bfloat16") + count_misaligned(path, mixer, "float32");
}

static int count_with_every_mixer(char *path) {
    int count = 0;
    for (int i = 0; mixer_at(i); i++) count += count_in_both_types(path, mixer_at(i)->model_type);
    return count;
}

static void test_every_product_is_aligned(void **state) {
    (void)state;
    glob_t files;
    int total = 0;
    assert_int_equal(glob("configs/*.yaml", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++)
        total += strcmp(files.gl_pathv[i], "configs/bytes.yaml") == 0 ? count_with_every_mixer(files.gl_pathv[i])
                                                                      : count_in_both_types(files.gl_pathv[i], NULL);
    globfree(&files);
    assert_int_equal(total, 0);
}

static void shard_unit(Unit *unit) {
    Session session = {0};
    session.comm = comm_self_create();
    if (mesh_create(session.comm, device_cpu(), 1, &session.mesh) != OK) _exit(70);
    fsdp_create(&session.mesh, device_cpu(), unit, 1, (FsdpOptions){.type = BF16, .replicas = 1});
}

static void test_a_unit_that_is_not_aligned_ends_the_job(void **state) {
    (void)state;
    Model *model = NULL;
    char said[4096];
    assert_int_equal(model_from_file("tests/golden/gated_deltanet/config.json", &model), OK);
    Unit *unit = &model->unit[1];
    unit->parameter[unit->parameters - 1].offset++;
    Capture capture = capture_begin(2);
    const pid_t child = fork();
    if (child == 0) {
        shard_unit(unit);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    capture_end(&capture, said, sizeof said);
    assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    assert_non_null(strstr(said, "model.layers.0.mlp.down_proj.weight begins at element "));
    model_destroy(model);
}

static void test_gaps_are_no_parameters(void **state) {
    (void)state;
    Model *model = NULL;
    assert_int_equal(model_from_file("tests/golden/gated_deltanet/config.json", &model), OK);
    int64_t elements = 0, count = 0;
    for (int u = 0; u < model->units; u++) {
        elements += model->unit[u].elements;
        for (int i = 0; i < model->unit[u].parameters; i++) count += model->unit[u].parameter[i].elements;
    }
    assert_true(elements > count); /* there are gaps */
    assert_int_equal(model_parameter_count(model), count);
    model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_product_is_aligned),
                                       cmocka_unit_test(test_a_unit_that_is_not_aligned_ends_the_job),
                                       cmocka_unit_test(test_gaps_are_no_parameters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
