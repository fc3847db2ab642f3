/* flame-c export and import, from a golden folder and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <unistd.h>

#include "support/temporary.h"
#include "commands/commands.h"
#include "base/dtype.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/rewrite.h"
#include "checkpoint/tensor_folder.h"
#include "checkpoint/weights.h"
#include "models/model.h"

static const char golden[] = "tests/golden/gla";

static Status run_export(const char *checkpoint, const char *out, const char *type, const char *size) {
    char *argv[] = {"export",  "--checkpoint", (char *)checkpoint, "--out",      (char *)out,
                    "--dtype", (char *)type,   "--max-shard-size", (char *)size, NULL};
    return command_run(&export_command, 9, argv);
}

static Status run_import(const char *from, const char *out) {
    char *argv[] = {"import", "--from", (char *)from, "--out", (char *)out, NULL};
    return command_run(&import_command, 5, argv);
}

/* Whether both folders hold the same tensors, up to a relative `tolerance` (absolute below 2^-14, where float16 is
 * subnormal). */
static void assert_same_weights(const char *a_path, const char *b_path, SafeType type, double tolerance) {
    TensorFolder *a, *b;
    assert_int_equal(tensor_folder_open(a_path, "model", &a), OK);
    assert_int_equal(tensor_folder_open(b_path, "model", &b), OK);
    assert_int_equal(tensor_folder_count(a), tensor_folder_count(b));
    for (int64_t i = 0; i < tensor_folder_count(a); i++) {
        const SafeTensor *x = tensor_folder_entry(a, i), *y = tensor_folder_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(y->type, type);
        assert_int_equal(x->dims, y->dims);
        assert_memory_equal(x->shape, y->shape, (size_t)x->dims * sizeof *x->shape);
        float *values = malloc((size_t)x->elements * 8);
        assert_int_equal(safetensors_read_floats(x, 0, x->elements, values), OK);
        assert_int_equal(safetensors_read_floats(y, 0, x->elements, values + x->elements), OK);
        for (int64_t e = 0; e < x->elements; e++)
            assert_true(fabs(values[e] - values[x->elements + e]) <= tolerance * fmax(fabs(values[e]), 0x1p-14));
        free(values);
    }
    tensor_folder_close(a);
    tensor_folder_close(b);
}

static char *read_text(const char *folder, const char *name) {
    char *path = path_join(folder, name), *text;
    int64_t bytes;
    assert_int_equal(file_read_all(path, 1 << 20, &text, &bytes), 0);
    free(path);
    return text;
}

static void test_there_and_back(void **state) {
    (void)state;
    static const struct {
        const char *type, *size;
        SafeType expected;
        double tolerance;
        bool shards;
    } rows[] = {{"float32", "5GB", SAFE_F32, 0, false},
                {"bfloat16", "5GiB", SAFE_BF16, 0x1p-8, false},
                {"float16", "20KB", SAFE_F16, 0x1p-10, true}};
    char *run = temporary_path("run");
    assert_int_equal(run_import(golden, run), OK);
    char *step = checkpoint_find(run);
    assert_non_null(step);
    assert_int_equal(checkpoint_check(step), OK);
    assert_same_weights(golden, step, SAFE_F32, 0);
    for (size_t i = 0; i < 3; i++) {
        char *out = temporary_path(rows[i].type);
        assert_int_equal(run_export(run, out, rows[i].type, rows[i].size), OK);
        assert_same_weights(golden, out, rows[i].expected, rows[i].tolerance);
        char *config = read_text(out, "config.json"), *index = path_join(out, "model.safetensors.index.json");
        char expected[64];
        snprintf(expected, sizeof expected, "\"torch_dtype\": \"%s\"", rows[i].type);
        assert_non_null(strstr(config, expected));
        assert_non_null(strstr(config, "\"model_type\": \"gla\""));
        assert_int_equal(file_exists(index), rows[i].shards);
        assert_int_equal(run_export(run, out, rows[i].type, "5GB"), BAD_INPUT); /* not empty any more */
        char *again = path_join(temporary_folder, "again");
        assert_int_equal(run_import(out, again), OK);
        assert_int_equal(run_import(out, again), BAD_INPUT);
        assert_int_equal(folder_remove(again), 0);
        free(again), free(config), free(index), free(out);
    }
    free(step);
    free(run);
}

