/* Files and folders: what removing a folder deletes, and what it must not touch. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

static char folder[] = "/tmp/flame-files-XXXXXX";

static int setup(void **state) {
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return folder_remove(folder);
}

/* A folder with a file at two levels: what links point to. */
static void make_precious(void) {
    assert_int_equal(folder_create_all("precious/inner"), 0);
    if (!file_exists("precious/file")) assert_int_equal(file_write_all("precious/file", "1", 1), 0);
    if (!file_exists("precious/inner/file")) assert_int_equal(file_write_all("precious/inner/file", "2", 1), 0);
}

static void assert_precious(void) {
    assert_true(file_exists("precious/file"));
    assert_true(file_exists("precious/inner/file"));
}

static void removing_takes_everything_inside(void **state) {
    (void)state;
    assert_int_equal(folder_create_all("a/b/c"), 0);
    assert_int_equal(file_write_all("a/file", "1", 1), 0);
    assert_int_equal(file_write_all("a/b/c/.hidden", "1", 1), 0);
    assert_int_equal(folder_remove("a/"), 0);
    assert_false(path_exists("a"));
    assert_int_equal(folder_remove("a"), ENOENT);
}

static void removing_follows_no_link(void **state) {
    (void)state;
    char target[300];
    make_precious();
    assert_non_null(realpath("precious", target));
    static const char *const places[] = {"a", "b/link", "c/inner/link", "c/inner/deeper/link"};
    for (int i = 0; i < 4; i++) {
        char *parent = path_parent(places[i]);
        assert_int_equal(folder_create_all(parent), 0);
        assert_int_equal(symlink(target, places[i]), 0);
        free(parent);
    }
    assert_int_equal(symlink("../precious/file", "b/file"), 0);
    assert_int_equal(symlink("../precious/inner/", "b/relative"), 0);
    assert_int_equal(symlink("nothing", "b/dangling"), 0);
    assert_int_equal(symlink(".", "b/itself"), 0);
    assert_int_equal(symlink("..", "b/above"), 0);
    assert_int_equal(folder_remove("a/"), 0);
    assert_int_equal(folder_remove("b"), 0);
    assert_int_equal(folder_remove("c"), 0);
    assert_false(path_exists("a") || path_exists("b") || path_exists("c"));
    assert_precious();
}

static void an_empty_folder_replaces_what_has_its_name(void **state) {
    (void)state;
    make_precious();
    assert_int_equal(folder_create_all("x/y"), 0);
    assert_int_equal(symlink("../../precious", "x/y/new"), 0);
    assert_int_equal(folder_create_empty("x/y/new"), 0);
    assert_int_equal(file_write_all("x/y/new/file", "1", 1), 0);
    assert_int_equal(folder_create_empty("x/y/new"), 0);
    assert_false(path_exists("x/y/new/file"));
    assert_int_equal(folder_create_empty("not/yet/there"), ENOENT);
    assert_false(path_exists("not"));
    assert_precious();
}

static void a_folder_that_cannot_be_emptied_says_so(void **state) {
    (void)state;
    if (geteuid() == 0) skip(); /* root may remove anything */
    assert_int_equal(folder_create_all("locked/inner"), 0);
    assert_int_equal(file_write_all("locked/inner/file", "1", 1), 0);
    assert_int_equal(file_write_all("locked/other", "1", 1), 0);
    assert_int_equal(chmod("locked/inner", 0500), 0);
    assert_int_equal(folder_remove("locked"), EACCES);
    assert_false(path_exists("locked/other"));
    assert_int_equal(chmod("locked/inner", 0700), 0);
    assert_int_equal(folder_remove("locked"), 0);
}

static int write_nothing(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)path, (void)fd, (void)bytes;
    return operation == FILE_WRITE ? ENOSPC : 0;
}

/* Writing config.yaml of a run on a full disk, and where config.yaml is a link to a file of the user's. */
static void what_is_replaced_is_whole_or_untouched(void **state) {
    (void)state;
    char *text;
    int64_t bytes;
    assert_int_equal(file_write_all("own.yaml", "own", 3), 0);
    assert_int_equal(symlink("own.yaml", "config.yaml"), 0);
    files_set_hook(write_nothing);
    assert_int_equal(file_replace("config.yaml", "new", 3), ENOSPC);
    files_set_hook(NULL);
    assert_false(path_exists("config.yaml.flame-c.tmp"));
    assert_int_equal(file_write_all("config.yaml.flame-c.tmp", "left by a run that died", 23), 0);
    assert_int_equal(file_write_all("config.yaml.tmp", "somebody's", 10), 0);
    assert_int_equal(file_replace("config.yaml", "new", 3), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(file_read_all(i ? "config.yaml" : "own.yaml", 100, &text, &bytes), 0);
        assert_string_equal(text, i ? "new" : "own");
        free(text);
    }
    assert_false(path_exists("config.yaml.flame-c.tmp"));
    assert_true(path_exists("config.yaml.tmp"));
}

static void what_is_inside_need_not_exist(void **state) {
    (void)state;
    assert_int_equal(folder_create_all("outer/inner"), 0);
    static const char *const inside[] = {"outer",   "outer/",      "outer/inner",
                                         "outer/x", "outer/x/y/z", "outer/inner/../x/y"};
    static const char *const outside[] = {"outer2", "outer2/x", "x/y/z", "outer/../x/y", "..", "/x/y/z"};
    for (int i = 0; i < 6; i++) {
        assert_true(path_is_inside("outer", inside[i]));
        assert_false(path_is_inside("outer", outside[i]));
        assert_true(path_is_inside("/", inside[i]));
    }
    assert_false(path_is_inside("missing", "missing/x"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removing_takes_everything_inside),
        cmocka_unit_test(removing_follows_no_link),
        cmocka_unit_test(an_empty_folder_replaces_what_has_its_name),
        cmocka_unit_test(a_folder_that_cannot_be_emptied_says_so),
        cmocka_unit_test(what_is_replaced_is_whole_or_untouched),
        cmocka_unit_test(what_is_inside_need_not_exist),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
