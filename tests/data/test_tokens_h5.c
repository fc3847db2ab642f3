/* Token files: what is written is read back, and every rule of the format is enforced with a message that names it. */
#include "data/tokens_fixture.h"

#include <errno.h>
#include <hdf5.h>
#include <omp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/signals.h"
#include "base/unfinished.h"
#include "data/tokens_h5.h"

enum { CHUNK = 2048, CHUNKS = 3, TOKENS = 2 * CHUNK + 700, VOCAB = 320 };

/* What to do wrong; all zero is a good file. */
typedef struct Recipe {
    enum { U16, U32, U64, I16, BIG_ENDIAN_U16, FLOAT, STRING, COMPOUND } type;
    enum { CHUNKED, CONTIGUOUS, EXTERNAL, VIRTUAL, SOFT_LINK, EXTERNAL_LINK, LINK_LOOP, GROUP, ABSENT } place;
    enum { VECTOR, MATRIX, SCALAR, EMPTY } shape;
    enum { SHUFFLE_DEFLATE, DEFLATE, PLAIN, FLETCHER, LZF, DEFLATE_FIRST } filters;
    enum { HONEST, MISSING, SHORT_STREAM, LONG_STREAM, TRAILING, GARBAGE, BOMB, SWAPPED, TOO_LARGE_TOKEN } chunk;
    enum { GOOD_ENDS, NO_ENDS, UNSORTED, EMPTY_DOCUMENT, WRONG_LAST, SIGNED_ENDS, SOFT_ENDS, TOO_MANY_ENDS } ends;
    enum { GOOD_CRC, NO_CRC, WRONG_CRC, SHORT_CRC } crc;
    int64_t chunk_tokens;  /* 0: CHUNK */
    const char *attribute; /* this one ... */
    int64_t value;         /* ... gets this value ... */
    const char *text;      /* ... or this one ... */
    bool omitted;          /* ... or is not written */
    enum { NO_MANGLING, CUT_ONE_BYTE, CUT_TO_A_TENTH, OVERLAP, BEHIND_END } mangling;
} Recipe;

static hid_t recipe_type(const Recipe *recipe) {
    const hid_t types[] = {H5T_STD_U16LE, H5T_STD_U32LE,  H5T_STD_U64LE, H5T_STD_I16LE,
                           H5T_STD_U16BE, H5T_IEEE_F32LE, H5T_C_S1,      H5Tcreate(H5T_COMPOUND, 2)};
    H5Tinsert(types[COMPOUND], "token", 0, H5T_STD_U16LE);
    return types[recipe->type];
}

static hid_t recipe_plist(const Recipe *recipe) {
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[2] = {(hsize_t)(recipe->chunk_tokens ? recipe->chunk_tokens : CHUNK), 2};
    if (recipe->place == EXTERNAL) H5Pset_external(plist, "tokens.bin", 0, H5F_UNLIMITED);
    if (recipe->place == CONTIGUOUS || recipe->place == EXTERNAL || recipe->shape == SCALAR) return plist;
    H5Pset_chunk(plist, recipe->shape == MATRIX ? 2 : 1, chunk);
    if (recipe->filters == DEFLATE_FIRST) H5Pset_deflate(plist, 4);
    if (recipe->filters == SHUFFLE_DEFLATE || recipe->filters == DEFLATE_FIRST) H5Pset_shuffle(plist);
    if (recipe->filters == SHUFFLE_DEFLATE || recipe->filters == DEFLATE) H5Pset_deflate(plist, 4);
    if (recipe->filters == FLETCHER) H5Pset_fletcher32(plist);
    if (recipe->filters == LZF) H5Pset_filter(plist, 32000, H5Z_FLAG_OPTIONAL, 0, NULL); /* h5py's */
    return plist;
}

static hid_t recipe_space(const Recipe *recipe) {
    hsize_t size[2] = {TOKENS, 2}, unlimited[2] = {H5S_UNLIMITED, 2};
    if (recipe->shape == SCALAR) return H5Screate(H5S_SCALAR);
    if (recipe->shape == EMPTY) size[0] = 0;
    bool fixed = recipe->place == CONTIGUOUS || recipe->place == EXTERNAL || recipe->place == VIRTUAL;
    return H5Screate_simple(recipe->shape == MATRIX ? 2 : 1, size, fixed ? NULL : unlimited);
}