/* Makes the folder of a model with tied embeddings that contains lm_head.weight as well, as the last tensor. */
static char *folder_with_head(const char *name) {
    static const char source[] = "tests/golden/transformer-qknorm";
    char *folder = temporary_path(name), *to = path_join(folder, "config.json"),
         *config = read_text(source, "config.json");
    TensorFolder *tensors;
    const SafeTensor *list[64];
    assert_int_equal(folder_create(folder), 0);
    write_file(to, config, (int64_t)strlen(config));
    assert_int_equal(tensor_folder_open(source, "model", &tensors), OK);
    const int64_t count = tensor_folder_count(tensors);
    for (int64_t i = 0; i < count; i++) list[i] = tensor_folder_entry(tensors, i);
    SafeTensor head = *tensor_folder_find(tensors, "model.embeddings.weight");
    head.name = "lm_head.weight";
    list[count] = &head;
    const RewriteOptions options = {.type = SAFE_F32, .max_shard_bytes = 1 << 30};
    assert_int_equal(tensors_rewrite(list, count + 1, folder, options, NULL), OK);
    tensor_folder_close(tensors);
    free(config), free(to);
    return folder;
}

/* A head that equals the embeddings is accepted and not written again; a head that differs from them is refused. */
static void test_tied_heads(void **state) {
    (void)state;
    char *folder = folder_with_head("tied"), *run = temporary_path("tied-run"), *out = temporary_path("tied-out");
    char *config = path_join(folder, "config.json"), *weights = path_join(folder, "model.safetensors"), *text;
    Model *model = NULL;
    TensorFolder *tensors;
    int64_t bytes;
    assert_int_equal(model_from_file(config, &model), OK);
    assert_int_equal(tensor_folder_open(folder, "model", &tensors), OK);
    assert_int_equal(weights_check(tensors, folder, "", model->unit, model->units), OK);
    tensor_folder_close(tensors);
    assert_int_equal(run_import(folder, run), OK);
    assert_int_equal(run_export(folder, out, "float32", "1GB"), OK);
    assert_int_equal(tensor_folder_open(out, "model", &tensors), OK);
    assert_null(tensor_folder_find(tensors, "lm_head.weight"));
    tensor_folder_close(tensors);
    assert_int_equal(folder_remove(run), 0);
    assert_int_equal(folder_remove(out), 0);
    assert_int_equal(file_read_all(weights, 1 << 22, &text, &bytes), 0);
    text[bytes - 1] ^= 4;
    write_file(weights, text, bytes);
    assert_int_equal(run_import(folder, run), BAD_INPUT);
    assert_int_equal(run_export(folder, out, "float32", "1GB"), BAD_INPUT);
    assert_false(folder_exists(out));
    assert_int_equal(tensor_folder_open(folder, "model", &tensors), OK);
    assert_int_equal(weights_check(tensors, folder, "", model->unit, model->units), BAD_INPUT);
    tensor_folder_close(tensors);
    model_destroy(model);
    free(text), free(weights), free(config), free(out), free(run), free(folder);
}

