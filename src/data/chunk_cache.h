/* Decoded chunks of token files, kept while they are in use and as long as there is room, and decoded ahead by reader
 * threads. The threads change when a chunk is decoded, never what is in it. */
#ifndef FLAME_DATA_CHUNK_CACHE_H
#define FLAME_DATA_CHUNK_CACHE_H

#include "data/tokens_h5.h"

typedef struct ChunkCache ChunkCache;

/* Room for `slots` chunks (of the files' largest size); at least threads + 2 are made. The files stay the caller's. */
ChunkCache *chunk_cache_create(TokensFile *const *files, int file_count, int64_t slots, int threads);
void chunk_cache_destroy(ChunkCache *cache);
int64_t chunk_cache_slots(const ChunkCache *cache);
int64_t chunk_cache_bytes(const ChunkCache *cache);

/* The chunk's tokens, decoded here if no thread has done it yet. Valid until it is unpinned. Errors: those of
 * tokens_read_chunk, which has logged them. */
Status chunk_cache_pin(ChunkCache *cache, int file, int64_t chunk, const void **tokens);
void chunk_cache_unpin(ChunkCache *cache, int file, int64_t chunk);

/* Asks the threads to decode a chunk that will be needed. Forgotten if too much has been asked for already. */
void chunk_cache_want(ChunkCache *cache, int file, int64_t chunk);

#endif