static void fill_tokens(const Recipe *recipe, uint16_t *tokens) {
    for (int64_t i = 0; i < TOKENS; i++) tokens[i] = (uint16_t)fixture_token(1, i);
    if (recipe->chunk == TOO_LARGE_TOKEN) tokens[CHUNK + 5] = VOCAB;
}

/* Replaces chunk 1 by content that no correct writer produces. The filter is DEFLATE alone, without shuffle. */
static void write_bad_chunk(hid_t dataset, const Recipe *recipe, const uint16_t *tokens) {
    static unsigned char plain[1 << 20], stored[1 << 20]; /* zeros deflate to a thousandth */
    hsize_t offset = CHUNK;
    memcpy(plain, tokens + CHUNK, 2 * CHUNK);
    int64_t length = recipe->chunk == SHORT_STREAM  ? 2 * CHUNK - 2
                     : recipe->chunk == LONG_STREAM ? 2 * CHUNK + 2
                     : recipe->chunk == BOMB        ? (int64_t)sizeof plain
                                                    : 2 * CHUNK;
    uLongf size = sizeof stored;
    assert_int_equal(compress2(stored, &size, plain, (uLong)length, 9), Z_OK);
    if (recipe->chunk == TRAILING) stored[size++] = 0;
    if (recipe->chunk == GARBAGE) memset(stored, 0x5a, size);
    assert_true(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &offset, size, stored) >= 0);
}

static void swap_chunks(hid_t dataset) {
    unsigned char stored[2][8192];
    hsize_t size[2], offset[2] = {0, CHUNK};
    uint32_t mask;
    for (int i = 0; i < 2; i++) {
        H5Dget_chunk_storage_size(dataset, &offset[i], &size[i]);
        assert_true(size[i] <= sizeof stored[i]);
        H5Dread_chunk(dataset, H5P_DEFAULT, &offset[i], &mask, stored[i]);
    }
    for (int i = 0; i < 2; i++) H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &offset[i], size[1 - i], stored[1 - i]);
}