static void test_refusals(void **state) {
    (void)state;
    char *run = temporary_path("refused"), *out = temporary_path("refused-out");
    assert_int_equal(run_import(golden, run), OK);
    char *step = checkpoint_find(run), *inner = path_join(step, "inner");
    assert_int_equal(run_export(run, step, "float32", "1GB"), BAD_INPUT);
    assert_int_equal(run_export(run, inner, "float32", "1GB"), BAD_INPUT);
    assert_int_equal(run_export(run, out, "float8", "1GB"), USAGE);
    static const char *const sizes[] = {"0", "-1", "GB", "1XB", "99999999999999999999", "9223372036854775807KB", ""};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(run_export(run, out, "float32", sizes[i]), USAGE);
    assert_int_equal(run_export("/dev/null", out, "float32", "1GB"), BAD_INPUT);
    assert_int_equal(run_import(temporary_folder, out), BAD_INPUT);
    assert_false(folder_exists(out));

    /* A flipped bit in the weights is found while they are exported, and nothing stays. */
    char *weights = path_join(step, "model.safetensors"), *text;
    int64_t bytes;
    assert_int_equal(file_read_all(weights, 1 << 22, &text, &bytes), 0);
    text[bytes / 2] ^= 4;
    write_file(weights, text, bytes);
    assert_int_equal(run_export(run, out, "bfloat16", "1GB"), BAD_INPUT);
    char **names;
    int64_t count;
    assert_int_equal(folder_list(temporary_folder, &names, &count), 0);
    for (int64_t i = 0; i < count; i++) assert_null(strstr(names[i], "refused-out"));
    folder_list_free(names, count);
    free(text), free(weights), free(inner), free(step), free(out), free(run);
}

/* Every half-precision number survives; the middle between two goes to the even one; what is too large becomes
 * infinite. */
static void test_float16(void **state) {
    (void)state;
    enum { HALVES = 0x7c00, EXTRA = 4, COUNT = 2 * HALVES + EXTRA };
    static float values[COUNT];
    char header[128];
    for (int i = 0; i < HALVES; i++) {
        const int exponent = i >> 10, mantissa = i & 1023;
        values[2 * i] = exponent ? ldexpf((float)(1024 + mantissa), exponent - 25) : ldexpf((float)mantissa, -24);
        values[2 * i + 1] = values[2 * i] + ldexpf(1, (exponent ? exponent : 1) - 26); /* half way to the next */
    }
    values[COUNT - 4] = 1e30f, values[COUNT - 3] = -INFINITY, values[COUNT - 2] = NAN, values[COUNT - 1] = -1e-30f;
    const int length = snprintf(header, sizeof header,
                                "{\"a\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", COUNT, 4 * COUNT);
    char *file = calloc(1, (size_t)(8 + length) + sizeof values), *path = temporary_path("halves.safetensors");
    file[0] = (char)length;
    memcpy(file + 8, header, (size_t)length);
    memcpy(file + 8 + length, values, sizeof values);
    write_file(path, file, 8 + length + (int64_t)sizeof values);

    SafeTensors *source;
    TensorFolder *result;
    static uint16_t halves[COUNT];
    char *out = temporary_path("halves");
    assert_int_equal(folder_create(out), 0);
    assert_int_equal(safetensors_open(path, &source), OK);
    const SafeTensor *tensor = safetensors_find(source, "a");
    const RewriteOptions options = {.type = SAFE_F16, .max_shard_bytes = 1 << 30};
    assert_int_equal(tensors_rewrite(&tensor, 1, out, options, NULL), OK);
    assert_int_equal(tensor_folder_open(out, "model", &result), OK);
    assert_int_equal(safetensors_read(tensor_folder_find(result, "a"), 0, sizeof halves, halves), OK);
    for (int i = 0; i < HALVES; i++) {
        assert_int_equal(halves[2 * i], i);
        assert_int_equal(halves[2 * i + 1], i + (i & 1));
    }
    assert_int_equal(halves[COUNT - 4], 0x7c00);
    assert_int_equal(halves[COUNT - 3], 0xfc00);
    assert_int_equal(halves[COUNT - 2] & 0x7c00, 0x7c00);
    assert_int_not_equal(halves[COUNT - 2] & 0x3ff, 0);
    assert_int_equal(halves[COUNT - 1], 0x8000);
    tensor_folder_close(result);
    safetensors_close(source);
    free(out), free(path), free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_tied_heads),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_float16)};
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
