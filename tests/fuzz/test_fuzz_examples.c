/* The published files of examples with damage: MAD's arrays and flip-flop's text. For any input, the result is one
 * error message, or examples all of whose tokens and labels are valid for the task.
 *
 *   test_fuzz_examples [MUTANTS [SEED]]    a longer run
 * With clang's -fsanitize=fuzzer and FLAME_LIBFUZZER defined it is a libFuzzer target; its first byte says which file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"
#include "suites/flip_flop_text.h"
#include "suites/mad/mad_folder.h"
#include "support/mutants.h"

enum { TOKENS = 16, MOST = 1 << 12 };
typedef enum File { INPUTS, TARGETS, TEXT, FILES } File;

static long accepted[FILES];

static void check_example(const Example *e, int64_t T, int64_t tokens) {
    for (int64_t t = 0; t < T; t++) {
        CHECK(e->inputs[t] >= 0 && e->inputs[t] < tokens, "token %d", (int)e->inputs[t]);
        CHECK(e->labels[t] == IGNORED_LABEL || (e->labels[t] >= 0 && e->labels[t] < tokens), "label %d",
              (int)e->labels[t]);
    }
}

/* Reads all examples, each into memory of exactly its size. */
static void read_all(const TaskFiles *files, const char *split, int64_t tokens, File kind) {
    void *file = NULL;
    const Status status = files->open(mutants_folder, split, &file);
    if (status == OK) {
        const int64_t T = files->length(file), examples = files->examples(file);
        CHECK(T > 0 && examples > 0, "%lld examples of %lld", (long long)examples, (long long)T);
        Example e = {.inputs = malloc((size_t)T * sizeof *e.inputs), .labels = malloc((size_t)T * sizeof *e.labels)};
        CHECK(e.inputs && e.labels, "out of memory");
        Status read = OK;
        for (int64_t i = 0; i < examples && read == OK; i++) {
            read = files->example(file, i, tokens, e);
            if (read == OK) check_example(&e, T, tokens);
        }
        CHECK(read == OK || read == BAD_INPUT, "status %d", read);
        accepted[kind] += read == OK;
        free(e.inputs);
        free(e.labels);
    }
    CHECK(status == OK || status == BAD_INPUT, "status %d", status);
    if (file) files->close(file);
}

static const char header[] = "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 4), }";
static const int8_t inputs[] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 15, 7},
                    targets[] = {-100, 1, -100, 3, 7, -100, -100, 0, 1, 2, 3, -100};
static const char text[] = "w1i0r1i1w0r0\nw0w1i1i0r1r1\nw1r1w0i0i1r0\n";

/* As NumPy writes it, with the header padded to 128 bytes. */
static size_t make_array(const int8_t *values, char *file) {
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    memset(file + 10, ' ', 118);
    memcpy(file + 10, header, strlen(header));
    file[127] = '\n';
    for (int i = 0; i < 12; i++) {
        const int64_t value = values[i];
        memcpy(file + 128 + 8 * i, &value, sizeof value);
    }
    return 128 + 8 * 12;
}

/* The other file of the folder is as it should be. */
static void take(File kind, const char *data, size_t bytes) {
    static const char *const names[FILES] = {"train/inputs.npy", "train/targets.npy", "train.txt"};
    char good[256];
    if (kind != TEXT) mutants_write(names[!kind], good, make_array(kind == INPUTS ? targets : inputs, good));
    mutants_write(names[kind], data, bytes);
    read_all(kind == TEXT ? &flip_flop_files : &mad_files, "train", kind == TEXT ? FLIP_FLOP_TOKENS : TOKENS, kind);
}

#ifdef FLAME_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static int begun = 0;
    if (!begun++) mutants_begin();
    if (bytes > 0) take(data[0] % FILES, (const char *)data + 1, bytes - 1);
    return 0;
}
#else

static const char *const words[] = {"(3, 4)",   "(3,)",
                                    "(0, 4)",   "(4, 3)",
                                    "(6, 2)",   "(999999999999, 4)",
                                    "True",     "'<i4'",
                                    "'>i8'",    "{",
                                    "}",        ", ",
                                    "\n",       "w1",
                                    "r0",       "i1",
                                    "w1r1\n",   "\x93NUMPY\x02",
                                    "\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\x7f",
                                    "2",        " "};

/* Changes the shape or a value, or corrects the length of the header. */
static void change_array(Mutant *m) {
    const char *shape = m->bytes > 10 ? memchr(m->data, '(', m->bytes) : NULL;
    const char *end = m->bytes > 10 ? memchr(m->data, '\n', m->bytes) : NULL;
    const size_t at = shape ? (size_t)(shape - m->data) + 1 : 0, row = mutant_draw(m, 32);
    switch (mutant_draw(m, 3)) {
    case 0:
        if (at + 4 < m->bytes) m->data[at] = (char)('0' + mutant_draw(m, 10));
        if (at + 4 < m->bytes) m->data[at + 3] = (char)('0' + mutant_draw(m, 10));
        break;
    case 1:
        if (128 + 8 * row < m->bytes) m->data[128 + 8 * row] = (char)mutant_draw(m, 20);
        break;
    default:
        if (end) m->data[8] = (char)(end + 1 - m->data - 10);
    }
}

/* Changes an instruction and its bit. */
static void change_text(Mutant *m) {
    static const char *const pairs[] = {"w0", "w1", "r0", "r1", "i0", "i1"};
    const size_t at = 2 * mutant_draw(m, m->bytes / 2 + 1);
    if (at + 2 <= m->bytes) memcpy(m->data + at, pairs[mutant_draw(m, 6)], 2);
}

int main(int argc, char **argv) {
    const long mutants = argc > 1 ? atol(argv[1]) : 6000;
    char room[MOST];
    Mutant m = {.data = room, .room = sizeof room, .random = argc > 2 ? (uint64_t)atol(argv[2]) : 1};
    mutants_begin();
    for (long i = 0; i < mutants; i++) {
        const File kind = (File)(i % FILES);
        m.bytes = kind == TEXT ? sizeof text - 1 : make_array(kind == INPUTS ? inputs : targets, room);
        if (kind == TEXT) memcpy(room, text, m.bytes);
        for (size_t changes = mutant_draw(&m, 4); changes > 0; changes--)
            if (mutant_draw(&m, 2))
                mutant_change(&m, words, sizeof words / sizeof words[0]);
            else
                kind == TEXT ? change_text(&m) : change_array(&m);
        char *exact = malloc(m.bytes + 1); /* so that a read past the end is detected */
        memcpy(exact, room, m.bytes);
        take(kind, exact, m.bytes);
        free(exact);
    }
    folder_remove(mutants_folder);
    printf("%ld mutants; read: %ld inputs, %ld targets, %ld texts\n", mutants, accepted[INPUTS], accepted[TARGETS],
           accepted[TEXT]);
    for (int kind = 0; kind < FILES; kind++)
        if (accepted[kind] == 0 || accepted[kind] >= mutants / FILES) return 1;
    return 0;
}
#endif