static void write_tokens(hid_t file, const Recipe *recipe, const uint16_t *tokens) {
    if (recipe->place == ABSENT) return;
    if (recipe->place == SOFT_LINK) H5Lcreate_soft("/elsewhere", file, "tokens", H5P_DEFAULT, H5P_DEFAULT);
    if (recipe->place == LINK_LOOP) H5Lcreate_soft("/tokens", file, "tokens", H5P_DEFAULT, H5P_DEFAULT);
    if (recipe->place == EXTERNAL_LINK)
        H5Lcreate_external("other.h5", "/tokens", file, "tokens", H5P_DEFAULT, H5P_DEFAULT);
    if (recipe->place == GROUP) H5Gclose(H5Gcreate2(file, "tokens", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    if (recipe->place >= SOFT_LINK) return;
    hid_t space = recipe_space(recipe), plist = recipe_plist(recipe);
    if (recipe->place == VIRTUAL) {
        H5Pclose(plist);
        plist = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_virtual(plist, space, "other.h5", "/tokens", space);
    }
    hid_t dataset = H5Dcreate2(file, "tokens", recipe_type(recipe), space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(dataset >= 0);
    bool writable = recipe->place <= CONTIGUOUS && recipe->shape == VECTOR && recipe->type < STRING;
    hsize_t count = recipe->chunk == MISSING ? CHUNK : TOKENS, first = 0;
    if (writable) {
        hid_t memory = H5Screate_simple(1, &count, NULL);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, NULL, &count, NULL);
        assert_true(H5Dwrite(dataset, H5T_NATIVE_UINT16, memory, space, H5P_DEFAULT, tokens) >= 0);
        H5Sclose(memory);
    }
    if (recipe->chunk >= SHORT_STREAM && recipe->chunk <= BOMB) write_bad_chunk(dataset, recipe, tokens);
    if (recipe->chunk == SWAPPED) swap_chunks(dataset);
    H5Dclose(dataset);
    H5Pclose(plist);
    H5Sclose(space);
}

static void write_vector(hid_t file, const char *name, hid_t stored, hid_t memory, const void *values, hsize_t count) {
    hid_t space = H5Screate_simple(1, &count, NULL);
    hid_t dataset = H5Dcreate2(file, name, stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void write_ends(hid_t file, const Recipe *recipe) {
    uint64_t ends[TOKENS + 1] = {100, 250, 900, TOKENS};
    hsize_t count = 4;
    if (recipe->ends == NO_ENDS) return;
    if (recipe->ends == UNSORTED) ends[1] = 1000;
    if (recipe->ends == EMPTY_DOCUMENT) ends[1] = 100;
    if (recipe->ends == WRONG_LAST) ends[3] = TOKENS - 1;
    if (recipe->ends == TOO_MANY_ENDS) count = TOKENS + 1;
    const char *name = recipe->ends == SOFT_ENDS ? "hidden" : "doc_ends";
    if (recipe->ends == SOFT_ENDS) H5Lcreate_soft("/hidden", file, "doc_ends", H5P_DEFAULT, H5P_DEFAULT);
    write_vector(file, name, recipe->ends == SIGNED_ENDS ? H5T_STD_I64LE : H5T_STD_U64LE, H5T_NATIVE_UINT64, ends,
                 count);
}

static void write_crcs(hid_t file, const Recipe *recipe, const uint16_t *tokens) {
    uint32_t crcs[CHUNKS];
    if (recipe->crc == NO_CRC) return;
    for (int64_t i = 0; i < CHUNKS; i++) {
        int64_t count = i + 1 < CHUNKS ? CHUNK : TOKENS - i * CHUNK;
        crcs[i] = (uint32_t)crc32(0, (const Bytef *)(tokens + i * CHUNK), (uInt)(2 * count));
    }
    if (recipe->crc == WRONG_CRC) crcs[2] ^= 1;
    write_vector(file, "chunk_crc32", H5T_STD_U32LE, H5T_NATIVE_UINT32, crcs, recipe->crc == SHORT_CRC ? 2 : CHUNKS);
}

/* As h5py does it: a variable-length string. */
static void write_text(hid_t file, const char *name, const char *text) {
    hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, (const void *)&text);
    H5Aclose(attribute);
    H5Tclose(type);
    H5Sclose(space);
}

static void write_integer(hid_t file, const char *name, int64_t value) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(file, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT64, &value);
    H5Aclose(attribute);
    H5Sclose(space);
}

static void write_attributes(hid_t file, const Recipe *recipe) {
    const char *texts[][2] = {{"format", TOKENS_FORMAT}, {"tokenizer", "bytes"}, {"tokenizer_sha256", ""}};
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {
        {"version", 1}, {"vocab_size", VOCAB}, {"bos_token_id", 256}, {"eos_token_id", -1}, {"complete", 1}};
    const char *changed = recipe->attribute ? recipe->attribute : "";
    for (int i = 0; i < 3; i++)
        if (strcmp(changed, texts[i][0])) write_text(file, texts[i][0], texts[i][1]);
    for (int i = 0; i < 5; i++)
        if (strcmp(changed, integers[i].name)) write_integer(file, integers[i].name, integers[i].value);
    if (!recipe->attribute || recipe->omitted) return;
    if (recipe->text)
        write_text(file, changed, recipe->text);
    else
        write_integer(file, changed, recipe->value);
}

static char *read_bytes(const char *path, int64_t *size) {
    char *bytes;
    assert_int_equal(file_read_all(path, 1 << 30, &bytes, size), 0);
    return bytes;
}

static void write_bytes(const char *path, const void *bytes, int64_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, (size_t)size, file), size);
    fclose(file);
}

/* Gives chunk 1 another address in the chunk table, which has no checksum in HDF5's oldest format. */
static void patch_chunk_address(const char *path, bool behind_end) {
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), dataset = H5Dopen2(file, "tokens", H5P_DEFAULT);
    hid_t space = H5Dget_space(dataset);
    hsize_t offset, size;
    haddr_t address[2];
    unsigned mask;
    for (hsize_t i = 0; i < 2; i++) H5Dget_chunk_info(dataset, space, i, &offset, &mask, &address[i], &size);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
    int64_t length;
    char *bytes = read_bytes(path, &length);
    int64_t place = 0;
    while (memcmp(bytes + place, &address[1], sizeof address[1])) assert_true(++place + 8 <= length);
    uint64_t moved = behind_end ? (uint64_t)length - 10 : address[0];
    memcpy(bytes + place, &moved, sizeof moved);
    write_bytes(path, bytes, length);
    free(bytes);
}

static void mangle(const char *path, const Recipe *recipe) {
    struct stat info;
    stat(path, &info);
    if (recipe->mangling == CUT_ONE_BYTE) assert_int_equal(truncate(path, info.st_size - 1), 0);
    if (recipe->mangling == CUT_TO_A_TENTH) assert_int_equal(truncate(path, info.st_size / 10), 0);
    if (recipe->mangling >= OVERLAP) patch_chunk_address(path, recipe->mangling == BEHIND_END);
}

