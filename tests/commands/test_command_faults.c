/* A fault at the n-th operation on the disk of export, import and data build, for every n: their output is complete or
 * absent, a failed operation leaves nothing else behind, and the next try succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/wait.h>

#include "base/crc.h"
#include "support/temporary.h"
#include "commands/commands.h"
#include "support/faults.h"

static const char golden[] = "tests/golden/gla";

typedef struct Maker {
    const char *name;
    const Command *command;
    int arguments;
    const char *argument[9]; /* after the command's name; OUT stands for the path of the result */
    const char *made;        /* what the command makes, below OUT */
} Maker;

static const char OUT[] = "OUT";

static const Maker makers[] = {
    {"export", &export_command, 4, {"--checkpoint", golden, "--out", OUT}, ""},
    {"import", &import_command, 4, {"--from", golden, "--out", OUT}, "/checkpoint/step-00000000"},
    {"data", &data_command, 5, {"build", "--text", "tests/golden/gla/config.json", "--out", OUT}, ""},
};

static Status make(const Maker *maker, const char *out) {
    char *argv[12] = {(char *)maker->name};
    for (int i = 0; i < maker->arguments; i++)
        argv[i + 1] = (char *)(maker->argument[i] == OUT ? out : maker->argument[i]);
    return command_run(maker->command, maker->arguments + 1, argv);
}

static uint32_t crc_of_file(const char *path, uint32_t crc) {
    char *content;
    int64_t bytes;
    assert_int_equal(file_read_all(path, 1 << 26, &content, &bytes), 0);
    crc = crc_update(crc, content, bytes);
    free(content);
    return crc;
}

/* The CRC-32 of a file, or of the names and files of a folder. */
static uint32_t crc_of(const char *path) {
    char **names;
    int64_t count;
    uint32_t crc = 0;
    if (!folder_exists(path)) return crc_of_file(path, 0);
    assert_int_equal(folder_list(path, &names, &count), 0);
    for (int64_t i = 0; i < count; i++) {
        char *file = path_join(path, names[i]);
        crc = crc_of_file(file, crc_update(crc, names[i], (int64_t)strlen(names[i])));
        free(file);
    }
    folder_list_free(names, count);
    return crc;
}

static void clean(void) {
    char **names;
    int64_t count;
    assert_int_equal(folder_list(temporary_folder, &names, &count), 0);
    for (int64_t i = 0; i < count; i++) {
        char *path = temporary_path(names[i]);
        assert_int_equal(folder_exists(path) ? folder_remove(path) : file_remove(path), 0);
        free(path);
    }
    folder_list_free(names, count);
}

static int64_t entries(void) {
    char **names;
    int64_t count;
    assert_int_equal(folder_list(temporary_folder, &names, &count), 0);
    folder_list_free(names, count);
    return count;
}

/* Makes `out` in a child, as OpenMP's threads do not survive a fork. Returns its exit code; *reached: it had so many
 * operations. */
static int make_in_child(const Maker *maker, const char *out, FileHook hook, bool *reached) {
    int result, channel[2];
    char byte = 0;
    assert_int_equal(pipe(channel), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout)) _exit(1);
        atomic_store(&fault.operations, 0);
        files_set_hook(hook);
        const Status status = make(maker, out);
        if (atomic_load(&fault.operations) <= fault.at && write(channel[1], "n", 1) != 1) _exit(1);
        _exit((int)status);
    }
    close(channel[1]);
    *reached = read(channel[0], &byte, 1) == 0;
    close(channel[0]);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

/* Returns false if there were fewer operations than fault.at. */
static bool try_fault(const Maker *maker, uint32_t expected) {
    char *out = temporary_path("out"), made[400];
    bool reached;
    snprintf(made, sizeof made, "%s%s", out, maker->made);
    const int code = make_in_child(maker, out, fault_hook, &reached);
    const bool there = path_exists(made);
    if (there && crc_of(made) != expected) fail_msg("%s, operation %" PRId64 ": half of it", maker->name, fault.at);
    if (code == 0 && !there) fail_msg("%s, operation %" PRId64 ": nothing, and no error", maker->name, fault.at);
    /* A folder that was created for the output may stay. If removing fails as well, more may stay. */
    if (fault.kind == FAULT_ONCE && entries() > path_exists(out))
        fail_msg("%s, operation %" PRId64 ", exit code %d: something is left", maker->name, fault.at, code);
    if (!there) {
        bool again;
        assert_int_equal(make_in_child(maker, out, NULL, &again), OK);
        assert_int_equal(crc_of(made), expected);
    }
    clean();
    free(out);
    return reached;
}

static void try_every_operation(const Maker *maker, FaultKind kind, int error) {
    char *out = temporary_path("out"), made[400];
    snprintf(made, sizeof made, "%s%s", out, maker->made);
    bool reached;
    assert_int_equal(make_in_child(maker, out, NULL, &reached), OK);
    const uint32_t expected = crc_of(made);
    clean();
    fault.kind = kind;
    fault.error = error;
    for (fault.at = 0; try_fault(maker, expected);) fault.at++;
    assert_true(fault.at >= 4); /* else the hook is not called */
    free(out);
}

static void test_process_ends(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(makers); i++) try_every_operation(&makers[i], FAULT_EXIT, 0);
}

static void test_operation_fails_once(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(makers); i++) try_every_operation(&makers[i], FAULT_ONCE, ENOSPC);
}

static void test_operation_fails_from_now_on(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(makers); i++) try_every_operation(&makers[i], FAULT_FROM_NOW_ON, ENOSPC);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_process_ends), cmocka_unit_test(test_operation_fails_once),
                                       cmocka_unit_test(test_operation_fails_from_now_on)};
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
