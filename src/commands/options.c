#include "commands/options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"
#include "config/config.h"
#include "config/keys.h"
#include "parallel/agreement.h"

/* A command line that is being read. */
typedef struct Parse {
    const Command *command;
    char *values;
    bool *given;  /* [option_count] */
    char **words; /* room for the words of each OPTION_TEXTS: [options][arguments] */
    int arguments;
    Texts keys;        /* arguments for config_load */
    char message[512]; /* the error; "": none */
} Parse;

OptionKind option_kind(const Option *option) { return option->kind & ~OPTION_REQUIRED; }

static bool required(const Option *option) { return (option->kind & OPTION_REQUIRED) != 0; }

__attribute__((format(printf, 2, 3))) static bool refuse(Parse *parse, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parse->message, sizeof parse->message, format, arguments);
    va_end(arguments);
    return false;
}

/* Formats whole numbers without an exponent. */
static void format_bound(double value, char text[NUMBER_TEXT]) {
    if (fabs(value) < 1e15 && rint(value) == value)
        snprintf(text, NUMBER_TEXT, "%.0f", value);
    else
        number_format(value, text);
}

/* "1 to 9", "at least 1", or "" without a range. An upper bound of 1e15 or more means no bound. */
static void range_of(const Option *option, char text[96]) {
    char low[NUMBER_TEXT], high[NUMBER_TEXT];
    format_bound(option->low, low);
    format_bound(option->high, high);
    text[0] = 0;
    if (option->low == 0 && option->high == 0) return;
    if (option->high >= 1e15)
        snprintf(text, 96, "at least %s", low);
    else
        snprintf(text, 96, "%s to %s", low, high);
}

/* Describes the value that an option takes: "an integer, at least 1". */
static void wanted_value(const Option *option, char text[256]) {
    static const char *const kinds[] = {[OPTION_INTEGER] = "an integer",
                                        [OPTION_REAL] = "a number",
                                        [OPTION_SIZE] = "a size such as 5GB, 500MiB or 1000000"};
    char range[96];
    range_of(option, range);
    if (option_kind(option) == OPTION_CHOICE)
        snprintf(text, 256, "one of %s", option->value);
    else
        snprintf(text, 256, "%s%s%s", kinds[option_kind(option)], range[0] ? ", " : "", range);
}

static bool refuse_value(Parse *parse, const Option *option, const char *text) {
    char wanted[256];
    wanted_value(option, wanted);
    return refuse(parse, "--%s must be %s, not \"%.80s\"", option->name, wanted, text);
}

static bool in_range(const Option *option, double value) {
    return (option->low == 0 && option->high == 0) || (value >= option->low && value <= option->high);
}