static void cook(const char *path, const Recipe *recipe) {
    uint16_t tokens[TOKENS];
    fill_tokens(recipe, tokens);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    write_tokens(file, recipe, tokens);
    write_ends(file, recipe);
    write_crcs(file, recipe, tokens);
    write_attributes(file, recipe);
    H5Fclose(file);
    mangle(path, recipe);
}

/* Opens and reads everything. *same: the tokens are those of the fixture with this seed. */
static Status read_all(const char *path, uint64_t seed, bool *same) {
    TokensFile *file;
    Status status = tokens_open(path, &file);
    if (status) return status;
    TokensScratch scratch = {0};
    const TokensFacts *facts = tokens_facts(file);
    void *chunk = malloc((size_t)tokens_chunk_bytes(file));
    *same = true;
    for (int64_t i = 0; i < facts->chunks && !status; i++) {
        status = tokens_read_chunk(file, i, &scratch, chunk);
        for (int64_t k = 0; k < tokens_in_chunk(file, i) && !status; k++) {
            uint32_t token = facts->width == 2 ? ((uint16_t *)chunk)[k] : ((uint32_t *)chunk)[k];
            if (token != fixture_token(seed, i * facts->chunk_tokens + k)) *same = false;
        }
    }
    free(chunk);
    tokens_scratch_free(&scratch);
    tokens_close(file);
    return status;
}

typedef struct Rule {
    const char *name;
    Recipe recipe;
    Status status;
    const char *message; /* part of what is logged; NULL: nothing */
} Rule;

