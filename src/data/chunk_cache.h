/* An LRU cache of decoded chunks of token files, filled ahead of use by reader threads. The number and the timing of
 * the threads never change the contents. */
#ifndef FLAME_DATA_CHUNK_CACHE_H
#define FLAME_DATA_CHUNK_CACHE_H

#include "data/tokens_h5.h"

typedef struct ChunkCache ChunkCache;

/* `slots` is raised to threads + 2 if it is less; each has the size of the largest chunk of all files. The files are
 * borrowed. */
ChunkCache *chunk_cache_create(TokensFile *const *files, int file_count, int64_t slots, int threads);
void chunk_cache_destroy(ChunkCache *cache);
int64_t chunk_cache_slots(const ChunkCache *cache);
int64_t chunk_cache_bytes(const ChunkCache *cache);

/* Returns the tokens of a chunk, which stay valid until chunk_cache_unpin. Waits if a thread is decoding the chunk;
 * otherwise decodes it in this thread. Errors are those of tokens_read_chunk, already logged. One thread at a time. */
Status chunk_cache_pin(ChunkCache *cache, int file, int64_t chunk, const void **tokens);
void chunk_cache_unpin(ChunkCache *cache, int file, int64_t chunk);

/* Prefetch hint: queues the chunk for the reader threads. The hint is dropped if the queue is full. */
void chunk_cache_want(ChunkCache *cache, int file, int64_t chunk);

#endif
