/* flame-c --man: the manual page, in roff with the man macros, from the texts and tables of --help. */
#include <stdlib.h>

#include "commands/commands.h"
#include "config/config.h"

/* Escapes text for roff: backslashes, a dot or quote at the start of a line, and hyphens, which roff would turn into
 * typographic ones. */
static void print_text(FILE *file, const char *text) {
    bool begins = true;
    for (const char *c = text; *c; c++) {
        if (begins && (*c == '.' || *c == '\'')) fputs("\\&", file);
        begins = *c == '\n';
        if (*c == '\\')
            fputs("\\e", file);
        else if (*c == '-')
            fputs("\\-", file);
        else if (*c == '\n' && c[1] == '\n')
            fputs("\n.PP", file);
        else
            fputc(*c, file);
    }
}

static void print_term(FILE *file, const char *term, const char *meaning) {
    fputs(".TP\n.B ", file);
    print_text(file, term);
    fputc('\n', file);
    print_text(file, meaning);
    fputc('\n', file);
}

static void print_command(FILE *file, const Command *command) {
    char label[128], meaning[512];
    fprintf(file, ".SS \"%s\"\n", command->name);
    print_text(file, command->text);
    for (int i = 0; i < command->option_count; i++) {
        option_label(&command->options[i], label);
        option_meaning(&command->options[i], meaning);
        print_term(file, label, meaning);
    }
    for (int i = 0; command->parts && command->parts[i]; i++) print_command(file, command->parts[i]);
}

static void print_usages(FILE *file, const Command *command) {
    if (!command->parts) {
        char *text = NULL;
        size_t bytes;
        FILE *memory = open_memstream(&text, &bytes);
        CHECK_MEMORY(memory, "no memory for the manual");
        command_usage(memory, command);
        fclose(memory);
        fputs(".br\n", file);
        print_text(file, text);
        fputc('\n', file);
        free(text);
    }
    for (int i = 0; command->parts && command->parts[i]; i++) print_usages(file, command->parts[i]);
}

static void print_keys(FILE *file, const KeyTable *table) {
    char name[160], meaning[640];
    for (int k = 0; k < table->count; k++) {
        const Key *key = &table->keys[k];
        if ((key->type & ~KEY_NULLABLE) == KEY_IGNORED) continue;
        snprintf(name, sizeof name, "--%s%s%s", table->section, table->section[0] ? "." : "", key->name);
        snprintf(meaning, sizeof meaning, "%s%s%s%s (default %s)", key->doc, key->choices ? " (" : "",
                 key->choices ? key->choices : "", key->choices ? ")" : "",
                 key->default_text[0] ? key->default_text : "none");
        print_term(file, name, meaning);
    }
}

void print_manual(FILE *file) {
    const KeyHints *hints = config_hints();
    fputs(".TH FLAME\\-C 1 \"\" \"flame\\-c " FLAME_VERSION "\" \"User Commands\"\n"
          ".SH NAME\nflame\\-c \\- trains hybrid linear\\-attention language models\n"
          ".SH SYNOPSIS\n.nh\n.B flame\\-c \\-\\-config FILE [\\-\\-section.key VALUE ...]\n",
          file);
    for (int i = 0; all_commands[i]; i++) print_usages(file, all_commands[i]);
    fputs(".br\nflame\\-c \\-\\-help | \\-\\-version | \\-\\-completion SHELL | \\-\\-man\n.SH COMMANDS\n", file);
    for (int i = 0; all_commands[i]; i++) print_command(file, all_commands[i]);
    fputs(".SH CONFIGURATION\nA key is set in a YAML file, under its section, or on the command line.\n", file);
    for (int t = 0; t < hints->table_count; t++) print_keys(file, &hints->tables[t]);
    print_term(file, "--model.KEY",
               "a key of the model's Hugging Face config.json; lists and mappings as in YAML: [1, 3]. flame-c train "
               "--help=MODEL lists the keys of a model");
    print_term(file, "--model.config", "path of a config.json; the keys beside it override it");
    fputs(".SH SIGNALS\nSIGUSR1: all ranks finish the same step, save it and exit 0. SIGUSR2: save and go on.\n"
          ".SH EXIT STATUS\n",
          file);
    static const char *const codes[][2] = {
        {"0", "done, or saved on request"},
        {"1", "a file, a value or data cannot be used"},
        {"2", "an error in the command line"},
        {"3", "reading or writing failed"},
        {"4", "too many steps were skipped (values that are not finite, or spikes), or the run "
              "went back to a checkpoint too many times; a gradient is not finite with training.skip_nan_inf: false; a "
              "step or a replica "
              "gives other results when it is checked; or a loss to report is not finite"},
        {"5", "a collective did not complete in time"},
        {"130", "interrupted by Ctrl-C: generate, export and import"}};
    for (int i = 0; i < LENGTH(codes); i++) print_term(file, codes[i][0], codes[i][1]);
}