static const Rule rules[] = {
    {"good", {0}, OK, NULL},
    {"uint32", {.type = U32, .crc = NO_CRC}, OK, "no /chunk_crc32"},
    {"deflate only", {.filters = DEFLATE}, OK, NULL},
    {"no filter", {.filters = PLAIN}, OK, NULL},
    {"no CRC", {.crc = NO_CRC}, OK, "no /chunk_crc32"},
    {"one larger chunk", {.chunk_tokens = 8192, .crc = NO_CRC}, OK, "no /chunk_crc32"},
    {"uint64", {.type = U64}, BAD_INPUT, "/tokens is uint64; it must be uint16 or uint32, little-endian"},
    {"signed", {.type = I16}, BAD_INPUT, "/tokens is int16; it must be uint16 or uint32"},
    {"big-endian", {.type = BIG_ENDIAN_U16}, BAD_INPUT, "/tokens is uint16, big-endian; it must be"},
    {"float", {.type = FLOAT}, BAD_INPUT, "/tokens is float32; it must be uint16 or uint32"},
    {"string", {.type = STRING}, BAD_INPUT, "/tokens is text; it must be uint16 or uint32"},
    {"compound", {.type = COMPOUND}, BAD_INPUT, "/tokens is of no numbers; it must be uint16 or uint32"},
    {"two dimensions", {.shape = MATRIX}, BAD_INPUT, "/tokens has 2 dimensions; it must have one"},
    {"scalar", {.shape = SCALAR}, BAD_INPUT, "/tokens has 0 dimensions"},
    {"no tokens", {.shape = EMPTY}, BAD_INPUT, "/tokens is empty"},
    {"contiguous", {.place = CONTIGUOUS}, BAD_INPUT, "h5repack"},
    {"external storage", {.place = EXTERNAL}, BAD_INPUT, "external files"},
    {"virtual", {.place = VIRTUAL}, BAD_INPUT, "virtual"},
    {"soft link", {.place = SOFT_LINK}, BAD_INPUT, "/tokens is a soft link"},
    {"link to itself", {.place = LINK_LOOP}, BAD_INPUT, "/tokens is a soft link"},
    {"external link", {.place = EXTERNAL_LINK}, BAD_INPUT, "/tokens is an external link"},
    {"group", {.place = GROUP}, BAD_INPUT, "/tokens is a group"},
    {"no /tokens", {.place = ABSENT}, BAD_INPUT, "no data set /tokens (it holds: chunk_crc32, doc_ends)"},
    {"Fletcher-32", {.filters = FLETCHER}, BAD_INPUT, "filter 3"},
    {"LZF", {.filters = LZF}, BAD_INPUT, "filter 32000"},
    {"filters in another order", {.filters = DEFLATE_FIRST}, BAD_INPUT, "only shuffle, then deflate"},
    {"tiny chunks", {.chunk_tokens = 1024}, BAD_INPUT, "4 KiB to 64 MiB"},
    {"huge chunks", {.chunk_tokens = (64 << 20) + 1, .filters = PLAIN, .chunk = MISSING}, BAD_INPUT, "4 KiB to 64 MiB"},
    {"missing chunk", {.chunk = MISSING}, BAD_INPUT, "chunk 1 of 3 of /tokens is missing"},
    {"short stream", {.filters = DEFLATE, .chunk = SHORT_STREAM}, BAD_INPUT, "chunk 1 of 3 (tokens 2048 .. 4095)"},
    {"long stream", {.filters = DEFLATE, .chunk = LONG_STREAM}, BAD_INPUT, "longer than the chunk"},
    {"bytes behind the stream", {.filters = DEFLATE, .chunk = TRAILING}, BAD_INPUT, "bytes follow"},
    {"not a stream", {.filters = DEFLATE, .chunk = GARBAGE}, BAD_INPUT, "not a valid deflate stream"},
    {"deflate bomb", {.filters = DEFLATE, .chunk = BOMB}, BAD_INPUT, "longer than the chunk"},
    {"chunks swapped", {.chunk = SWAPPED}, BAD_INPUT, "chunk 0 of 3 (tokens 0 .. 2047) is damaged: its CRC-32"},
    {"vocab_size too small",
     {.chunk = TOO_LARGE_TOKEN},
     BAD_INPUT,
     "attribute \"vocab_size\" is 320, but there is a token 320 (in chunk 1, which is sound)"},
    {"token outside the vocabulary, no CRC",
     {.chunk = TOO_LARGE_TOKEN, .crc = NO_CRC},
     BAD_INPUT,
     "token 320 is outside the vocabulary of 320 (or attribute"},
    {"no /doc_ends", {.ends = NO_ENDS}, BAD_INPUT, "no data set /doc_ends"},
    {"ends unsorted", {.ends = UNSORTED}, BAD_INPUT, "/doc_ends[2] = 900"},
    {"empty document", {.ends = EMPTY_DOCUMENT}, BAD_INPUT, "/doc_ends[1] = 100"},
    {"wrong last end", {.ends = WRONG_LAST}, BAD_INPUT, "/doc_ends ends with 4795"},
    {"signed ends", {.ends = SIGNED_ENDS}, BAD_INPUT, "/doc_ends is int64; it must be uint64, little-endian"},
    {"ends by link", {.ends = SOFT_ENDS}, BAD_INPUT, "/doc_ends is a soft link"},
    {"more ends than tokens", {.ends = TOO_MANY_ENDS}, BAD_INPUT, "4797 entries, more than 4796"},
    {"wrong CRC", {.crc = WRONG_CRC}, BAD_INPUT, "chunk 2 of 3 (tokens 4096 .. 4795) is damaged: its CRC-32"},
    {"too few CRCs", {.crc = SHORT_CRC}, BAD_INPUT, "/chunk_crc32 has 2 entries instead of 3"},
    {"not complete", {.attribute = "complete", .omitted = true}, BAD_INPUT, "did not finish"},
    {"complete is 0", {.attribute = "complete", .value = 0}, BAD_INPUT, "\"complete\" is 0"},
    {"no format", {.attribute = "format", .omitted = true}, BAD_INPUT, "\"format\" is missing"},
    {"other format", {.attribute = "format", .text = "parrots"}, BAD_INPUT, "\"parrots\""},
    {"format a number", {.attribute = "format", .value = 7}, BAD_INPUT, "\"format\" is not one string"},
    {"newer version", {.attribute = "version", .value = 2}, BAD_INPUT, "version 2"},
    {"version a text", {.attribute = "version", .text = "1"}, BAD_INPUT, "\"version\" is not one integer"},
    {"no vocabulary", {.attribute = "vocab_size", .omitted = true}, BAD_INPUT, "\"vocab_size\" is missing"},
    {"empty vocabulary", {.attribute = "vocab_size", .value = 0}, BAD_INPUT, "\"vocab_size\" is 0"},
    {"huge vocabulary", {.attribute = "vocab_size", .value = INT64_C(1) << 40}, BAD_INPUT, "\"vocab_size\""},
    {"bos outside", {.attribute = "bos_token_id", .value = VOCAB}, BAD_INPUT, "\"bos_token_id\" is 320"},
    {"eos outside", {.attribute = "eos_token_id", .value = -2}, BAD_INPUT, "\"eos_token_id\" is -2"},
    {"no tokenizer", {.attribute = "tokenizer", .omitted = true}, BAD_INPUT, "\"tokenizer\" is missing"},
    {"cut by one byte", {.mangling = CUT_ONE_BYTE}, BAD_INPUT, "cut off"},
    {"cut to a tenth", {.mangling = CUT_TO_A_TENTH}, BAD_INPUT, "cut off"},
    {"chunks overlap, no CRC", {.filters = PLAIN, .crc = NO_CRC, .mangling = OVERLAP}, BAD_INPUT, "overlap"},
    {"chunks overlap, CRC", {.filters = PLAIN, .mangling = OVERLAP}, BAD_INPUT, "chunk 1 of 3"},
    {"chunk behind the end", {.filters = PLAIN, .crc = NO_CRC, .mangling = BEHIND_END}, BAD_INPUT, "beyond the end"},
};

