#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

typedef struct VocabularySlot {
    int64_t start, bytes; /* start -1: empty */
    uint32_t id;
    uint32_t hash;
} VocabularySlot;

uint64_t text_hash(const char *text, int64_t bytes) {
    uint64_t hash = 0x9e3779b97f4a7c15u ^ (uint64_t)bytes;
    for (; bytes >= 8; text += 8, bytes -= 8) {
        uint64_t eight;
        memcpy(&eight, text, 8);
        hash = (hash ^ eight) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    memcpy(&rest, text, (size_t)bytes);
    hash = (hash ^ rest) * 0xc4ceb9fe1a85ec53u;
    return hash ^ hash >> 29;
}

static VocabularySlot *find_slot(const Vocabulary *vocabulary, const char *token, int64_t bytes, uint64_t hash) {
    for (uint64_t i = hash;; i++) {
        VocabularySlot *slot = &vocabulary->slot[i & (uint64_t)(vocabulary->slots - 1)];
        if (slot->start < 0) return slot;
        if (slot->hash == (uint32_t)hash && slot->bytes == bytes &&
            memcmp(vocabulary->text + slot->start, token, (size_t)bytes) == 0)
            return slot;
    }
}

static void grow_slots(Vocabulary *vocabulary) {
    VocabularySlot *old = vocabulary->slot;
    const int64_t old_slots = vocabulary->slots;
    vocabulary->slots = old_slots ? 2 * old_slots : 1024;
    vocabulary->slot = malloc((size_t)vocabulary->slots * sizeof *vocabulary->slot);
    CHECK_MEMORY(vocabulary->slot, "no memory for a vocabulary of %lld tokens", (long long)vocabulary->slots);
    for (int64_t i = 0; i < vocabulary->slots; i++) vocabulary->slot[i].start = -1;
    for (int64_t i = 0; i < old_slots; i++) {
        if (old[i].start < 0) continue;
        const char *token = vocabulary->text + old[i].start;
        *find_slot(vocabulary, token, old[i].bytes, text_hash(token, old[i].bytes)) = old[i];
    }
    free(old);
}

static int64_t add_text(Vocabulary *vocabulary, const char *token, int64_t bytes) {
    const int64_t start = vocabulary->text_bytes;
    if (start + bytes + 1 > vocabulary->text_room) {
        vocabulary->text_room = 2 * (start + bytes + 1);
        vocabulary->text = realloc(vocabulary->text, (size_t)vocabulary->text_room);
        CHECK_MEMORY(vocabulary->text, "no memory for a vocabulary of %lld bytes", (long long)vocabulary->text_room);
    }
    memcpy(vocabulary->text + start, token, (size_t)bytes);
    vocabulary->text[start + bytes] = 0;
    vocabulary->text_bytes += bytes + 1;
    return start;
}

static void set_entry(Vocabulary *vocabulary, uint32_t id, VocabularyEntry entry) {
    if (id >= vocabulary->size_room) {
        vocabulary->size_room = 2 * ((int64_t)id + 1);
        vocabulary->entry = realloc(vocabulary->entry, (size_t)vocabulary->size_room * sizeof *vocabulary->entry);
        CHECK_MEMORY(vocabulary->entry, "no memory for a vocabulary of %lld ids", (long long)vocabulary->size_room);
    }
    while (vocabulary->size <= id) vocabulary->entry[vocabulary->size++] = (VocabularyEntry){.start = -1};
    vocabulary->entry[id] = entry;
}

void vocabulary_add(Vocabulary *vocabulary, const char *token, int64_t bytes, uint32_t id) {
    CHECK(id <= VOCABULARY_ID_MAX, "token id %u is too large", id);
    if (2 * vocabulary->count >= vocabulary->slots) grow_slots(vocabulary);
    const uint64_t hash = text_hash(token, bytes);
    VocabularySlot *slot = find_slot(vocabulary, token, bytes, hash);
    if (slot->start < 0) {
        *slot = (VocabularySlot){.start = add_text(vocabulary, token, bytes), .bytes = bytes, .hash = (uint32_t)hash};
        vocabulary->count++;
    }
    slot->id = id;
    set_entry(vocabulary, id, (VocabularyEntry){slot->start, bytes});
}

int64_t vocabulary_find(const Vocabulary *vocabulary, const char *token, int64_t bytes) {
    if (vocabulary->count == 0) return -1;
    const VocabularySlot *slot = find_slot(vocabulary, token, bytes, text_hash(token, bytes));
    return slot->start < 0 ? -1 : (int64_t)slot->id;
}

const char *vocabulary_token(const Vocabulary *vocabulary, int64_t id, int64_t *bytes) {
    if (id < 0 || id >= vocabulary->size || vocabulary->entry[id].start < 0) return NULL;
    *bytes = vocabulary->entry[id].bytes;
    return vocabulary->text + vocabulary->entry[id].start;
}

void vocabulary_free(Vocabulary *vocabulary) {
    free(vocabulary->text);
    free(vocabulary->entry);
    free(vocabulary->slot);
    *vocabulary = (Vocabulary){0};
}
