#include "data/chunk_cache.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { QUEUE_LENGTH = 256, NO_SLOT = -1 };

typedef enum SlotState { SLOT_FREE, SLOT_LOADING, SLOT_READY, SLOT_FAILED } SlotState;

typedef struct Slot {
    SlotState state;
    int file;
    int64_t chunk;
    int64_t pins;
    uint64_t last_use;
    unsigned char *tokens;
} Slot;

/* A chunk to be prefetched. */
typedef struct Request {
    int file;
    int64_t chunk;
} Request;

struct ChunkCache {
    TokensFile *const *files;
    int file_count, thread_count;
    int64_t slot_count, slot_bytes;
    Slot *slots;
    int32_t **slot_of_chunk; /* [file][chunk], NO_SLOT if the chunk is not in the cache */
    unsigned char *memory;
    uint64_t clock;

    Request queue[QUEUE_LENGTH]; /* a ring */
    int queue_first, queue_used;
    bool stopping;
    Status failure; /* of the first chunk that could not be read; no chunk is read after it, because the run ends */
    TokensScratch scratch; /* for the thread that calls chunk_cache_pin */
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* the queue is not empty, or `stopping` */
    pthread_cond_t changed; /* a slot was loaded or unpinned */
};

static Slot *slot_find(ChunkCache *cache, int file, int64_t chunk) {
    int32_t number = cache->slot_of_chunk[file][chunk];
    return number == NO_SLOT ? NULL : &cache->slots[number];
}

/* The least recently used slot that is neither pinned nor loading, or NULL. The linear search costs far less than the
 * inflate that follows. */
static Slot *slot_to_reuse(ChunkCache *cache) {
    Slot *oldest = NULL;
    for (Slot *slot = cache->slots; slot < cache->slots + cache->slot_count; slot++) {
        if (slot->state == SLOT_FREE) return slot;
        if (slot->state == SLOT_LOADING || slot->pins > 0) continue;
        if (!oldest || slot->last_use < oldest->last_use) oldest = slot;
    }
    return oldest;
}

/* Gives the slot to a chunk and marks it as loading; the caller loads it. */
static void slot_assign(ChunkCache *cache, Slot *slot, int file, int64_t chunk) {
    if (slot->state != SLOT_FREE) cache->slot_of_chunk[slot->file][slot->chunk] = NO_SLOT;
    slot->state = SLOT_LOADING;
    slot->file = file;
    slot->chunk = chunk;
    slot->last_use = ++cache->clock;
    cache->slot_of_chunk[file][chunk] = (int32_t)(slot - cache->slots);
}

/* Loads the slot's chunk. Called with the lock held, which is released while the chunk is read and inflated. */
static void slot_load(ChunkCache *cache, Slot *slot, TokensScratch *scratch) {
    Status status = cache->failure;
    if (!status) {
        pthread_mutex_unlock(&cache->lock);
        status = tokens_read_chunk(cache->files[slot->file], slot->chunk, scratch, slot->tokens);
        pthread_mutex_lock(&cache->lock);
    }
    if (!cache->failure) cache->failure = status;
    slot->state = status ? SLOT_FAILED : SLOT_READY;
    pthread_cond_broadcast(&cache->changed);
}

static void *reader_thread(void *argument) {
    ChunkCache *cache = argument;
    TokensScratch scratch = {0};
    pthread_mutex_lock(&cache->lock);
    while (!cache->stopping) {
        if (cache->queue_used == 0) {
            pthread_cond_wait(&cache->work, &cache->lock);
            continue;
        }
        Request request = cache->queue[cache->queue_first];
        cache->queue_first = (cache->queue_first + 1) % QUEUE_LENGTH;
        cache->queue_used--;
        Slot *slot = slot_find(cache, request.file, request.chunk) ? NULL : slot_to_reuse(cache);
        if (!slot) continue;
        slot_assign(cache, slot, request.file, request.chunk);
        slot_load(cache, slot, &scratch);
    }
    pthread_mutex_unlock(&cache->lock);
    tokens_scratch_free(&scratch);
    return NULL;
}

static const char ADVICE[] =
    "Start fewer ranks on each host, list fewer data.files, or build them with smaller or larger "
    "chunks (flame-c data build --chunk)";