static void every_rule_of_the_format_is_enforced(void **state) {
    (void)state;
    const char *path = fixture_path("rule.h5");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const Rule *rule = &rules[i];
        bool same = false;
        cook(path, &rule->recipe);
        capture_begin();
        Status status = read_all(path, 1, &same);
        const char *text = capture_end();
        if (status != rule->status || (status == OK && !same)) fail_msg("%s: status %d, %s", rule->name, status, text);
        if (rule->message && !strstr(text, rule->message)) fail_msg("%s: \"%s\"", rule->name, text);
        if (!rule->message && text[0]) fail_msg("%s: \"%s\"", rule->name, text);
        if (rule->message && !strstr(text, path)) fail_msg("%s: no file name in \"%s\"", rule->name, text);
    }
}

static void expect_status(const char *path, Status expected, const char *message) {
    bool same;
    capture_begin();
    Status status = read_all(path, 1, &same);
    const char *text = capture_end();
    assert_int_equal(status, expected);
    assert_mentions(text, message);
}

static void the_tokenizer_in_a_file_is_checked(void **state) {
    (void)state;
    const char *path = fixture_path("tokenizer.h5");
    TokenizerFiles files = {{{"{\"a\": 1}", 8}, {NULL, 0}, {"{}", 2}}};
    TokensWriterOptions options = tokens_writer_bytes_options(path);
    options.tokenizer_files = &files;
    TokensWriter *writer;
    TokensFile *file;
    assert_int_equal(tokens_writer_open(&options, &writer), OK);
    assert_int_equal(tokens_writer_add(writer, (uint32_t[]){1, 2, 3}, 3), OK);
    assert_int_equal(tokens_writer_finish(writer), OK);
    assert_int_equal(tokens_open(path, &file), OK);
    const TokenizerFiles *read = tokens_facts(file)->tokenizer_files;
    assert_int_equal(read->file[0].bytes, 8);
    assert_memory_equal(read->file[0].content, files.file[0].content, 8);
    assert_null(read->file[1].content);
    assert_memory_equal(read->file[2].content, "{}", 2);
    tokens_close(file);

    hid_t hdf5 = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(hdf5, "tokenizer/special_tokens_map.json", H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, "[]") >= 0);
    H5Dclose(dataset);
    H5Fclose(hdf5);
    expect_status(path, BAD_INPUT, "/tokenizer does not match its CRC-32");
    hdf5 = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(hdf5, "tokenizer", H5P_DEFAULT);
    H5Lcreate_external("other.h5", "/tokenizer", hdf5, "tokenizer", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(hdf5);
    expect_status(path, BAD_INPUT, "/tokenizer is a link");
}

static int preads_that_fail;

/* HDF5 reads with it. */
ssize_t pread(int descriptor, void *to, size_t bytes, off_t offset) {
    if (preads_that_fail > 0) {
        preads_that_fail--;
        errno = ESTALE;
        return -1;
    }
    return lseek(descriptor, offset, SEEK_SET) < 0 ? -1 : read(descriptor, to, bytes);
}

