/* Every rule of the format as a row: a file that breaks just this one, and whether it must open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <unistd.h>
#include <zlib.h>

#include "support/capture.h"
#include "support/temporary.h"
#include "base/dtype.h"
#include "base/crc.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_folder.h"

/* Writes u64 length | header | data_bytes zeros. */
static void write_tensors(const char *path, uint64_t length, const char *header, int64_t header_bytes,
                          int64_t data_bytes) {
    char *text = calloc(1, (size_t)(8 + header_bytes + data_bytes));
    for (int i = 0; i < 8; i++) text[i] = (char)(length >> 8 * i);
    memcpy(text + 8, header, (size_t)header_bytes);
    write_file(path, text, 8 + header_bytes + data_bytes);
    free(text);
}

static const struct {
    const char *what, *header;
    int64_t data_bytes;
    Status expected;
} headers[] = {
    {"one tensor", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", 24, OK},
    {"metadata",
     "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, OK},
    {"padding", "{\"a\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]}}     ", 8, OK},
    {"no tensor", "{}", 0, OK},
    {"scalar", "{\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, OK},
    {"empty tensor", "{\"a\":{\"dtype\":\"F64\",\"shape\":[3,0],\"data_offsets\":[0,0]}}", 0, OK},
    {"empty tensors amid",
     "{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"U8\",\"shape\":[0],"
     "\"data_offsets\":[4,4]},\"c\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[4,5]}}",
     5, OK},
    {"half bytes", "{\"a\":{\"dtype\":\"F4\",\"shape\":[6],\"data_offsets\":[0,3]}}", 3, OK},
    {"data but no tensor", "{}", 1, BAD_INPUT},
    {"array", "[]", 0, BAD_INPUT},
    {"leading space", " {}", 0, BAD_INPUT},
    {"newline behind", "{}\n", 0, BAD_INPUT},
    {"text behind", "{} x", 0, BAD_INPUT},
    {"cut off", "{\"a\":{\"dtype\":\"F32\"", 0, BAD_INPUT},
    {"not UTF-8", "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"NUL in a name", "{\"\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"NaN", "{\"a\":{\"dtype\":\"U8\",\"shape\":[NaN],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"name twice",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],"
     "\"data_offsets\":[0,1]}}",
     1, BAD_INPUT},
    {"key twice", "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"metadata not an object", "{\"__metadata__\":\"pt\"}", 0, BAD_INPUT},
    {"metadata number", "{\"__metadata__\":{\"format\":1}}", 0, BAD_INPUT},
    {"entry not an object", "{\"a\":1}", 0, BAD_INPUT},
    {"extra key", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", 1, BAD_INPUT},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, BAD_INPUT},
    {"unknown dtype", "{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, BAD_INPUT},
    {"small dtype", "{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, BAD_INPUT},
    {"dtype a number", "{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, BAD_INPUT},
    {"negative size", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2,-1],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"real size", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2.0],\"data_offsets\":[0,2]}}", 2, BAD_INPUT},
    {"text size", "{\"a\":{\"dtype\":\"U8\",\"shape\":[\"2\"],\"data_offsets\":[0,2]}}", 2, BAD_INPUT},
    {"shape a number", "{\"a\":{\"dtype\":\"U8\",\"shape\":2,\"data_offsets\":[0,2]}}", 2, BAD_INPUT},
    {"product wraps to 0", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     BAD_INPUT},
    {"bits wrap to 0", "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0,
     BAD_INPUT},
    {"0 x 2^64", "{\"a\":{\"dtype\":\"U8\",\"shape\":[0,18446744073709551615],\"data_offsets\":[0,0]}}", 0, BAD_INPUT},
    {"0 x overflow", "{\"a\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775807,2],\"data_offsets\":[0,0]}}", 0,
     BAD_INPUT},
    {"9 dimensions", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"half a byte", "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, BAD_INPUT},
    {"offsets reversed", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, BAD_INPUT},
    {"one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1]}}", 1, BAD_INPUT},
    {"three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1, BAD_INPUT},
    {"negative offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, BAD_INPUT},
    {"range too long", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, BAD_INPUT},
    {"range too short", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, BAD_INPUT},
    {"not from 0", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, BAD_INPUT},
    {"hole",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],"
     "\"data_offsets\":[2,3]}}",
     3, BAD_INPUT},
    {"overlap",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],"
     "\"data_offsets\":[1,3]}}",
     3, BAD_INPUT},
    {"same bytes",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],"
     "\"data_offsets\":[0,2]}}",
     2, BAD_INPUT},
    {"beyond the file", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1, BAD_INPUT},
    {"tail", "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3, BAD_INPUT},
};

static void test_headers(void **state) {
    (void)state;
    char *path = temporary_path("rule.safetensors");
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        const int64_t length = (int64_t)strlen(headers[i].header);
        write_tensors(path, (uint64_t)length, headers[i].header, length, headers[i].data_bytes);
        SafeTensors *file;
        const Status status = safetensors_open(path, &file);
        if (status != headers[i].expected) fail_msg("%s: got %d", headers[i].what, status);
        assert_true((file != NULL) == (status == OK));
        safetensors_close(file);
    }
    free(path);
}

static void test_lengths(void **state) {
    (void)state;
    static const uint64_t lengths[] = {0, 1, 3, 7, 100000001, UINT64_C(1) << 63, UINT64_MAX - 7, UINT64_MAX};
    char *path = temporary_path("length.safetensors");
    SafeTensors *file;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        write_tensors(path, lengths[i], "{}", 2, 0);
        assert_int_equal(safetensors_open(path, &file), BAD_INPUT);
        assert_null(file);
    }
    write_tensors(path, 100000001, "{}", 2, 0);
    assert_int_equal(truncate(path, 100000100), 0); /* the file holds the header */
    char message[1024];
    Capture capture = capture_begin(2);
    assert_int_equal(safetensors_open(path, &file), BAD_INPUT);
    capture_end(&capture, message, sizeof message);
    assert_non_null(strstr(message, "its header is longer than 100 MB"));
    for (int64_t bytes = 0; bytes < 10; bytes++) {
        write_file(path, "\x02\0\0\0\0\0\0\0{", bytes < 9 ? bytes : 9);
        assert_int_equal(safetensors_open(path, &file), BAD_INPUT);
    }
    assert_int_equal(safetensors_open(temporary_folder, &file), BAD_INPUT);
    assert_int_equal(safetensors_open("/dev/zero", &file), BAD_INPUT);
    assert_int_equal(safetensors_open("/dev/null/none", &file), BAD_INPUT);
    free(path);
}

static void test_values(void **state) {
    (void)state;
    static const char header[] = "{\"half\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"
                                 "\"brain\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[8,16]},"
                                 "\"double\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[16,24]},"
                                 "\"narrow\":{\"dtype\":\"I32\",\"shape\":[3],\"data_offsets\":[24,36]},"
                                 "\"wide\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[36,44]},"
                                 "\"byte\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[44,45]}}";
    const int64_t length = (int64_t)strlen(header);
    char file_text[sizeof header + 64] = {0};
    const uint16_t half[4] = {0x3c00, 0x8001, 0x7c00, 0x7bff};
    const bf16 brain[4] = {float_to_bf16(1.5f), float_to_bf16(-2), 0x7fc0, 0};
    const double number = 0.1;
    const int32_t narrow[3] = {-1, 2, INT32_MAX};
    const int64_t wide = -3;
    file_text[0] = (char)(length & 255), file_text[1] = (char)(length >> 8);
    char *data = file_text + 8 + length;
    memcpy(file_text + 8, header, (size_t)length);
    memcpy(data, half, 8), memcpy(data + 8, brain, 8), memcpy(data + 16, &number, 8), memcpy(data + 24, narrow, 12);
    memcpy(data + 36, &wide, 8);
    char *path = temporary_path("values.safetensors");
    write_file(path, file_text, 8 + length + 45);

    SafeTensors *file;
    float x[4];
    int64_t n[3];
    assert_int_equal(safetensors_open(path, &file), OK);
    assert_int_equal(safetensors_count(file), 6);
    assert_null(safetensors_find(file, "hal"));
    assert_int_equal(safetensors_read_floats(safetensors_find(file, "half"), 0, 4, x), OK);
    assert_true(x[0] == 1.0f && x[1] == -0x1p-24f && isinf(x[2]) && x[3] == 65504.0f);
    assert_int_equal(safetensors_read_floats(safetensors_find(file, "brain"), 1, 2, x), OK);
    assert_true(x[0] == -2.0f && isnan(x[1]));
    assert_int_equal(safetensors_read_floats(safetensors_find(file, "double"), 0, 1, x), OK);
    assert_true(x[0] == 0.1f);
    assert_int_equal(safetensors_read_integers(safetensors_find(file, "narrow"), 0, 3, n), OK);
    assert_true(n[0] == -1 && n[1] == 2 && n[2] == INT32_MAX);
    assert_int_equal(safetensors_read_integers(safetensors_find(file, "narrow"), 2, 1, n), OK);
    assert_true(n[0] == INT32_MAX);
    assert_int_equal(safetensors_read_integers(safetensors_find(file, "wide"), 0, 1, n), OK);
    assert_true(n[0] == -3);
    assert_int_equal(safetensors_read_floats(safetensors_find(file, "byte"), 0, 1, x), BAD_INPUT);
    assert_int_equal(safetensors_read_integers(safetensors_find(file, "half"), 0, 1, n), BAD_INPUT);
    safetensors_close(file);
    free(path);
}

static void test_shrunken_file(void **state) {
    (void)state;
    char *path = temporary_path("shrunken.safetensors");
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    write_tensors(path, strlen(header), header, (int64_t)strlen(header), 8);
    SafeTensors *file;
    float x[2];
    assert_int_equal(safetensors_open(path, &file), OK);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(safetensors_read_floats(safetensors_find(file, "a"), 0, 2, x), IO_ERROR);
    safetensors_close(file);
    free(path);
}

static void test_index(void **state) {
    (void)state;
    static const struct {
        const char *what, *index;
        Status expected;
    } rows[] = {
        {"good", "{\"metadata\":{\"total_size\":3},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}",
         OK},
        {"real total",
         "{\"metadata\":{\"total_size\":3.0},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", OK},
        {"no total", "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", OK},
        {"wrong total",
         "{\"metadata\":{\"total_size\":4},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}",
         BAD_INPUT},
        {"missing file", "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}", BAD_INPUT},
        {"swapped", "{\"weight_map\":{\"b\":\"1.safetensors\",\"a\":\"2.safetensors\"}}", BAD_INPUT},
        {"tensor not there",
         "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\",\"c\":\"2.safetensors\"}}", BAD_INPUT},
        {"tensor not listed", "{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}", BAD_INPUT},
        {"in two shards", "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\",\"d\":\"4.safetensors\"}}",
         BAD_INPUT},
        {"parent folder", "{\"weight_map\":{\"a\":\"../1.safetensors\"}}", BAD_INPUT},
        {"dots", "{\"weight_map\":{\"a\":\"..\"}}", BAD_INPUT},
        {"absolute", "{\"weight_map\":{\"a\":\"/1.safetensors\"}}", BAD_INPUT},
        {"empty name", "{\"weight_map\":{\"a\":\"\"}}", BAD_INPUT},
        {"number", "{\"weight_map\":{\"a\":1}}", BAD_INPUT},
        {"no map", "{\"metadata\":{}}", BAD_INPUT},
        {"map not an object", "{\"weight_map\":[]}", BAD_INPUT},
        {"twice", "{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"1.safetensors\"}}", BAD_INPUT},
        {"not JSON", "{", BAD_INPUT},
        {"array", "[]", BAD_INPUT},
        {"empty", "", BAD_INPUT},
    };
    static const char *const shards[][2] = {
        {"1.safetensors", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
        {"2.safetensors", "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}"},
        {"4.safetensors", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                          "\"d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}"}};
    char *folder_path = temporary_path("shards");
    assert_int_equal(folder_create(folder_path), 0);
    for (int i = 0; i < 3; i++) {
        char *path = path_join(folder_path, shards[i][0]);
        write_tensors(path, strlen(shards[i][1]), shards[i][1], (int64_t)strlen(shards[i][1]), i == 0 ? 1 : 2);
        free(path);
    }
    char *path = path_join(folder_path, "model.safetensors.index.json");
    TensorFolder *folder;
    assert_int_equal(tensor_folder_open(folder_path, "model", &folder), BAD_INPUT);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(path, rows[i].index, (int64_t)strlen(rows[i].index));
        const Status status = tensor_folder_open(folder_path, "model", &folder);
        if (status != rows[i].expected) fail_msg("%s: got %d", rows[i].what, status);
        if (status == OK) {
            assert_int_equal(tensor_folder_count(folder), 2);
            assert_int_equal(tensor_folder_find(folder, "b")->bytes, 2);
            assert_null(tensor_folder_find(folder, "c"));
        }
        tensor_folder_close(folder);
    }
    free(path);
    free(folder_path);
}

static void test_crc(void **state) {
    (void)state;
    assert_int_equal(crc_update(0, "123456789", 9), 0xcbf43926);
    unsigned char data[1024];
    for (int i = 0; i < 1024; i++) data[i] = (unsigned char)(i * i * 31 + i / 7);
    for (int start = 0; start < 3; start++) {
        for (int bytes = 0; bytes + start < 1024; bytes += 1 + bytes / 100) {
            const uint32_t seed = (uint32_t)bytes * 2654435761u;
            assert_int_equal(crc_update(seed, data + start, bytes), crc32(seed, data + start, (uInt)bytes));
            const uint32_t a = crc_update(0, data, start), b = crc_update(0, data + start, bytes);
            assert_int_equal(crc_combine(a, b, bytes), crc_update(0, data, start + bytes));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_headers), cmocka_unit_test(test_lengths),
                                       cmocka_unit_test(test_values),  cmocka_unit_test(test_shrunken_file),
                                       cmocka_unit_test(test_index),   cmocka_unit_test(test_crc)};
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
