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
    OPTION_SIZE,          /* int64_t: bytes, with KB, MB, GB, KiB, MiB or GiB behind the number */
    OPTION_CHOICE,        /* const char *: one of the words of `value`, which are separated by | */
    OPTION_KEY,           /* a configuration key that has no section: listed here, read by config_load */
    OPTION_REQUIRED = 64, /* may be or'ed to a kind */
} OptionKind;

/* Words of argv; the list belongs to command_run. */
typedef struct Texts {
    int count;
    char **item;
} Texts;

typedef struct Option {
    const char *name; /* "seq-len" for --seq-len; "" for the words that belong to no option */
    OptionKind kind;
    const char *value;        /* what stands for the value in help: "FILE"; the words of a choice: "auto|cpu|cuda" */
    const char *default_text; /* as on the command line; NULL: none */
    double low, high;         /* of a number; both 0: any */
    const char *doc;
    size_t offset; /* in the struct of values */
} Option;

typedef struct Command {
    const char *name;    /* "eval", "data build" */
    const char *summary; /* one line */
    const char *text;    /* what --help says above the options, in lines of at most 120 characters */
    const Option *options;
    int option_count;
    size_t values_size;                 /* of the struct that `options` fill */
    bool takes_keys;                    /* what is no option of the command is configuration, for config_load ... */
    size_t keys;                        /* ... kept in the Texts at this place of the struct */
    const struct Command *const *parts; /* commands below this one, NULL-terminated; then only name and texts matter */
    /* --help ends with topic(file, NULL); --help=TOPIC is topic(file, TOPIC), which returns false where it knows
     * nothing of that name. NULL: there are no topics. */
    bool (*topic)(FILE *file, const char *topic);
    /* values: the struct, filled and checked; it is gone when this returns the exit code. */
    Status (*run)(void *values);
} Command;

/* Answers --help, reads the options and runs the command; argv[0] is its name. USAGE after one error that names the
 * option, what is wanted and the nearest option; under mpirun one rank speaks. */
Status command_run(const Command *command, int argc, char **argv);

/* What --help prints. */
void command_help(FILE *file, const Command *command);
/* "flame-c eval --checkpoint DIR --data FILE.h5 [OPTIONS]" */
void command_usage(FILE *file, const Command *command);
/* "--seq-len N" and "tokens per window (default 2048, at least 1)": one option as help and the man page show it. */
void option_label(const Option *option, char label[128]);
void option_meaning(const Option *option, char meaning[512]);

/* Shared rows of tables. */
#define DEVICES "auto|cpu|cuda"
#define SHARE_GPU_OPTION(offset)                                                                                       \
    {                                                                                                                  \
        "share-gpu", OPTION_CHOICE, "never|mpi|nccl", "never", 0, 0,                                                   \
            "whether ranks may share a GPU, and by what they then exchange data; slow, for tests", offset              \
    }
#define CONFIG_OPTIONS                                                                                                 \
    {"config", OPTION_KEY, "FILE", NULL, 0, 0, "the configuration, in YAML", 0}, {                                     \
        "device", OPTION_KEY, DEVICES, "auto", 0, 0, "where to compute", 0                                             \
    }

OptionKind option_kind(const Option *option);

#endif
