/* The commands of the command line, each in the file of its name. */
#ifndef FLAME_COMMANDS_COMMANDS_H
#define FLAME_COMMANDS_COMMANDS_H

#include "commands/options.h"

extern const Command train_command, plan_command, data_command, eval_command, verify_command, logits_command,
    export_command, import_command, bench_command, from_flame_command;

/* All of them in the order of the help, NULL-terminated. */
extern const Command *const all_commands[];

/* A script that completes commands, options and keys in "bash" or "zsh"; false, and nothing, for another shell. */
bool print_completion(FILE *file, const char *shell);
/* The manual page, in roff. */
void print_manual(FILE *file);

#endif
