/* The command line: flame-c [COMMAND] [OPTIONS]. Without a command name it trains. */
#include <stdio.h>
#include <string.h>

#include <hdf5.h>
#include <jansson.h>
#include <mpi.h>
#include <yaml.h>
#include <zlib.h>

#include "commands/commands.h"
#include "core/device.h"

typedef struct Command {
    const char *name;
    Status (*run)(int argc, char **argv); /* argv[0] is the command's name */
    const char *summary;
} Command;

static const Command commands[] = {
    {"train", command_train, "train a model: flame-c --config FILE [--section.key=value ...]"},
    {"plan", command_plan, "print parameters, memory and work of a configuration without training it"},
    {"data", command_data, "build, inspect and verify data sets"},
    {"eval", command_eval, "loss, perplexity and bits per byte of a checkpoint on a data set"},
    {"verify", command_verify, "does this build compute what the reference computed?"},
    {"logits", command_logits, "what the model of a checkpoint says to given tokens, for comparison"},
    {"export", command_export, "write a checkpoint as a Hugging Face folder of another element type or shard size"},
    {"import", command_import, "make a step-0 checkpoint from a Hugging Face folder"},
    {"bench", command_bench, "time every kernel and the step against the machine's matrix product rate"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void) {
    printf("flame-c trains hybrid linear-attention language models.\n\n"
           "  flame-c --config configs/quickstart.yaml            one rank\n"
           "  mpirun -np 8 flame-c --config configs/gla-340M.yaml eight ranks\n\nCommands:\n");
    for (int i = 0; i < COMMANDS; i++) printf("  %-8s %s\n", commands[i].name, commands[i].summary);
    printf("\n`flame-c COMMAND --help` explains a command; `flame-c train --help` lists every configuration key.\n"
           "`flame-c --version` prints the versions of this program and its libraries.\n");
}

static void print_version(void) {
    unsigned major, minor, release;
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    H5get_libversion(&major, &minor, &release);
    MPI_Get_library_version(mpi, &length);
    mpi[strcspn(mpi, ",\n")] = 0;
    printf("flame-c %s\n%s\n%s\nHDF5 %u.%u.%u\nzlib %s\nlibyaml %s\njansson %s\n", FLAME_VERSION,
           device_cpu_libraries(), mpi, major, minor, release, zlibVersion(), yaml_get_version_string(),
           jansson_version_str());
}

int main(int argc, char **argv) {
    const char *first = argc > 1 ? argv[1] : "--help";
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        print_help();
        return argc > 1 ? OK : USAGE;
    }
    if (strcmp(first, "--version") == 0) {
        print_version();
        return OK;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(first, commands[i].name) == 0) return (int)commands[i].run(argc - 1, argv + 1);
    if (first[0] == '-') return (int)command_train(argc, argv);
    fprintf(stderr, "flame-c: error: there is no command \"%s\"; flame-c --help lists them\n", first);
    return USAGE;
}
