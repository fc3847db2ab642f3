/* The command line: flame-c [COMMAND] [OPTIONS]. Without a command name it trains. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <hdf5.h>
#include <jansson.h>
#include <mpi.h>
#include <yaml.h>
#include <zlib.h>

#include "base/files.h"
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

/* Training has no command name or that of the command. */
static bool trains(const char *first) { return first && (first[0] == '-' || strcmp(first, train_command.name) == 0); }

int main(int argc, char **argv) {
    files_reserve_standard();
    if (trains(argv[1])) signals_block();
    waiting_limit(argv);
    const char *first = argc > 1 ? argv[1] : "--help";
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        print_help();
        return argc > 1 ? OK : USAGE;
    }
    if (strcmp(first, "--version") == 0) {
        print_version();
        return OK;
    }
    if (strcmp(first, "--man") == 0) {
        print_manual(stdout);
        return OK;
    }
    if (strcmp(first, "--completion") == 0 || strncmp(first, "--completion=", 13) == 0) {
        const char *shell = first[12] ? first + 13 : argc > 2 ? argv[2] : "";
        if (print_completion(stdout, shell)) return OK;
        fprintf(stderr, "flame-c: error: --completion wants bash or zsh, not \"%s\"\n", shell);
        return USAGE;
    }
    for (int i = 0; all_commands[i]; i++)
        if (strcmp(first, all_commands[i]->name) == 0) return (int)command_run(all_commands[i], argc - 1, argv + 1);
    if (first[0] == '-') return (int)command_run(&train_command, argc, argv);
    fprintf(stderr, "flame-c: error: there is no command \"%s\"; flame-c --help lists them\n", first);
    return USAGE;
}
