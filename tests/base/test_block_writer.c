/* The block writer puts every byte at its offset, for ranges that begin and end anywhere, with direct writes and
 * through the page cache. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/block_writer.h"
#include "base/files.h"

enum { FILE_BYTES = 12 << 20, LONGEST = 3 << 20 };

static unsigned char expected[FILE_BYTES], written[FILE_BYTES];
static int64_t direct_writes, cached_writes, short_writes;
static bool refuses_direct, can_direct;

/* Counts direct and ordinary writes. Cuts every 7th write short, and refuses direct writes if the test imitates a file
 * system without them. */
static int watch(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)path;
    if (operation != FILE_WRITE) return 0;
    const bool direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
    if (direct && refuses_direct) return EINVAL;
    int64_t *count = direct ? &direct_writes : &cached_writes;
    if (++*count % 7 == 0 && *bytes > 1 && short_writes >= 0) {
        *bytes = *bytes / 2 + 1;
        short_writes++;
    }
    return 0;
}

/* An unlinked file in the working directory, which is on a disk; /tmp may be in memory. */
static int temporary_file(void) {
    char name[] = "block-writer-XXXXXX";
    const int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(unlink(name), 0);
    return fd;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Puts bytes first .. end - 1 of the file into the writer, in one part or in many. */
static void put(BlockWriter *writer, int64_t first, int64_t end) {
    for (int64_t at = first, part; at < end; at += part) {
        char *memory;
        int64_t room;
        assert_int_equal(block_writer_room(writer, at, &memory, &room), 0);
        assert_true(room >= 1);
        part = smaller(smaller(room, end - at), rand() % 2 ? end - at : 1 + rand() % 100000);
        memcpy(memory, expected + at, (size_t)part);
        block_writer_advance(writer, part);
    }
}

/* Writes random ranges in ascending order, with gaps between some, and compares the file with what was put. */
static void write_ranges(unsigned seed) {
    const int fd = temporary_file();
    assert_int_equal(file_allocate(fd, FILE_BYTES), 0);
    can_direct = file_set_direct(fd, true) == 0;
    assert_int_equal(file_set_direct(fd, false), 0);
    memset(expected, 0, sizeof expected);
    srand(seed);
    BlockWriter writer;
    assert_int_equal(block_writer_open(&writer, fd), 0);
    for (int64_t first = rand() % 9000, end; first < FILE_BYTES; first = end + (rand() % 2) * (rand() % 9000)) {
        end = smaller(first + 1 + rand() % (rand() % 3 ? 5000 : LONGEST), FILE_BYTES);
        for (int64_t i = first; i < end; i++) expected[i] = (unsigned char)(rand() % 255 + 1);
        put(&writer, first, end);
    }
    assert_int_equal(block_writer_flush(&writer), 0);
    block_writer_close(&writer);
    assert_int_equal(fcntl(fd, F_GETFL) & O_DIRECT, 0);
    assert_int_equal(file_read(fd, written, FILE_BYTES, 0), 0);
    assert_memory_equal(written, expected, FILE_BYTES);
    close(fd);
}

static int begin(void **state) {
    (void)state;
    direct_writes = cached_writes = 0;
    short_writes = -1;
    refuses_direct = false;
    files_set_hook(watch);
    return 0;
}

static int end(void **state) {
    (void)state;
    files_set_hook(NULL);
    return 0;
}

static void ranges_of_any_length(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) write_ranges(seed);
    assert_true(cached_writes > 0);
    assert_int_equal(direct_writes > 0, can_direct);
}

static void writes_cut_short(void **state) {
    (void)state;
    short_writes = 0;
    for (unsigned seed = 1; seed <= 8; seed++) write_ranges(seed);
    assert_true(short_writes > 10);
}

static void file_systems_without_direct_writes(void **state) {
    (void)state;
    refuses_direct = true;
    for (unsigned seed = 1; seed <= 4; seed++) write_ranges(seed);
    assert_int_equal(direct_writes, 0);
}

static int fail_write(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)path, (void)fd, (void)bytes;
    return operation == FILE_WRITE ? ENOSPC : 0;
}

/* The caller gets an error of a write from the flush at the latest. */
static void errors_are_returned(void **state) {
    (void)state;
    const int fd = temporary_file();
    char *memory;
    int64_t room;
    BlockWriter writer;
    assert_int_equal(block_writer_open(&writer, fd), 0);
    files_set_hook(fail_write);
    assert_int_equal(block_writer_room(&writer, 100, &memory, &room), 0);
    memset(memory, 1, 10);
    block_writer_advance(&writer, 10);
    assert_int_equal(block_writer_room(&writer, 1000, &memory, &room), ENOSPC);
    memset(memory, 1, 10);
    block_writer_advance(&writer, 10);
    assert_int_equal(block_writer_flush(&writer), ENOSPC);
    block_writer_close(&writer);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ranges_of_any_length, begin, end),
        cmocka_unit_test_setup_teardown(writes_cut_short, begin, end),
        cmocka_unit_test_setup_teardown(file_systems_without_direct_writes, begin, end),
        cmocka_unit_test_setup_teardown(errors_are_returned, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
