/* The command line: flame-c [COMMAND] [OPTIONS]. Without a command name it trains. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hdf5.h>
#include <jansson.h>
#include <mpi.h>
#include <yaml.h>
#include <zlib.h>

#include "base/files.h"
#include "base/launcher.h"
#include "base/signals.h"
#include "base/waiting.h"
#include "commands/commands.h"
#include "core/device.h"
#include "core/device_cuda.h"

static void print_help(void) {
    printf("flame-c trains hybrid linear-attention language models.\n\n"
           "  flame-c --config configs/quickstart.yaml            one rank\n"
           "  mpirun -np 8 flame-c --config configs/gla-340M.yaml eight ranks\n\nCommands:\n");
    for (int i = 0; all_commands[i]; i++) printf("  %-10s %s\n", all_commands[i]->name, all_commands[i]->summary);
    printf(
        "\n`flame-c COMMAND --help` explains a command; `flame-c train --help` lists every configuration key.\n"
        "`flame-c --version` prints the versions of this program and its libraries, `flame-c --man` the manual page,\n"
        "`flame-c --completion bash` (or zsh) a script that completes commands, options and keys in that shell.\n");
}

static void print_version(void) {
    unsigned major, minor, release;
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    H5get_libversion(&major, &minor, &release);
    MPI_Get_library_version(mpi, &length);
    mpi[strcspn(mpi, ",\n")] = 0;
    printf("flame-c %s\n%s\n%s\n%s\nHDF5 %u.%u.%u\nzlib %s\nlibyaml %s\njansson %s\n", FLAME_VERSION,
           device_cpu_libraries(), device_cuda_version(), mpi, major, minor, release, zlibVersion(),
           yaml_get_version_string(), jansson_version_str());
}

/* Whether the command line asks for training: its first word is an option or "train". */
static bool trains(const char *first) { return first && (first[0] == '-' || strcmp(first, train_command.name) == 0); }

/* Whether the first word is an option that prints information about the program instead of running a command. */
static bool is_question(const char *first) {
    static const char *const questions[] = {"--help", "-h", "--version", "--man", "--completion"};
    for (int i = 0; i < LENGTH(questions); i++)
        if (strcmp(first, questions[i]) == 0) return true;
    return strncmp(first, "--completion=", 13) == 0;
}

static Status complete(const char *shell) {
    if (print_completion(stdout, shell)) return OK;
    fprintf(stderr, "flame-c: error: --completion must be bash or zsh, not \"%.80s\"\n", shell);
    return USAGE;
}

/* Prints what --help, --version, --man or --completion ask for. Any other word is an unknown command: USAGE, logged. */
static Status answer(const char *first, const char *second) {
    if (!is_question(first)) {
        fprintf(stderr, "flame-c: error: there is no command \"%.80s\"; flame-c --help lists them\n", first);
        return USAGE;
    }
    if (strncmp(first, "--completion", 12) == 0) return complete(first[12] ? first + 13 : second ? second : "");
    if (strcmp(first, "--version") == 0)
        print_version();
    else if (strcmp(first, "--man") == 0)
        print_manual(stdout);
    else
        print_help();
    return OK;
}

/* Returns IO_ERROR (logged) in place of OK if a part of standard output could not be written. A pipe that its reader
 * has closed is no error. */
static Status check_output(Status status) {
    struct stat output;
    const int error = fflush(stdout) != 0 ? errno : 0;
    const bool lost = error || ferror(stdout);
    if (status != OK || !lost || (fstat(STDOUT_FILENO, &output) == 0 && S_ISFIFO(output.st_mode))) return status;
    fprintf(stderr, "flame-c: error: a part of standard output could not be written%s%s\n", error ? ": " : "",
            error ? strerror(error) : "");
    return IO_ERROR;
}

/* The output of training is not checked, because the folder of the run holds all of it, too. */
static Status run(const Command *command, int argc, char **argv) {
    const Status status = command_run(command, argc, argv);
    return command == &train_command ? status : check_output(status);
}

int main(int argc, char **argv) {
    files_reserve_standard();
    signals_ignore_size_limit();
    if (trains(argv[1])) signals_block();
    waiting_limit(argv);
    const char *first = argc > 1 ? argv[1] : "";
    for (int i = 0; all_commands[i]; i++)
        if (strcmp(first, all_commands[i]->name) == 0) return (int)run(all_commands[i], argc - 1, argv + 1);
    if (first[0] == '-' && !is_question(first)) return (int)run(&train_command, argc, argv);
    if (launcher_rank() > 0) return OK; /* one process answers for the whole job */
    if (argc > 1) return (int)check_output(answer(first, argv[2]));
    print_help();
    return USAGE;
}
