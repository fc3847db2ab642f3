#include "commands/commands.h"

const Command *const all_commands[] = {&train_command,  &plan_command,       &data_command,       &eval_command,
                                       &score_command,  &generate_command,   &verify_command,     &logits_command,
                                       &replay_command, &checkpoint_command, &export_command,     &import_command,
                                       &bench_command,  &suite_command,      &from_flame_command, NULL};
