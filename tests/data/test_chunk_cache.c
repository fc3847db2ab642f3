/* A cache much smaller than the file: pinned chunks stay, chunks have the right content, errors are reported. */
#include "data/tokens_fixture.h"

#include <sys/time.h>

#include "data/chunk_cache.h"

enum { CHUNK = 2048, CHUNKS = 24, READS = 1500 };

static void check_chunk(const void *tokens, int64_t chunk) {
    const uint16_t *values = tokens;
    for (int64_t i = 0; i < CHUNK; i += 97) assert_int_equal(values[i], fixture_token(1, chunk * CHUNK + i));
}

/* Two chunks are pinned at any time, while others come and go and the threads read ahead. */
static void pinned_chunks_stay_while_others_are_replaced(void **state) {
    (void)state;
    const char *path = fixture_path("cache.h5");
    fixture_write(path, 1, 1, CHUNKS * CHUNK, false, CHUNK, 2);
    for (int threads = 0; threads <= 3; threads++) {
        TokensFile *file;
        assert_int_equal(tokens_open(path, &file), OK);
        ChunkCache *cache = chunk_cache_create(&file, 1, 0, threads);
        assert_int_equal(chunk_cache_slots(cache), threads + 2);
        int64_t held = -1;
        const void *held_tokens = NULL, *tokens;
        for (uint64_t i = 0; i < READS; i++) {
            int64_t chunk = (int64_t)(hash_mix(7, i) % CHUNKS);
            for (uint64_t k = 1; k < 4; k++) chunk_cache_want(cache, 0, (int64_t)(hash_mix(7, i + k) % CHUNKS));
            assert_int_equal(chunk_cache_pin(cache, 0, chunk, &tokens), OK);
            check_chunk(tokens, chunk);
            if (held >= 0) {
                check_chunk(held_tokens, held);
                chunk_cache_unpin(cache, 0, held);
            }
            held = chunk;
            held_tokens = tokens;
        }
        chunk_cache_unpin(cache, 0, held);
        chunk_cache_destroy(cache);
        tokens_close(file);
    }
}

static int count_of(const char *text, const char *words) {
    int count = 0;
    for (; (text = strstr(text, words)); text += strlen(words)) count++;
    return count;
}

/* The stored bytes of one chunk are overwritten: every read of it fails, and cached chunks remain readable. */
static void a_damaged_chunk_is_an_error_each_time(void **state) {
    (void)state;
    const char *path = fixture_path("damaged.h5");
    fixture_write(path, 1, 1, 3 * CHUNK, false, CHUNK, 2);
    char *bytes;
    int64_t size, place = 0;
    assert_int_equal(file_read_all(path, 1 << 30, &bytes, &size), 0);
    while (memcmp(bytes + place, "\x78\x5e", 2)) assert_true(++place + 200 < size); /* how a deflate stream begins */
    memset(bytes + place + 100, 0, 50);
    FILE *out = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, (size_t)size, out), size);
    fclose(out);
    free(bytes);
    for (int threads = 0; threads <= 2; threads++) {
        TokensFile *file;
        const void *tokens;
        assert_int_equal(tokens_open(path, &file), OK);
        ChunkCache *cache = chunk_cache_create(&file, 1, 3, threads);
        capture_begin();
        for (int64_t chunk = 2; chunk > 0; chunk--) {
            assert_int_equal(chunk_cache_pin(cache, 0, chunk, &tokens), OK);
            chunk_cache_unpin(cache, 0, chunk);
        }
        for (int pass = 0; pass < 5; pass++) {
            for (int64_t chunk = 0; chunk < 3; chunk++) chunk_cache_want(cache, 0, chunk);
            assert_int_equal(chunk_cache_pin(cache, 0, 0, &tokens), BAD_INPUT);
            for (int64_t chunk = 1; chunk < 3; chunk++) {
                assert_int_equal(chunk_cache_pin(cache, 0, chunk, &tokens), OK);
                check_chunk(tokens, chunk);
                chunk_cache_unpin(cache, 0, chunk);
            }
        }
        assert_int_equal(count_of(capture_end(), "is damaged"), 1);
        chunk_cache_destroy(cache);
        tokens_close(file);
    }
}

/* If no chunk can be read any more, that is logged once, not for each chunk that the threads read ahead. */
static void a_lost_file_is_reported_once(void **state) {
    (void)state;
    const char *path = fixture_path("lost.h5");
    fixture_write(path, 1, 1, CHUNKS * CHUNK, false, CHUNK, 2);
    for (int threads = 0; threads <= 2; threads++) {
        TokensFile *file;
        const void *tokens;
        assert_int_equal(tokens_open(path, &file), OK);
        assert_int_equal(utimes(path, (struct timeval[2]){{.tv_sec = threads + 1}, {.tv_sec = threads + 1}}), 0);
        ChunkCache *cache = chunk_cache_create(&file, 1, 0, threads);
        capture_begin();
        for (int64_t chunk = 0; chunk < CHUNKS; chunk++) chunk_cache_want(cache, 0, chunk);
        for (int64_t chunk = 0; chunk < CHUNKS; chunk++)
            assert_int_equal(chunk_cache_pin(cache, 0, chunk, &tokens), IO_ERROR);
        const int said = count_of(capture_end(), "was replaced or changed");
        assert_in_range(said, 1, threads + 1); /* the threads that were reading when the first one failed */
        chunk_cache_destroy(cache);
        tokens_close(file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pinned_chunks_stay_while_others_are_replaced),
        cmocka_unit_test(a_damaged_chunk_is_an_error_each_time),
        cmocka_unit_test(a_lost_file_is_reported_once),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
