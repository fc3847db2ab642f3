/* The tokenizer.json entrance with damaged files: for any input, the result is one error message, or a tokenizer that
 * accepts any text and any tokens.
 *
 *   test_fuzz_tokenizer [MUTANTS [SEED]]    a longer run
 * With clang's -fsanitize=fuzzer and FLAME_LIBFUZZER defined it is a libFuzzer target. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "support/mutants.h"
#include "text/tokenizer.h"

static const char *path(void) {
    static char name[64];
    if (!name[0]) snprintf(name, sizeof name, "/dev/shm/flame-c-fuzz-%ld.json", (long)getpid());
    return name;
}

static const char *const texts[] = {"", "Hello, w\xc3\xb6rld! It's 12345  \r\n\t<s>[MASK] tok <0x41> \xe2\x96\x81x",
                                    "\xff\xfe\xed\xa0\x80\xf0\x9f\x98",
                                    "\xe4\xbd\xa0\xe5\xa5\xbd\xcc\x81\xe2\x80\x8d\xf0\x9f\x91\xa9",
                                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

static void use(const Tokenizer *tokenizer) {
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    TokenStream *stream = token_stream_create(tokenizer, true);
    TokenIds ids = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        (void)tokenizer_encode(encoder, texts[i], (int64_t)strlen(texts[i]), i % 2, &ids);
    for (int64_t i = 0; i < ids.count; i++)
        CHECK(ids.id[i] < 1 << 22, "token %u is outside of every vocabulary", ids.id[i]);
    for (uint32_t id = 0; id < 300; id++) token_ids_add(&ids, id * 7919 % 600);
    for (int64_t i = ids.count - 20; i < ids.count; i++) token_stream_add(stream, ids.id[i], NULL);
    token_stream_end(stream, NULL);
    free(tokenizer_decode(tokenizer, ids.id, ids.count, false, NULL));
    free(ids.id);
    token_stream_free(stream);
    token_encoder_free(encoder);
}

static int64_t accepted = 0;

static void try_file(const uint8_t *data, size_t bytes) {
    const int fd = open(path(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes, "writing %s", path());
    close(fd);
    Tokenizer *tokenizer;
    const Status status = tokenizer_open(path(), &tokenizer);
    CHECK((status == OK) == (tokenizer != NULL), "status %d and tokenizer %p", status, (void *)tokenizer);
    if (status != OK) return;
    accepted++;
    use(tokenizer);
    tokenizer_close(tokenizer);
}

#ifdef FLAME_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    try_file(data, bytes);
    return 0;
}
#else

enum { SEEDS = 7, ROOM = 64 << 10 };
static const char *const files[SEEDS - 1] = {
    "tests/golden/tokenizers/gpt2.json",    "tests/golden/tokenizers/llama2.json",
    "tests/golden/tokenizers/llama3.json",  "tests/golden/tokenizers/mistral.json",
    "tests/golden/tokenizers/unigram.json", "tests/golden/tokenizers/wordpiece.json"};
static const char every_step[] =
    "{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"single_word\":true,\"lstrip\":true,\"rstrip\":true,"
    "\"normalized\":true,\"special\":true}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},"
    "{\"type\":\"Nmt\"},{\"type\":\"StripAccents\"},{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},{"
    "\"type\":"
    "\"Replace\",\"pattern\":{\"Regex\":\"[a-c]{1,2}|\\\\s+(?!\\\\S)\"},\"content\":\"x\"},{\"type\":\"Precompiled\","
    "\"precompiled_charsmap\":\"CAAAAAAAAAAAAAAAYQA=\"}]},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
    "{\"type\":\"Whitespace\"},{\"type\":\"WhitespaceSplit\"},{\"type\":\"Digits\",\"individual_digits\":true},{"
    "\"type\":"
    "\"Punctuation\",\"behavior\":\"Contiguous\"},{\"type\":\"Split\",\"behavior\":\"MergedWithNext\",\"invert\":true,"
    "\"pattern\":{\"String\":\"o\"}}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"BPEDecoder\","
    "\"suffix\":"
    "\"</w>\"},{\"type\":\"Strip\",\"content\":\"a\",\"start\":1,\"stop\":2},{\"type\":\"WordPiece\",\"prefix\":\"##\","
    "\"cleanup\":true}]},\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0,\"b\":7,\"u\":2},\"unk_token\":\"u\"}}";
static const char *const words[] = {"[",          "]",         "{",          "}",         ",",
                                    "\"",         "-1",        "0",          "1.5",       "1e308",
                                    "4294967296", "null",      "true",       "\\u0000",   "\\ud83d\\ude00",
                                    "\\",         "\xff",      "BPE",        "Unigram",   "Metaspace",
                                    "Sequence",   "\"type\":", "\"vocab\":", "ByteLevel", "(",
                                    "(?=",        "*",         "\\p{L}",     "[^",        "|",
                                    "+",          "{9,}"};

int main(int argc, char **argv) {
    const long mutants = argc > 1 ? atol(argv[1]) : 10000;
    char *seed[SEEDS] = {strdup(every_step)}, *room = malloc(ROOM);
    int64_t length[SEEDS] = {(int64_t)strlen(every_step)};
    /* Most changes are outside of the vocabulary. */
    Mutant m = {.data = room, .room = ROOM, .head = 1500, .random = argc > 2 ? (uint64_t)atol(argv[2]) : 1};
    CHECK(room, "no memory");
    for (int i = 1; i < SEEDS; i++)
        CHECK(file_read_all(files[i - 1], ROOM, &seed[i], &length[i]) == 0, "reading %s", files[i - 1]);
    mutants_silence();
    for (long i = 0; i < mutants; i++) {
        const size_t from = mutant_draw(&m, SEEDS);
        memcpy(room, seed[from], m.bytes = (size_t)length[from]);
        for (size_t changes = mutant_draw(&m, 4); changes > 0; changes--)
            mutant_change(&m, words, sizeof words / sizeof words[0]);
        try_file((const uint8_t *)room, m.bytes);
    }
    for (int i = 0; i < SEEDS; i++) free(seed[i]);
    free(room);
    remove(path());
    printf("%ld mutants, %lld accepted\n", mutants, (long long)accepted);
    return accepted > 0 && accepted < mutants ? 0 : 1;
}
#endif