/* The bytes of "5GB", "500MB", "2GiB" or "1000000"; 0 if the text is not a size. */
static int64_t parse_size(const char *text) {
    static const struct {
        const char *name;
        int64_t bytes;
    } suffixes[] = {{"", 1},          {"B", 1},         {"KB", 1000},    {"MB", 1000000}, {"GB", 1000000000},
                    {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    char *end;
    errno = 0;
    const int64_t number = strtoll(text, &end, 10);
    int64_t bytes;
    if (errno || end == text || number <= 0) return 0;
    for (int i = 0; i < LENGTH(suffixes); i++)
        if (strcmp(end, suffixes[i].name) == 0)
            return __builtin_mul_overflow(number, suffixes[i].bytes, &bytes) ? 0 : bytes;
    return 0;
}

static bool set_number(Parse *parse, const Option *option, const char *text) {
    void *place = parse->values + option->offset;
    int64_t integer = 0;
    double real = 0;
    bool right = false;
    if (option_kind(option) == OPTION_INTEGER) {
        right = number_is_integer(text) && number_to_integer(text, &integer);
        real = (double)integer;
    } else if (option_kind(option) == OPTION_SIZE) {
        integer = parse_size(text);
        right = integer > 0;
        real = (double)integer;
    } else {
        right = number_is_integer(text) || number_is_real(text);
        real = right ? number_to_real(text) : 0;
    }
    if (!right || !in_range(option, real)) return refuse_value(parse, option, text);
    if (option_kind(option) == OPTION_REAL)
        *(double *)place = real;
    else
        *(int64_t *)place = integer;
    return true;
}

static bool set_value(Parse *parse, const Option *option, const char *text) {
    void *place = parse->values + option->offset;
    switch (option_kind(option)) {
    case OPTION_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return refuse(parse, "--%s is true or false, not \"%.80s\"", option->name, text);
        *(bool *)place = strcmp(text, "true") == 0;
        return true;
    case OPTION_CHOICE:
        if (!keys_is_choice(option->value, text)) return refuse_value(parse, option, text);
        *(const char **)place = text;
        return true;
    case OPTION_TEXT:
        *(const char **)place = text;
        return true;
    case OPTION_TEXTS:
        ((Texts *)place)->item[((Texts *)place)->count++] = (char *)text;
        return true;
    default:
        return set_number(parse, option, text);
    }
}

/* The option called name[0 .. length), or NULL. */
static const Option *find(const Command *command, const char *name, size_t length) {
    for (int i = 0; i < command->option_count; i++) {
        const char *known = command->options[i].name;
        if (strlen(known) == length && strncmp(known, name, length) == 0) return &command->options[i];
    }
    return NULL;
}

/* The option whose name resembles `name`, by the same measure as for configuration keys; NULL if none does. */
static const char *nearest(const Command *command, const char *name) {
    Key keys[32];
    int count = 0;
    for (int i = 0; i < command->option_count && count < LENGTH(keys) - 1; i++)
        if (command->options[i].name[0]) keys[count++] = (Key){.name = command->options[i].name};
    keys[count++] = (Key){.name = "help"};
    return keys_nearest(&(KeyTable){.keys = keys, .count = count}, 1, name);
}

static bool refuse_unknown(Parse *parse, const char *name) {
    const char *near = nearest(parse->command, name);
    if (near) return refuse(parse, "unknown option --%.80s; did you mean --%s?", name, near);
    return refuse(parse, "unknown option --%.80s", name);
}

/* Whether an option that the command does not have is passed to config_load, which reports misspelt keys. A name
 * without a section that resembles an option of the command is a misspelt option and is refused here. */
static bool belongs_to_config(const Command *command, const char *name) {
    if (!command->takes_keys) return false;
    return strchr(name, '.') || config_knows(name) || !nearest(command, name);
}

static bool is_option(const char *word) { return strncmp(word, "--", 2) == 0; }

static void keep(Parse *parse, char *word) { parse->keys.item[parse->keys.count++] = word; }

/* Takes a positional argument. */
static bool take_word(Parse *parse, char *word) {
    const Option *option = find(parse->command, "", 0);
    if (option && !(option_kind(option) == OPTION_TEXT && parse->given[option - parse->command->options])) {
        parse->given[option - parse->command->options] = true;
        return set_value(parse, option, word);
    }
    if (parse->command->takes_keys) {
        keep(parse, word);
        return true;
    }
    return refuse(parse, "unexpected argument \"%.80s\"", word);
}

/* Takes argv[*i], an option of the command, with its value: the text after =, or the next word or words. */
static bool take_option(Parse *parse, const Option *option, const char *equals, int argc, char **argv, int *i) {
    const OptionKind kind = option_kind(option);
    bool *given = &parse->given[option - parse->command->options];
    if (*given && kind != OPTION_TEXTS) return refuse(parse, "--%s is given twice", option->name);
    *given = true;
    if (equals && equals[1]) return set_value(parse, option, equals + 1);
    if (kind == OPTION_FLAG && !equals) return set_value(parse, option, "true");
    int taken = 0;
    while (!equals && *i + 1 < argc && !is_option(argv[*i + 1]) && (taken == 0 || kind == OPTION_TEXTS)) {
        if (!set_value(parse, option, argv[++*i])) return false;
        taken++;
    }
    return taken > 0 || refuse(parse, "--%s needs a value: --%s %s", option->name, option->name, option->value);
}

static bool take_argument(Parse *parse, int argc, char **argv, int *i) {
    char *word = argv[*i];
    if (!is_option(word) || !word[2]) return take_word(parse, word);
    const char *equals = strchr(word, '=');
    char name[128];
    snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - word) - 2 : (int)sizeof name - 1, word + 2);
    const Option *option = name[0] ? find(parse->command, name, strlen(name)) : NULL;
    if (option && option_kind(option) != OPTION_KEY) return take_option(parse, option, equals, argc, argv, i);
    if (!option && !belongs_to_config(parse->command, name)) return refuse_unknown(parse, name);
    keep(parse, word);
    /* keeps its value too, which would otherwise be taken for a positional argument */
    if (!equals && *i + 1 < argc && !is_option(argv[*i + 1])) keep(parse, argv[++*i]);
    return true;
}

static void set_defaults(Parse *parse) {
    for (int i = 0; i < parse->command->option_count; i++) {
        const Option *option = &parse->command->options[i];
        if (option_kind(option) == OPTION_TEXTS)
            ((Texts *)(parse->values + option->offset))->item = parse->words + i * parse->arguments;
        if (option->default_text && option_kind(option) != OPTION_KEY)
            CHECK(set_value(parse, option, option->default_text), "default of --%s", option->name);
    }
}

static bool parse_all(Parse *parse, int argc, char **argv) {
    char label[128];
    set_defaults(parse);
    for (int i = 1; i < argc; i++)
        if (!take_argument(parse, argc, argv, &i)) return false;
    for (int i = 0; i < parse->command->option_count; i++) {
        const Option *option = &parse->command->options[i];
        option_label(option, label);
        if (required(option) && !parse->given[i]) return refuse(parse, "%s is missing", label);
    }
    return true;
}

/* Prints an error of the command line or help once: all ranks have the same command line, so rank 0 prints and the
 * others wait for it. */