/* Imitates an NFS server that was restarted: open handles are stale, but the file can be opened again by name. */
static void a_stale_file_is_opened_again(void **state) {
    (void)state;
    const char *path = fixture_path("stale.h5");
    TokensFile *file;
    TokensScratch scratch = {0};
    uint16_t tokens[CHUNK];
    fixture_write(path, 1, 1, 3 * CHUNK, false, CHUNK, 2);
    assert_int_equal(tokens_open(path, &file), OK);
    preads_that_fail = 1;
    assert_int_equal(tokens_read_chunk(file, 1, &scratch, tokens), OK);
    assert_int_equal(preads_that_fail, 0);
    for (int64_t i = 0; i < CHUNK; i++) assert_int_equal(tokens[i], fixture_token(1, CHUNK + i));
    capture_begin();
    preads_that_fail = 1000;
    assert_int_equal(tokens_read_chunk(file, 2, &scratch, tokens), IO_ERROR);
    preads_that_fail = 0;
    assert_mentions(capture_end(), "stale.h5: chunk 2 of /tokens cannot be read; check the disk, then resume");
    tokens_scratch_free(&scratch);
    tokens_close(file);
}

static void a_missing_file_says_how_to_make_one(void **state) {
    (void)state;
    TokensFile *file;
    capture_begin();
    assert_int_equal(tokens_open(fixture_path("nowhere/train.h5"), &file), BAD_INPUT);
    const char *text = capture_end();
    assert_mentions(text, "no such file; make it with flame-c data build --text DIR --out ");
    assert_mentions(text, "tools/prepare.py");
}

static void what_is_not_hdf5_is_refused(void **state) {
    (void)state;
    const char *path = fixture_path("other");
    char bytes[5000];
    write_bytes(path, bytes, 0);
    expect_status(path, BAD_INPUT, "is empty");
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)hash_mix(3, i);
    write_bytes(path, bytes, sizeof bytes);
    expect_status(path, BAD_INPUT, "not an HDF5 file");
    write_bytes(path, "some text\n", 10);
    expect_status(path, BAD_INPUT, "not an HDF5 file");
    expect_status(fixture_folder, BAD_INPUT, "not a regular file");
    expect_status(fixture_path("nothing"), BAD_INPUT, "no such file");
    const char *pipe_path = fixture_path("pipe");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    expect_status(pipe_path, BAD_INPUT, "not a regular file");
}

static void what_is_written_is_read_back(void **state) {
    (void)state;
    const char *path = fixture_path("round.h5");
    const int64_t chunks[] = {2048, 5000, 65536};
    for (int width = 2; width <= 4; width += 2)
        for (int i = 0; i < 3; i++)
            for (int64_t documents = 1; documents <= 900; documents = documents * 7 + 1) {
                fixture_write(path, 6, documents, 100, true, chunks[i], width);
                bool same;
                assert_int_equal(read_all(path, 6, &same), OK);
                assert_true(same);
                TokensFile *file;
                assert_int_equal(tokens_open(path, &file), OK);
                const TokensFacts *facts = tokens_facts(file);
                assert_int_equal(facts->documents, documents);
                assert_int_equal(facts->doc_ends[documents - 1], 100 * documents + documents * (documents - 1) / 2);
                assert_int_equal(facts->vocab_size, BYTES_VOCAB_SIZE);
                assert_string_equal(facts->tokenizer, "bytes");
                tokens_close(file);
            }
}

/* Reads the file in a process of its own, because damaged metadata could end it. 0: an error; 1: the same tokens and
 * documents; 2: anything else. */
