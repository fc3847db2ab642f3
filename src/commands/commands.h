/* The commands of the command line. Each is in the file of its name. */
#ifndef FLAME_COMMANDS_COMMANDS_H
#define FLAME_COMMANDS_COMMANDS_H

#include "commands/options.h"

extern const Command train_command, plan_command, data_command, eval_command, score_command, generate_command,
    verify_command, logits_command, replay_command, checkpoint_command, export_command, import_command, bench_command,
    suite_command, from_flame_command;

/* All commands in the order of --help, NULL-terminated. */
extern const Command *const all_commands[];

/* Prints the completion script of a shell, "bash" or "zsh". For any other shell returns false and prints nothing. */
bool print_completion(FILE *file, const char *shell);
/* Prints the manual page in roff. */
void print_manual(FILE *file);

#endif
