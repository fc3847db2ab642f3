/* flame-c --completion SHELL: a script that completes commands, their options, and the configuration's keys. */
#include <string.h>

#include "commands/commands.h"
#include "config/config.h"
#include "models/model_config.h"

static KeyType type_of(const Key *key) { return key->type & ~KEY_NULLABLE; }

/* Calls visit for every command without subcommands, and for every subcommand. */
static void each_command(FILE *file, void (*visit)(FILE *file, const Command *command)) {
    for (int i = 0; all_commands[i]; i++) {
        const Command *const *part = all_commands[i]->parts;
        if (!part) visit(file, all_commands[i]);
        for (; part && *part; part++) visit(file, *part);
    }
}

/* Prints a key as on the command line, without --: training.seed. */
static void print_key(FILE *file, const KeyTable *table, const Key *key) {
    fprintf(file, "%s%s%s", table->section, table->section[0] ? "." : "", key->name);
}

/* Prints a list separated by | or commas with spaces instead. */
static void print_words(FILE *file, const char *words) {
    for (const char *c = words; *c; c++)
        if (*c != ',') fputc(*c == '|' ? ' ' : *c, file);
}

static KeyTable mixer_keys(int index) {
    const Mixer *mixer = mixer_at(index);
    return (KeyTable){mixer ? mixer->keys : NULL, mixer ? mixer->key_count : 0, NULL, "model"};
}

/* Prints the keys of a table that none of the tables in `before` has. */
static void print_table(FILE *file, const KeyTable *table, const KeyTable *before, int tables) {
    for (int k = 0; k < table->count; k++) {
        const Key *key = &table->keys[k];
        if (type_of(key) == KEY_IGNORED || keys_find(before, tables, key->name)) continue;
        fputs(" --", file);
        print_key(file, table, key);
    }
}

static void print_keys(FILE *file) {
    const KeyHints *hints = config_hints();
    for (int t = 0; t < hints->table_count; t++) print_table(file, &hints->tables[t], NULL, 0);
    KeyTable model[64] = {model_config_keys()};
    fputs(" --model.config", file);
    print_table(file, &model[0], NULL, 0);
    for (int i = 0; mixer_at(i) && i + 1 < LENGTH(model); i++) {
        model[i + 1] = mixer_keys(i);
        print_table(file, &model[i + 1], model, i + 1);
    }
}

static void print_case(FILE *file, const Command *command) {
    const char *space = strchr(command->name, ' ');
    fprintf(file, "    \"%s%s\"*) command=\"%s\" ;;\n", command->name, space ? "" : " ", command->name);
}

static void print_options(FILE *file, const Command *command) {
    fprintf(file, "    \"%s\") options=\"--help", command->name);
    for (int i = 0; i < command->option_count; i++)
        if (command->options[i].name[0]) fprintf(file, " --%s", command->options[i].name);
    fprintf(file, "%s\" ;;\n", command->takes_keys ? " $keys" : "");
}

static void print_choices(FILE *file, const Command *command) {
    for (int i = 0; i < command->option_count; i++) {
        const Option *option = &command->options[i];
        if (option_kind(option) != OPTION_CHOICE) continue;
        fprintf(file, "    \"%s --%s\") values=\"", command->name, option->name);
        print_words(file, option->value);
        fputs("\" ;;\n", file);
    }
}

static void print_key_choices(FILE *file) {
    const KeyHints *hints = config_hints();
    for (int t = 0; t < hints->table_count; t++)
        for (int k = 0; k < hints->tables[t].count; k++) {
            const Key *key = &hints->tables[t].keys[k];
            if (!key->choices && type_of(key) != KEY_BOOLEAN) continue;
            fputs("    *\" --", file);
            print_key(file, &hints->tables[t], key);
            fputs("\") values=\"", file);
            print_words(file, key->choices ? key->choices : "true|false");
            fputs("\" ;;\n", file);
        }
    fputs("    *\" --model.model_type\") values=\"", file);
    print_words(file, mixer_names());
    fputs("\" ;;\n", file);
}

/* bash splits --name=value into three words: --name, = and value. */
static void print_bash(FILE *file) {
    fputs("_flame_c() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=train options= values=\n"
          "    if [ \"$word\" = = ]; then word=\n"
          "    elif [ \"$before\" = = ]; then before=${COMP_WORDS[COMP_CWORD-2]}\n"
          "    fi\n"
          "    local commands=\"",
          file);
    for (int i = 0; all_commands[i]; i++) fprintf(file, "%s%s", i ? " " : "", all_commands[i]->name);
    fputs("\" keys=\"", file);
    print_keys(file);
    fputs("\"\n    case \"${COMP_WORDS[1]-} ${COMP_WORDS[2]-}\" in\n", file);
    each_command(file, print_case);
    for (int i = 0; all_commands[i]; i++) {
        if (!all_commands[i]->parts) continue;
        fprintf(file, "    \"%s \"*) values=\"", all_commands[i]->name);
        for (int p = 0; all_commands[i]->parts[p]; p++)
            fprintf(file, "%s%s", p ? " " : "", strchr(all_commands[i]->parts[p]->name, ' ') + 1);
        fputs("\" ;;\n", file);
    }
    fputs("    esac\n    case $command in\n", file);
    each_command(file, print_options);
    fputs("    esac\n    case \"$command $before\" in\n", file);
    each_command(file, print_choices);
    print_key_choices(file);
    fputs("    esac\n"
          "    if [ -n \"$values\" ]; then options=$values\n"
          "    elif [ \"$COMP_CWORD\" = 1 ]; then options=\"$commands --help --version --completion --man $options\"\n"
          "    fi\n"
          "    case $word in\n"
          "    -*) ;;\n"
          "    *) if [ \"$COMP_CWORD\" = 1 ]; then options=$commands; elif [ -z \"$values\" ]; then options=; fi ;;\n"
          "    esac\n"
          "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "}\n",
          file);
}

bool print_completion(FILE *file, const char *shell) {
    const bool zsh = strcmp(shell, "zsh") == 0;
    if (!zsh && strcmp(shell, "bash") != 0) return false;
    if (zsh) fputs("#compdef flame-c\nautoload -U +X bashcompinit && bashcompinit\n", file);
    print_bash(file);
    fputs("complete -o default -F _flame_c flame-c\n", file);
    /* zsh reads this file at the first completion, which it must answer too */
    if (zsh) fputs("_bash_complete -o default -F _flame_c\n", file);
    return true;
}
