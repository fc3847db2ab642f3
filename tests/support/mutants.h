/* For fuzzers: small changes of a file that is read. */
#ifndef FLAME_TESTS_MUTANTS_H
#define FLAME_TESTS_MUTANTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/files.h"

static char mutants_folder[] = "/dev/shm/flame-fuzz-XXXXXX";

/* Discards standard error: thousands of messages would be of no use. */
static inline void mutants_silence(void) {
    CHECK(getenv("SHOW_MESSAGES") || freopen("/dev/null", "w", stderr), "/dev/null");
}

/* Makes the folder, which the caller removes. */
static inline void mutants_begin(void) {
    CHECK(mkdtemp(mutants_folder), "no folder for mutants");
    mutants_silence();
}

static inline void mutants_write(const char *name, const void *data, size_t bytes) {
    char *path = path_join(mutants_folder, name);
    folder_create_above(path);
    file_remove(path);
    CHECK(file_write_all(path, data, (int64_t)bytes) == 0, "writing %s", path);
    free(path);
}

typedef struct Mutant {
    char *data;
    size_t bytes, room;
    size_t head; /* three of four changes are in this many bytes at the beginning; 0: anywhere */
    uint64_t random;
} Mutant;

static inline size_t mutant_draw(Mutant *m, size_t limit) {
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(m->random >> 33) % limit;
}

static inline size_t mutant_place(Mutant *m) {
    const bool in_head = m->head > 0 && m->head < m->bytes && mutant_draw(m, 4) > 0;
    return mutant_draw(m, in_head ? m->head : m->bytes + 1);
}

static inline void mutant_insert(Mutant *m, size_t at, const char *piece, size_t length) {
    if (m->bytes + length > m->room) return;
    memmove(m->data + at + length, m->data + at, m->bytes - at);
    memcpy(m->data + at, piece, length);
    m->bytes += length;
}

/* One change: a bit, a byte, a word put in or over, a piece taken out or repeated elsewhere, or the end cut off. */
static inline void mutant_change(Mutant *m, const char *const *words, size_t word_count) {
    const size_t at = mutant_place(m), length = mutant_draw(m, m->bytes - at + 1) % 200;
    const char *word = words[mutant_draw(m, word_count)];
    char copy[200];
    switch (mutant_draw(m, 12)) {
    case 0:
        m->bytes = at;
        break;
    case 1:
    case 2:
        if (at < m->bytes) m->data[at] ^= (char)(1 << mutant_draw(m, 8));
        break;
    case 3:
        if (at < m->bytes) m->data[at] = (char)mutant_draw(m, 256);
        break;
    case 4:
        memmove(m->data + at, m->data + at + length, m->bytes - at - length);
        m->bytes -= length;
        break;
    case 5:
        memcpy(copy, m->data + at, length);
        mutant_insert(m, mutant_draw(m, m->bytes + 1), copy, length);
        break;
    case 6:
    case 7:
    case 8:
        mutant_insert(m, at, word, strlen(word));
        break;
    default:
        if (at + strlen(word) <= m->bytes) memcpy(m->data + at, word, strlen(word));
    }
}

#endif
