/* One function per command of the command line. argv[0] is the command's name; the return value is the exit code. */
#ifndef FLAME_COMMANDS_COMMANDS_H
#define FLAME_COMMANDS_COMMANDS_H

#include "base/check.h"

Status command_train(int argc, char **argv);
Status command_plan(int argc, char **argv);
Status command_data(int argc, char **argv);
Status command_eval(int argc, char **argv);
Status command_verify(int argc, char **argv);
Status command_logits(int argc, char **argv);
Status command_export(int argc, char **argv);
Status command_import(int argc, char **argv);
Status command_bench(int argc, char **argv);

#endif
