/* Damaged token files, and through them HDF5: for any input, opening and reading it ends soon, with one error message
 * or with tokens. Each mutant has a process of its own, since HDF5 may crash.
 *
 *   test_fuzz_tokens [MUTANTS [SEED]]    a longer run; with the address sanitizer it sees most writes out of bounds */
#include <hdf5.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc.h"
#include "base/files.h"
#include "data/tokens_h5.h"

enum { TOKENS = 4500, CHUNK = 2048, CHUNKS = 3, SEEDS = 16 };
static char folder[] = "/dev/shm/flame-fuzz-XXXXXX";
static uint64_t random_state;

static uint64_t random_below(uint64_t limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % limit;
}

static void write_text(hid_t file, const char *name, const char *text, bool variable) {
    hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, variable ? H5T_VARIABLE : strlen(text) + 1);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Awrite(attribute, type, variable ? (const void *)&text : text) >= 0, "%s", name);
    H5Aclose(attribute);
    H5Tclose(type);
    H5Sclose(space);
}

static void write_integer(hid_t file, const char *name, int64_t value) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(file, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Awrite(attribute, H5T_NATIVE_INT64, &value) >= 0, "%s", name);
    H5Aclose(attribute);
    H5Sclose(space);
}

static void write_vector(hid_t file, const char *name, hid_t type, const void *values, hsize_t count, hsize_t chunk,
                         bool filters) {
    hid_t space = H5Screate_simple(1, &count, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    if (chunk) H5Pset_chunk(plist, 1, &chunk);
    if (filters) H5Pset_shuffle(plist);
    if (filters) H5Pset_deflate(plist, 4);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    CHECK(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, "%s", name);
    H5Dclose(dataset);
    H5Pclose(plist);
    H5Sclose(space);
}

/* Two of the tokenizer's files, one of them in chunks. */
static void write_tokenizer(hid_t file) {
    static const char config[] = "{\"model_max_length\": 7}\n";
    char words[3000];
    for (int i = 0; i < (int)sizeof words; i++) words[i] = (char)('a' + i * i / 11 % 26);
    hid_t group = H5Gcreate2(file, "tokenizer", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    write_vector(file, "tokenizer/tokenizer_config.json", H5T_STD_U8LE, config, sizeof config - 1, 0, false);
    write_vector(file, "tokenizer/vocab.txt", H5T_STD_U8LE, words, sizeof words, 1000, true);
    H5Gclose(group);
    const uint32_t crc = crc_update(0, config, sizeof config - 1);
    write_integer(file, "tokenizer_crc32", crc_update(crc, words, sizeof words));
}

/* As h5py writes it by the recipe of docs/data-format.md, or in the newer form, with or without filters and the files
 * of a tokenizer. */
static void write_seed(const char *path, bool newer, bool filters, bool variable, bool tokenizer) {
    uint16_t tokens[TOKENS];
    const uint64_t ends[] = {1000, TOKENS};
    for (int i = 0; i < TOKENS; i++) tokens[i] = (uint16_t)(i * i / 7 % 300);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (newer) H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    write_vector(file, "tokens", H5T_STD_U16LE, tokens, TOKENS, CHUNK, filters);
    write_vector(file, "doc_ends", H5T_STD_U64LE, ends, 2, 0, false);
    write_text(file, "format", "flame-c tokens", variable);
    write_text(file, "tokenizer", "bytes", variable);
    write_text(file, "tokenizer_sha256", "", variable);
    write_integer(file, "version", 1);
    write_integer(file, "vocab_size", 320);
    write_integer(file, "bos_token_id", 256);
    write_integer(file, "eos_token_id", 257);
    if (tokenizer) write_tokenizer(file);
    write_integer(file, "complete", 1);
    H5Fclose(file);
    H5Pclose(access);
}

/* Opens it and reads all of it: 1, or 0 if it is refused. */
static int read_everything(const char *path) {
    TokensFile *file;
    TokensScratch scratch = {0};
    bool good = true;
    if (tokens_open(path, &file) != OK) return 0;
    void *tokens = malloc((size_t)tokens_chunk_bytes(file));
    CHECK(tokens, "no memory for a chunk");
    const int64_t chunks = tokens_facts(file)->chunks;
    for (int64_t chunk = 0; chunk < chunks && chunk < 2 * CHUNKS; chunk++)
        good = tokens_read_chunk(file, chunk, &scratch, tokens) == OK && good;
    free(tokens);
    tokens_scratch_free(&scratch);
    tokens_close(file);
    return good;
}

static int outcome_of(const char *path) {
    int status;
    const pid_t child = fork();
    if (child == 0) {
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value = {1, 0}}, NULL);
        _exit(read_everything(path));
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child, "fork failed");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* One small change: a bit, a byte, or a number of 1 to 8 bytes of the kind that breaks things. HDF5's structures
 * are a small part of the file, so most changes are made where bytes are not zero. */
static void mutate(unsigned char *data, int64_t bytes) {
    static const uint64_t numbers[] = {0, 1, 2, 255, 0x7fffffff, 0xffffffff, UINT64_C(1) << 48, UINT64_MAX};
    int64_t at = (int64_t)random_below((uint64_t)bytes);
    for (int tries = 0; tries < 8 && data[at] == 0; tries++) at = (int64_t)random_below((uint64_t)bytes);
    uint64_t number = numbers[random_below(8)];
    const int width = 1 << random_below(4);
    switch (random_below(3)) {
    case 0:
        data[at] ^= (unsigned char)(1u << random_below(8));
        return;
    case 1:
        data[at] = (unsigned char)random_below(256);
        return;
    default:
        for (int i = 0; i < width && at + i < bytes; i++, number >>= 8) data[at + i] = (unsigned char)number;
    }
}

static void replace(const char *path, const void *data, int64_t bytes) {
    file_remove(path);
    CHECK(file_write_all(path, data, bytes) == 0, "writing %s", path);
}

int main(int argc, char **argv) {
    const long mutants = argc > 1 ? atol(argv[1]) : 800;
    const uint64_t seed = argc > 2 ? (uint64_t)atol(argv[2]) : 1;
    long outcomes[2] = {0}, bad = 0;
    CHECK(mkdtemp(folder), "no folder for mutants");
    char *path = path_join(folder, "mutant.h5"), *kept[SEEDS];
    int64_t size[SEEDS];
    if (!freopen("/dev/null", "w", stderr)) return 1; /* thousands of messages would be of no use */
    for (int i = 0; i < SEEDS; i++) {
        write_seed(path, i & 1, i & 2, i & 4, i & 8);
        CHECK(file_read_all(path, 1 << 20, &kept[i], &size[i]) == 0, "reading %s", path);
        CHECK(read_everything(path) == 1, "seed file %d is refused", i);
    }
    for (long i = 0; i < mutants; i++) {
        random_state = seed * 1000003 + (uint64_t)i;
        const uint64_t which = random_below(SEEDS);
        unsigned char data[1 << 16];
        CHECK(size[which] <= (int64_t)sizeof data, "seed file %d is too large", (int)which);
        memcpy(data, kept[which], (size_t)size[which]);
        for (uint64_t changes = 1 + random_below(3); changes > 0; changes--) mutate(data, size[which]);
        replace(path, data, size[which]);
        const int outcome = outcome_of(path);
        if (outcome == 0 || outcome == 1) {
            outcomes[outcome]++;
            continue;
        }
        printf("mutant %ld of seed %llu: %s %d\n", i, (unsigned long long)seed,
               outcome < 0 ? "ended by signal" : "exit code", outcome < 0 ? -outcome : outcome);
        if (getenv("KEEP_MUTANTS")) {
            char name[400];
            snprintf(name, sizeof name, "%s/mutant-%llu-%ld.h5", getenv("KEEP_MUTANTS"), (unsigned long long)seed, i);
            replace(name, data, size[which]);
        }
        bad++;
    }
    printf("%ld mutants: %ld read, %ld refused, %ld bad\n", mutants, outcomes[1], outcomes[0], bad);
    for (int i = 0; i < SEEDS; i++) free(kept[i]);
    free(path);
    folder_remove(folder);
    return bad == 0 && outcomes[0] > 0 && outcomes[1] > 0 ? 0 : 1;
}