static Status print_once(const Command *command, const char *message, const char *topic) {
    Comm *comm = NULL;
    char what[1024];
    snprintf(what, sizeof what, "%s (%s)", command->name, message ? message : "--help");
    const Status status = agreement_start(what, &comm);
    if (status != OK) return status;
    bool known = true;
    if (comm->rank == 0 && message) {
        log_error("%s: %s; see flame-c %s --help", command->name, message, command->name);
    } else if (comm->rank == 0 && topic) {
        known = command->topic && command->topic(stdout, topic);
        if (!known)
            log_error("%s: there is no help about \"%s\"; see flame-c %s --help", command->name, topic, command->name);
    } else if (comm->rank == 0) {
        command_help(stdout, command);
    }
    comm_destroy(comm);
    return message || !known ? USAGE : OK;
}

/* Whether --help is given. *topic is the text after --help=, NULL for plain --help. */
static bool wants_help(int argc, char **argv, const char **topic) {
    *topic = NULL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--help=", 7) == 0) *topic = argv[i] + 7;
        if (*topic || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    }
    return false;
}

static Status run_part(const Command *command, int argc, char **argv) {
    const size_t prefix = strlen(command->name) + 1;
    char known[256] = "", message[512];
    for (int i = 0; command->parts[i]; i++) {
        const char *name = command->parts[i]->name + prefix;
        if (argc > 1 && strcmp(argv[1], name) == 0) return command_run(command->parts[i], argc - 1, argv + 1);
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", name);
    }
    const char *topic;
    if (wants_help(argc, argv, &topic)) return print_once(command, NULL, topic);
    if (argc > 1)
        snprintf(message, sizeof message, "there is no \"%s %.80s\", only %s", command->name, argv[1], known);
    else
        snprintf(message, sizeof message, "name one of %s", known);
    return print_once(command, message, NULL);
}

Status command_run(const Command *command, int argc, char **argv) {
    const char *topic;
    if (command->parts) return run_part(command, argc, argv);
    if (wants_help(argc, argv, &topic)) return print_once(command, NULL, topic);
    Parse parse = {.command = command,
                   .values = calloc(1, command->values_size + 1),
                   .given = calloc((size_t)command->option_count + 1, sizeof *parse.given),
                   .keys.item = calloc((size_t)argc + 1, sizeof *parse.keys.item),
                   .arguments = argc,
                   .words = calloc((size_t)(argc * command->option_count) + 1, sizeof *parse.words)};
    CHECK_MEMORY(parse.values && parse.given && parse.keys.item && parse.words, "no memory for the command line");
    const bool right = parse_all(&parse, argc, argv);
    if (command->takes_keys) *(Texts *)(parse.values + command->keys) = parse.keys;
    const Status status = right ? command->run(parse.values) : print_once(command, parse.message, NULL);
    free(parse.values);
    free(parse.given);
    free(parse.keys.item);
    free(parse.words);
    return status;
}

void option_label(const Option *option, char label[128]) {
    const bool flag = option_kind(option) == OPTION_FLAG;
    snprintf(label, 128, "%s%s%s%s%s", option->name[0] ? "--" : "", option->name, option->name[0] && !flag ? " " : "",
             flag ? "" : option->value, option_kind(option) == OPTION_TEXTS ? "..." : "");
}

void option_meaning(const Option *option, char meaning[512]) {
    char range[96];
    range_of(option, range);
    const bool any = option->default_text || range[0];
    snprintf(meaning, 512, "%s%s%s%s%s%s%s", option->doc, any ? " (" : "", range,
             range[0] && option->default_text ? ", " : "", option->default_text ? "default " : "",
             option->default_text ? option->default_text : "", any ? ")" : "");
}

void command_usage(FILE *file, const Command *command) {
    char label[128];
    bool optional = false;
    fprintf(file, "flame-c %s", command->name);
    for (int i = 0; i < command->option_count; i++) {
        const Option *option = &command->options[i];
        option_label(option, label);
        if (required(option)) fprintf(file, " %s", label);
        optional = optional || !required(option);
    }
    if (command->parts) fputs(" COMMAND", file);
    if (optional) fputs(" [OPTIONS]", file);
    if (command->takes_keys) fputs(" [--section.key VALUE ...]", file);
}

void command_help(FILE *file, const Command *command) {
    char label[128], meaning[512];
    command_usage(file, command);
    fprintf(file, "\n\n%s", command->text);
    for (int i = 0; command->parts && command->parts[i]; i++) {
        fputs(i ? "  " : "\n  ", file);
        command_usage(file, command->parts[i]);
        fprintf(file, "\n      %s\n", command->parts[i]->summary);
    }
    if (!command->parts) fputs("\nOptions, as --name VALUE or --name=VALUE:\n", file);
    for (int i = 0; i < command->option_count; i++) {
        option_label(&command->options[i], label);
        option_meaning(&command->options[i], meaning);
        if (strlen(label) > 34)
            fprintf(file, "  %s\n  %-34s  %s\n", label, "", meaning);
        else
            fprintf(file, "  %-34s  %s\n", label, meaning);
    }
    fprintf(file, "  %-34s  %s\n", "--help", "print this");
    if (command->topic)
        command->topic(file, NULL);
    else if (command->takes_keys)
        fputs("\nEvery configuration key is an option too; flame-c train --help lists them.\n", file);
}
