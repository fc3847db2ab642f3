/* The anonymous file of another rank is opened by its process and descriptor numbers. Another file with the same
 * numbers is refused. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "parallel/comm_memory.h"

enum { BYTES = 4096 };

static void opens_the_same_file(void **state) {
    (void)state;
    const int file = comm_memory_file(BYTES);
    const CommMemoryName name = comm_memory_name(file);
    const int opened = comm_memory_open(&name);
    assert_true(file >= 0 && opened >= 0 && opened != file);
    assert_int_equal(pwrite(file, "x", 1, BYTES - 1), 1);
    char read = 0;
    assert_int_equal(pread(opened, &read, 1, BYTES - 1), 1);
    assert_int_equal(read, 'x');
    close(opened);
    close(file);
}

static void opens_no_other_file(void **state) {
    (void)state;
    const int file = comm_memory_file(BYTES), other = comm_memory_file(BYTES);
    const CommMemoryName name = comm_memory_name(file);
    assert_int_equal(dup2(other, file), file);
    assert_int_equal(comm_memory_open(&name), -1);
    close(file);
    assert_int_equal(comm_memory_open(&name), -1);
    close(other);
    const CommMemoryName none = comm_memory_name(-1);
    assert_int_equal(comm_memory_open(&none), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_the_same_file), cmocka_unit_test(opens_no_other_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