static int outcome_of(const char *path, const uint64_t *doc_ends, int64_t documents) {
    pid_t child = fork();
    if (child == 0) {
        bool same = true;
        TokensFile *file;
        freopen("/dev/null", "w", stderr);
        if (read_all(path, 1, &same) != OK) _exit(0);
        if (!same || tokens_open(path, &file) != OK) _exit(2);
        const TokensFacts *facts = tokens_facts(file);
        if (facts->documents != documents || facts->vocab_size != BYTES_VOCAB_SIZE) _exit(2);
        _exit(memcmp(facts->doc_ends, doc_ends, (size_t)documents * sizeof *doc_ends) ? 2 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void a_flipped_bit_is_an_error_or_harmless(void **state) {
    (void)state;
    enum { FLIPS = 400 };
    const char *good = fixture_path("good.h5"), *flipped = fixture_path("flipped.h5");
    fixture_write(good, 1, 20, 300, true, CHUNK, 2);
    TokensFile *file;
    assert_int_equal(tokens_open(good, &file), OK);
    int64_t size, errors = 0;
    char *bytes = read_bytes(good, &size);
    for (int64_t i = 0; i < FLIPS; i++) {
        int64_t bit = (i * 8 * size + (int64_t)(hash_mix(4, (uint64_t)i) % (uint64_t)(8 * size))) / FLIPS;
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        write_bytes(flipped, bytes, size);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        int outcome = outcome_of(flipped, tokens_facts(file)->doc_ends, 20);
        if (outcome > 1) fail_msg("bit %lld: outcome %d", (long long)bit, outcome);
        errors += outcome == 0;
    }
    assert_true(errors > FLIPS / 10);
    tokens_close(file);
    free(bytes);
}

static int files_in(const char *folder) {
    char **names;
    int64_t count;
    assert_int_equal(folder_list(folder, &names, &count), 0);
    folder_list_free(names, count);
    return (int)count;
}

static void a_writer_that_does_not_finish_leaves_nothing(void **state) {
    (void)state;
    const char *path = fixture_path("sub");
    assert_int_equal(folder_create(path), 0);
    const char *out = fixture_path("sub/out.h5");
    TokensWriterOptions options = tokens_writer_bytes_options(out);
    TokensWriter *writer;
    assert_int_equal(tokens_writer_open(&options, &writer), OK);
    tokens_writer_abandon(writer);
    assert_int_equal(tokens_writer_open(&options, &writer), OK);
    capture_begin();
    assert_int_equal(tokens_writer_finish(writer), BAD_INPUT);
    assert_mentions(capture_end(), "no text");
    assert_int_equal(files_in(path), 0);
    options.path = fixture_path("new/folders/out.h5");
    assert_int_equal(tokens_writer_open(&options, &writer), OK);
    tokens_writer_abandon(writer);
    assert_true(folder_exists(fixture_path("new/folders")));
    fixture_write(fixture_path("file"), 1, 1, 100, false, CHUNK, 2);
    options.path = fixture_path("file/out.h5");
    capture_begin();
    assert_int_equal(tokens_writer_open(&options, &writer), IO_ERROR);
    assert_mentions(capture_end(), "file/out.h5: cannot be created: Not a directory");
    options.path = path;
    options.force = true;
    capture_begin();
    assert_int_equal(tokens_writer_open(&options, &writer), BAD_INPUT);
    assert_mentions(capture_end(), "is a folder");
}

/* In a process of its own: writes 400,000 random tokens, raises the signal if there is one, and finishes. */
static int write_in_child(const char *path, rlim_t size_limit, int signal_number) {
    pid_t child = fork();
    if (child == 0) {
        TokensWriterOptions options = tokens_writer_bytes_options(path);
        options.chunk_tokens = CHUNK;
        TokensWriter *writer = NULL;
        freopen("/dev/null", "w", stderr);
        omp_set_num_threads(1); /* the threads of the parent are not here */
        unfinished_handle_signals();
        signals_ignore_size_limit();
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){size_limit, size_limit});
        Status status = tokens_writer_open(&options, &writer);
        for (uint64_t i = 0; i < 400000 && !status; i++) {
            uint32_t token = (uint32_t)hash_mix(1, i) % 256;
            status = tokens_writer_add(writer, &token, 1);
        }
        if (signal_number) raise(signal_number);
        if (status)
            tokens_writer_abandon(writer);
        else
            status = tokens_writer_finish(writer);
        _exit(status);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void a_full_disk_or_a_signal_leaves_nothing(void **state) {
    (void)state;
    const char *folder = fixture_path("full"), *out = fixture_path("full/out.h5");
    assert_int_equal(folder_create(folder), 0);
    for (rlim_t limit = 0; limit <= 350000; limit += 50000) {
        assert_int_equal(write_in_child(out, limit, 0), IO_ERROR);
        assert_int_equal(files_in(folder), 0);
    }
    assert_int_equal(write_in_child(out, RLIM_INFINITY, SIGINT), 100 + SIGINT);
    assert_int_equal(write_in_child(out, RLIM_INFINITY, SIGTERM), 100 + SIGTERM);
    assert_int_equal(files_in(folder), 0);
    assert_int_equal(write_in_child(out, RLIM_INFINITY, 0), OK);
    assert_int_equal(files_in(folder), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(every_rule_of_the_format_is_enforced),
        cmocka_unit_test(the_tokenizer_in_a_file_is_checked),
        cmocka_unit_test(a_stale_file_is_opened_again),
        cmocka_unit_test(a_missing_file_says_how_to_make_one),
        cmocka_unit_test(what_is_not_hdf5_is_refused),
        cmocka_unit_test(a_flipped_bit_is_an_error_or_harmless),
        cmocka_unit_test(a_writer_that_does_not_finish_leaves_nothing),
        cmocka_unit_test(a_full_disk_or_a_signal_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
