/* The safetensors entrance with damaged files: for any input, the result is one error message, or tensors that
 * lie inside the file and can all be read.
 *
 *   test_fuzz_safetensors [MUTANTS [SEED]]    a longer run
 * With clang's -fsanitize=fuzzer and FLAME_LIBFUZZER defined it is a libFuzzer target. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "checkpoint/safetensors.h"
#include "support/mutants.h"

static const char *path(void) {
    static char name[64];
    if (!name[0]) snprintf(name, sizeof name, "/dev/shm/flame-c-fuzz-%ld.safetensors", (long)getpid());
    return name;
}

static void read_everything(const SafeTensors *file, int64_t file_bytes) {
    for (int64_t i = 0; i < safetensors_count(file); i++) {
        const SafeTensor *tensor = safetensors_entry(file, i);
        CHECK(tensor->offset >= 8 && tensor->bytes >= 0 && tensor->offset + tensor->bytes <= file_bytes,
              "tensor %s lies outside of the file", tensor->name);
        CHECK(safetensors_find(file, tensor->name) == tensor, "tensor %s is not found", tensor->name);
        char *data = malloc((size_t)tensor->bytes + 1);
        float *values = malloc((size_t)(tensor->elements + 1) * sizeof *values);
        CHECK(data && values, "no memory for %s", tensor->name);
        CHECK(safetensors_read(tensor, 0, tensor->bytes, data) == OK, "tensor %s cannot be read", tensor->name);
        safetensors_read_floats(tensor, 0, tensor->elements, values);
        free(data);
        free(values);
    }
}

static int64_t accepted = 0;

static void try_file(const uint8_t *data, size_t bytes) {
    const int fd = open(path(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes, "writing %s", path());
    close(fd);
    SafeTensors *file;
    const Status status = safetensors_open(path(), &file);
    CHECK((status == OK) == (file != NULL), "status %d and file %p", status, (void *)file);
    if (status == OK) {
        accepted++;
        read_everything(file, (int64_t)bytes);
    }
    safetensors_close(file);
}

#ifdef FLAME_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    try_file(data, bytes);
    return 0;
}
#else

static const char *const seeds[] = {
    "{}",
    "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}   ",
    "{\"a\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"I64\",\"shape\":[],"
    "\"data_offsets\":[8,16]},\"c\":{\"dtype\":\"U8\",\"shape\":[0,5],\"data_offsets\":[16,16]},"
    "\"d\":{\"dtype\":\"F4\",\"shape\":[16],\"data_offsets\":[16,24]}}",
};
static const char *const words[] = {"[",    "]",      "{",       "}",     ",",          "\"",
                                    "-1",   "0",      "1.0",     "1e3",   "4294967296", "9223372036854775807",
                                    "F64",  "\"a\":", "F6_E2M3", "shape", "\\u0000",    "18446744073709551615",
                                    "null", "\xff",   "dtype",   " ",     "\n",         "__metadata__"};

/* Corrects the length, so that most mutants pass its check. */
static void repair_length(char *data, size_t header_bytes) {
    for (int i = 0; i < 8; i++) data[i] = (char)(header_bytes >> 8 * i);
}

int main(int argc, char **argv) {
    const long mutants = argc > 1 ? atol(argv[1]) : 30000;
    char data[1024];
    Mutant m = {.data = data, .room = sizeof data, .random = argc > 2 ? (uint64_t)atol(argv[2]) : 1};
    mutants_silence();
    for (long i = 0; i < mutants; i++) {
        const char *seed = seeds[mutant_draw(&m, sizeof seeds / sizeof seeds[0])];
        const size_t length = strlen(seed), tail = 24;
        memset(data, 0, sizeof data);
        memcpy(data + 8, seed, length);
        repair_length(data, length);
        m.bytes = 8 + length + tail;
        for (size_t changes = mutant_draw(&m, 4); changes > 0; changes--)
            mutant_change(&m, words, sizeof words / sizeof words[0]);
        if (m.bytes >= 8 + tail && mutant_draw(&m, 8) > 0) repair_length(data, m.bytes - 8 - tail);
        try_file((const uint8_t *)data, m.bytes);
    }
    remove(path());
    printf("%ld mutants, %lld accepted\n", mutants, (long long)accepted);
    return accepted > 0 && accepted < mutants ? 0 : 1;
}
#endif
