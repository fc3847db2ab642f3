/* Free memory as computed from /proc and /sys files that the test writes: limits of parent control groups, of cgroup
 * version 1 and 2, and in containers. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/free_memory.h"
#include "support/temporary.h"

static void put(const char *name, const char *text) {
    char *path = temporary_path(name);
    assert_int_equal(folder_create_above(path), 0);
    write_file(path, text, (int64_t)strlen(text));
    free(path);
}

/* A host of 8 MB, of which 6 are available. */
static int begin(void **state) {
    const int status = temporary_create(state);
    put("proc/meminfo", "MemTotal:           8000 kB\nMemFree:             100 kB\nMemAvailable:       6000 kB\n");
    return status;
}

static void put_group(const char *group, const char *limit, const char *used, const char *stat) {
    char name[256];
    snprintf(name, sizeof name, "sys/fs/cgroup%s/memory.max", group);
    put(name, limit);
    snprintf(name, sizeof name, "sys/fs/cgroup%s/memory.current", group);
    put(name, used);
    snprintf(name, sizeof name, "sys/fs/cgroup%s/memory.stat", group);
    put(name, stat);
}

static void put_group_1(const char *group, const char *limit, const char *used, const char *stat) {
    char name[256];
    snprintf(name, sizeof name, "sys/fs/cgroup/memory%s/memory.limit_in_bytes", group);
    put(name, limit);
    snprintf(name, sizeof name, "sys/fs/cgroup/memory%s/memory.usage_in_bytes", group);
    put(name, used);
    snprintf(name, sizeof name, "sys/fs/cgroup/memory%s/memory.stat", group);
    put(name, stat);
}

static void without_groups(void **state) {
    (void)state;
    assert_int_equal(free_memory(temporary_folder), 6000 * 1024);
    put("proc/self/cgroup", "0::/\n");
    assert_int_equal(free_memory(temporary_folder), 6000 * 1024);
    put("proc/meminfo", "");
    assert_true(free_memory(temporary_folder) == INT64_MAX);
}

/* As under Slurm, the limit is that of the job's group, two levels up. */
static void by_a_group_above(void **state) {
    (void)state;
    put("proc/self/cgroup", "0::/job/step/task\n");
    put_group("/job/step/task", "max\n", "200000\n", "anon 1\ninactive_file 5\n");
    put_group("/job/step", "max\n", "300000\n", "anon 1\ninactive_file 5\n");
    put_group("/job", "1000000\n", "400000\n", "anon 1\nactive_file 7\ninactive_file 100000\n");
    assert_int_equal(free_memory(temporary_folder), 1000000 - 400000 + 100000);
    put_group("/job/step", "500000\n", "450000\n", "");
    assert_int_equal(free_memory(temporary_folder), 50000);
    put_group("/job/step/task", "40000\n", "41000\n", "inactive_file 0\n");
    assert_int_equal(free_memory(temporary_folder), 0);
    put_group("/job/step/task", "900000000\n", "41000\n", "inactive_file 0\n");
    put_group("/job/step", "900000000\n", "41000\n", "inactive_file 0\n");
    put_group("/job", "900000000\n", "41000\n", "inactive_file 0\n");
    assert_int_equal(free_memory(temporary_folder), 6000 * 1024);
}

static void by_version_1(void **state) {
    (void)state;
    put("proc/self/cgroup", "9:name=systemd:/x\n5:cpu,memory:/job/step\n1:cpuset:/y\n0::/\n");
    put_group_1("/job/step", "9223372036854771712\n", "300000\n", "inactive_file 9\ntotal_inactive_file 9\n");
    put_group_1("/job", "1000000\n", "400000\n", "inactive_file 1\ntotal_inactive_file 20000\n");
    put_group("", "77\n", "1\n", ""); /* the memory controller is of one version only; both are read */
    assert_int_equal(free_memory(temporary_folder), 76);
    put_group("", "max\n", "1\n", "");
    assert_int_equal(free_memory(temporary_folder), 1000000 - 400000 + 20000);
}

/* In a container, the names of the groups are those of the host, but the container's own group is mounted as the root.
 */
static void in_a_container(void **state) {
    (void)state;
    put("proc/self/cgroup", "4:memory:/docker/89e3\n");
    put_group_1("", "1000000\n", "400000\n", "total_inactive_file 0\n");
    assert_int_equal(free_memory(temporary_folder), 600000);
}

static void address_space_is_what_is_left(void **state) {
    (void)state;
    const int64_t bytes = INT64_C(1) << 29;
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    if (before.rlim_cur != RLIM_INFINITY) skip();
    assert_true(free_address_space() == INT64_MAX);
    limit = before;
    limit.rlim_cur = (rlim_t)1 << 50;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    const int64_t free_before = free_address_space();
    void *taken = mmap(NULL, (size_t)bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int64_t free_after = free_address_space();
    setrlimit(RLIMIT_AS, &before);
    assert_true(taken != MAP_FAILED);
    munmap(taken, (size_t)bytes);
    assert_true(free_before < (int64_t)limit.rlim_cur);
    assert_int_equal(free_before - free_after, bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(without_groups, begin, temporary_remove),
                                       cmocka_unit_test_setup_teardown(by_a_group_above, begin, temporary_remove),
                                       cmocka_unit_test_setup_teardown(by_version_1, begin, temporary_remove),
                                       cmocka_unit_test_setup_teardown(in_a_container, begin, temporary_remove),
                                       cmocka_unit_test(address_space_is_what_is_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