static void create_tables(ChunkCache *cache) {
    cache->slots = calloc((size_t)cache->slot_count, sizeof *cache->slots);
    cache->memory = memory_take(cache->slot_count * cache->slot_bytes, "the cache of data chunks", ADVICE);
    cache->slot_of_chunk = calloc((size_t)cache->file_count, sizeof *cache->slot_of_chunk);
    CHECK_MEMORY(cache->slots && cache->slot_of_chunk, "out of memory");
    for (int64_t i = 0; i < cache->slot_count; i++) cache->slots[i].tokens = cache->memory + i * cache->slot_bytes;
    for (int file = 0; file < cache->file_count; file++) {
        int64_t chunks = tokens_facts(cache->files[file])->chunks;
        cache->slot_of_chunk[file] = memory_take(chunks * (int64_t)sizeof(int32_t), "the table of data chunks", ADVICE);
        for (int64_t chunk = 0; chunk < chunks; chunk++) cache->slot_of_chunk[file][chunk] = NO_SLOT;
    }
}

ChunkCache *chunk_cache_create(TokensFile *const *files, int file_count, int64_t slots, int threads) {
    ChunkCache *cache = calloc(1, sizeof *cache);
    CHECK_MEMORY(cache, "no memory for a chunk cache");
    cache->files = files;
    cache->file_count = file_count;
    cache->slot_count = slots < threads + 2 ? threads + 2 : slots;
    for (int file = 0; file < file_count; file++) {
        int64_t bytes = (tokens_chunk_bytes(files[file]) + 63) / 64 * 64;
        if (bytes > cache->slot_bytes) cache->slot_bytes = bytes;
    }
    create_tables(cache);
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->work, NULL);
    pthread_cond_init(&cache->changed, NULL);
    cache->threads = calloc((size_t)threads + 1, sizeof *cache->threads);
    CHECK_MEMORY(cache->threads, "no memory for %d threads", threads);
    /* If a thread cannot be created the cache works without it, only slower. */
    while (cache->thread_count < threads &&
           pthread_create(&cache->threads[cache->thread_count], NULL, reader_thread, cache) == 0)
        cache->thread_count++;
    return cache;
}

void chunk_cache_destroy(ChunkCache *cache) {
    if (!cache) return;
    pthread_mutex_lock(&cache->lock);
    cache->stopping = true;
    pthread_cond_broadcast(&cache->work);
    pthread_mutex_unlock(&cache->lock);
    for (int i = 0; i < cache->thread_count; i++) pthread_join(cache->threads[i], NULL);
    pthread_cond_destroy(&cache->changed);
    pthread_cond_destroy(&cache->work);
    pthread_mutex_destroy(&cache->lock);
    for (int file = 0; file < cache->file_count; file++) free(cache->slot_of_chunk[file]);
    free(cache->slot_of_chunk);
    free(cache->threads);
    free(cache->slots);
    free(cache->memory);
    tokens_scratch_free(&cache->scratch);
    free(cache);
}

int64_t chunk_cache_slots(const ChunkCache *cache) { return cache->slot_count; }
int64_t chunk_cache_bytes(const ChunkCache *cache) { return cache->slot_count * cache->slot_bytes; }

Status chunk_cache_pin(ChunkCache *cache, int file, int64_t chunk, const void **tokens) {
    pthread_mutex_lock(&cache->lock);
    Slot *slot;
    for (;;) {
        slot = slot_find(cache, file, chunk);
        if (slot && slot->state != SLOT_LOADING) break;
        Slot *reuse = slot ? NULL : slot_to_reuse(cache);
        if (reuse) {
            slot_assign(cache, reuse, file, chunk);
            slot_load(cache, reuse, &cache->scratch);
        } else {
            pthread_cond_wait(&cache->changed, &cache->lock);
        }
    }
    Status status = slot->state == SLOT_FAILED ? cache->failure : OK;
    slot->last_use = ++cache->clock;
    if (!status) slot->pins++;
    pthread_mutex_unlock(&cache->lock);
    *tokens = slot->tokens;
    return status;
}

void chunk_cache_unpin(ChunkCache *cache, int file, int64_t chunk) {
    pthread_mutex_lock(&cache->lock);
    Slot *slot = slot_find(cache, file, chunk);
    CHECK(slot && slot->pins > 0, "chunk %lld is not pinned", (long long)chunk);
    if (--slot->pins == 0) pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
}

void chunk_cache_want(ChunkCache *cache, int file, int64_t chunk) {
    if (cache->thread_count == 0) return;
    pthread_mutex_lock(&cache->lock);
    Slot *slot = slot_find(cache, file, chunk);
    if (slot) {
        slot->last_use = ++cache->clock; /* so that it is not evicted before its use */
    } else if (cache->queue_used < QUEUE_LENGTH) {
        cache->queue[(cache->queue_first + cache->queue_used++) % QUEUE_LENGTH] = (Request){file, chunk};
        pthread_cond_signal(&cache->work);
    }
    pthread_mutex_unlock(&cache->lock);
}
