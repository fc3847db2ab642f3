/* model.safetensors.index.json with damage, and as a malicious folder could have it: for any input, the result is one
 * error message, or the tensors of files of this folder. No file outside of the folder is opened.
 *
 *   test_fuzz_index [MUTANTS [SEED]]    a longer run
 * With clang's -fsanitize=fuzzer and FLAME_LIBFUZZER defined it is a libFuzzer target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/tensor_folder.h"
#include "support/mutants.h"

enum { MOST = 1 << 12, NAMES = 3 };

static char *folder;
static long accepted = 0;

static int inside(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)fd;
    (void)bytes;
    const size_t length = strlen(folder);
    CHECK(operation != FILE_OPEN || !path ||
              (strncmp(path, folder, length) == 0 && path[length] == '/' && !strchr(path + length + 1, '/')),
          "%s is opened", path);
    return 0;
}

/* One tensor [2, 2] of four numbers. */
static void write_shard(const char *name, const char *tensor) {
    char file[256] = {0};
    const int length =
        snprintf(file + 8, 200, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", tensor);
    file[0] = (char)length;
    mutants_write(name, file, 8 + (size_t)length + 16);
}

static void begin(void) {
    mutants_begin();
    folder = path_join(mutants_folder, "model");
    write_shard("model/one.safetensors", "a");
    write_shard("model/two.safetensors", "b");
    write_shard("secret.safetensors", "c");
    write_shard("model/below/three.safetensors", "c");
}

static void open_folder(void) {
    TensorFolder *tensors;
    files_set_hook(inside);
    const Status status = tensor_folder_open(folder, "model", &tensors);
    CHECK(status == OK || status == BAD_INPUT, "status %d", status);
    CHECK((status == OK) == (tensors != NULL), "status %d and a folder", status);
    for (int64_t i = 0; status == OK && i < tensor_folder_count(tensors); i++) {
        const SafeTensor *tensor = tensor_folder_entry(tensors, i);
        char values[16];
        CHECK(tensor->bytes == 16 && safetensors_read(tensor, 0, 16, values) == OK, "%s cannot be read", tensor->name);
        CHECK(tensor_folder_find(tensors, tensor->name) == tensor, "%s is there twice", tensor->name);
    }
    accepted += status == OK;
    files_set_hook(NULL);
    tensor_folder_close(tensors);
}

#ifdef FLAME_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static int begun = 0;
    if (!begun++) begin();
    mutants_write("model/model.safetensors.index.json", data, bytes);
    open_folder();
    return 0;
}
#else

static const char seed[] = "{\"metadata\": {\"total_size\": 32}, \"weight_map\": {\"a\": \"one.safetensors\", \"b\": "
                           "\"two.safetensors\"}}";
static const char *const words[] = {"{",
                                    "}",
                                    "[",
                                    "]",
                                    ",",
                                    ":",
                                    "\"",
                                    "-1",
                                    "0",
                                    "32.0",
                                    "48",
                                    "1e400",
                                    "null",
                                    "true",
                                    "\"c\": \"../secret.safetensors\", ",
                                    "\"c\": \"below/three.safetensors\", ",
                                    "\"c\": \"..\", ",
                                    "\"c\": \".\", ",
                                    "\"c\": \"\", ",
                                    "\"c\": \"two.safetensors\", ",
                                    "\"a\": ",
                                    "\"two.safetensors\"",
                                    "\"/etc/passwd\"",
                                    "../",
                                    "./",
                                    "/",
                                    "\\u0000",
                                    "\\n",
                                    "\xff",
                                    "metadata",
                                    "weight_map",
                                    "\"weight_map\": {}, ",
                                    "safetensors"};

int main(int argc, char **argv) {
    const long mutants = argc > 1 ? atol(argv[1]) : 20000;
    char room[MOST];
    Mutant m = {.data = room, .room = sizeof room, .random = argc > 2 ? (uint64_t)atol(argv[2]) : 1};
    begin();
    for (long i = 0; i < mutants; i++) {
        memcpy(room, seed, m.bytes = sizeof seed - 1);
        for (size_t changes = mutant_draw(&m, 4); changes > 0; changes--)
            mutant_change(&m, words, sizeof words / sizeof words[0]);
        mutants_write("model/model.safetensors.index.json", room, m.bytes);
        open_folder();
    }
    folder_remove(mutants_folder);
    printf("%ld mutants, %ld accepted\n", mutants, accepted);
    return accepted > 0 && accepted < mutants ? 0 : 1;
}
#endif
