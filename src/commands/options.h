/* Commands and their options. One table per command drives parsing, --help, the completion of shells and the man page:
 *
 *   typedef struct Show { const char *out; int64_t count; } Show;
 *   static const Option options[] = {
 *       {"out", OPTION_TEXT | OPTION_REQUIRED, "FILE", NULL, 0, 0, "what to write", offsetof(Show, out)},
 *       {"count", OPTION_INTEGER, "N", "10", 1, 1e6, "how many", offsetof(Show, count)},
 *   };
 *   const Command show_command = {.name = "show", .options = options, .option_count = LENGTH(options),
 *                                 .values_size = sizeof(Show), .run = run, ...};
 *
 * Both `--count 8` and `--count=8` are understood. */
#ifndef FLAME_COMMANDS_OPTIONS_H
#define FLAME_COMMANDS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"
#include "config/keys.h"

typedef enum OptionKind {
    OPTION_FLAG,          /* bool: --force, or --force=false */
    OPTION_TEXT,          /* const char *, borrowed from argv; NULL if not given and without a default */
    OPTION_TEXTS,         /* Texts: one or more words, up to the next option; may be given again */
    OPTION_INTEGER,       /* int64_t */
    OPTION_REAL,          /* double */
    OPTION_SIZE,          /* int64_t: a number of bytes, or of KB, MB, GB, KiB, MiB, GiB: 5GB */
    OPTION_CHOICE,        /* const char *: one of the words in `value`, which are separated by | */
    OPTION_KEY,           /* a configuration key without a section, which help lists and config_load reads */
    OPTION_REQUIRED = 64, /* a flag, combined with a kind by | */
} OptionKind;

/* Words of argv. command_run owns the list. */
typedef struct Texts {
    int count;
    char **item;
} Texts;

typedef struct Option {
    const char *name; /* "seq-len" for --seq-len; "" for positional arguments */
    OptionKind kind;
    const char *value;        /* placeholder of the value in help, "FILE"; the words of a choice, "auto|cpu|cuda" */
    const char *default_text; /* as on the command line; NULL: none */
    double low, high;         /* range of a number; both 0: unlimited */
    const char *doc;
    size_t offset; /* of the field in the struct of values */
} Option;

typedef struct Command {
    const char *name;    /* "eval", "data build" */
    const char *summary; /* one line */
    const char *text;    /* printed by --help above the options; lines of at most 120 characters */
    const Option *options;
    int option_count;
    size_t values_size;                 /* size of the struct that the options fill */
    bool takes_keys;                    /* other --section.key arguments are passed to config_load */
    size_t keys;                        /* offset in the struct of the Texts that receives these */
    const struct Command *const *parts; /* subcommands, NULL-terminated; then only name, summary and text are used */
    /* Prints help on configuration keys: --help calls topic(file, NULL) at its end, --help=TOPIC only
     * topic(file, TOPIC), which returns false if there is no such topic. May be NULL. */
    bool (*topic)(FILE *file, const char *topic);
    /* Runs the command and returns its exit code. `values`: the struct, filled and checked; freed after the call. */
    Status (*run)(void *values);
} Command;

/* Reads the options in argv (argv[0] is the command's name) and runs the command, or prints its help. Returns the exit
 * code. USAGE after one error that names the option, the values that it takes, or the nearest known option. Under
 * mpirun only rank 0 prints. */
Status command_run(const Command *command, int argc, char **argv);

/* Prints the text of --help. */
void command_help(FILE *file, const Command *command);
/* Prints "flame-c eval --checkpoint DIR --data FILE.h5 [OPTIONS]". */
void command_usage(FILE *file, const Command *command);
/* "--seq-len N" and "tokens per window (default 2048, at least 1)": one option as help and the man page show it. */
void option_label(const Option *option, char label[128]);
void option_meaning(const Option *option, char meaning[512]);

/* Options that several commands have. */
#define DEVICES "auto|cpu|cuda"
#define SHARE_GPU_OPTION(offset)                                                                                       \
    {                                                                                                                  \
        "share-gpu", OPTION_CHOICE, "never|mpi|nccl", "never", 0, 0,                                                   \
            "let ranks share a GPU and exchange data through MPI or NCCL; slow, for tests", offset                     \
    }
#define CONFIG_OPTIONS                                                                                                 \
    {"config", OPTION_KEY, "FILE", NULL, 0, 0, "the configuration, in YAML or TOML", 0}, {                             \
        "device", OPTION_KEY, DEVICES, "auto", 0, 0, "where to compute", 0                                             \
    }

OptionKind option_kind(const Option *option);

#endif
