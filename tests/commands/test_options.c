/* The parser of options, with a command that has one of each kind, and the help of every command of the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <stdlib.h>

#include <cmocka.h>

#include "support/capture.h"
#include "commands/commands.h"

typedef struct Values {
    bool flag;
    const char *text, *choice, *word;
    Texts texts, keys;
    int64_t integer, size;
    double real;
} Values;

#define AT(field) offsetof(Values, field)

static const Option options[] = {
    {"", OPTION_TEXT, "WORD", NULL, 0, 0, "a word", AT(word)},
    {"config", OPTION_KEY, "FILE", NULL, 0, 0, "a key", 0},
    {"force", OPTION_FLAG, "", NULL, 0, 0, "a flag", AT(flag)},
    {"out", OPTION_TEXT | OPTION_REQUIRED, "FILE", NULL, 0, 0, "a text", AT(text)},
    {"files", OPTION_TEXTS, "FILE", NULL, 0, 0, "texts", AT(texts)},
    {"ranks", OPTION_INTEGER, "N", "3", 1, 1000000, "an integer", AT(integer)},
    {"share", OPTION_REAL, "X", "0.5", 0, 1, "a number", AT(real)},
    {"max-size", OPTION_SIZE, "SIZE", "5GB", 0, 0, "a size", AT(size)},
    {"dtype", OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "a choice", AT(choice)},
};

/* Prints all values that were parsed, as one line. */
static char seen[512];

static Status show(void *pointer) {
    const Values *v = pointer;
    snprintf(seen, sizeof seen, "%d %s %s %lld %g %lld %s |", v->flag, v->word ? v->word : "-", v->text,
             (long long)v->integer, v->real, (long long)v->size, v->choice);
    for (int i = 0; i < v->texts.count; i++) strcat(strcat(seen, " "), v->texts.item[i]);
    strcat(seen, " |");
    for (int i = 0; i < v->keys.count; i++) strcat(strcat(seen, " "), v->keys.item[i]);
    return OK;
}

static bool topic(FILE *file, const char *name) {
    if (!name || strcmp(name, "gla") == 0) fprintf(file, "about %s\n", name ? name : "all");
    return !name || strcmp(name, "gla") == 0;
}

static const Command strict = {.name = "show",
                               .summary = "shows",
                               .text = "Shows what it was told.\n",
                               .options = options,
                               .option_count = LENGTH(options),
                               .values_size = sizeof(Values),
                               .topic = topic,
                               .run = show};
static Command keyed;

/* Runs the command with the words of `line`. `message` gets what it printed on `stream`. */
static Status run(const Command *command, const char *line, int stream, char message[8192]) {
    char copy[512], *argv[64] = {"show"};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    seen[0] = 0;
    Capture capture = capture_begin(stream);
    const Status status = command_run(command, argc, argv);
    capture_end(&capture, message, 8192);
    return status;
}

static void expect_seen(const Command *command, const char *line, const char *wanted) {
    char message[8192];
    assert_int_equal(run(command, line, 2, message), OK);
    assert_string_equal(seen, wanted);
    assert_string_equal(message, "");
}

static void expect_refused(const Command *command, const char *line, const char *wanted) {
    char message[8192];
    assert_int_equal(run(command, line, 2, message), USAGE);
    assert_string_equal(seen, "");
    if (!strstr(message, wanted)) print_error("%s\nwanted: %s\ngot: %s\n", line, wanted, message);
    assert_non_null(strstr(message, wanted));
    assert_non_null(strstr(message, "; see flame-c show --help\n"));
    assert_ptr_equal(strrchr(message, '\n'), strchr(message, '\n'));
}

static void both_forms_mean_the_same(void **state) {
    (void)state;
    expect_seen(&strict, "--out=a", "0 - a 3 0.5 5000000000 float32 | |");
    expect_seen(&strict, "--out a", "0 - a 3 0.5 5000000000 float32 | |");
    expect_seen(&strict, "--out a --ranks 8 --share .25 --max-size 2KiB --dtype bfloat16 --files b c --force",
                "1 - a 8 0.25 2048 bfloat16 | b c |");
    expect_seen(&strict,
                "--out=a --ranks=8 --share=.25 --max-size=2KiB --dtype=bfloat16 --files=b --files=c --force=true",
                "1 - a 8 0.25 2048 bfloat16 | b c |");
    expect_seen(&strict, "--force word --out a", "1 word a 3 0.5 5000000000 float32 | |");
    expect_seen(&strict, "--force=false --out=a=b", "0 - a=b 3 0.5 5000000000 float32 | |");
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    expect_refused(&strict, "", "show: --out FILE is missing");
    expect_refused(&strict, "--out", "--out needs a value: --out FILE");
    expect_refused(&strict, "--out=", "--out needs a value");
    expect_refused(&strict, "--out --ranks 8", "--out needs a value");
    expect_refused(&strict, "--out a --out b", "--out is given twice");
    expect_refused(&strict, "--out a --rank 8", "unknown option --rank; did you mean --ranks?");
    expect_refused(&strict, "--out a --max_size=1", "unknown option --max_size; did you mean --max-size?");
    expect_refused(&strict, "--out a --zzzzzz", "unknown option --zzzzzz;");
    expect_refused(&strict, "--out a --training.steps=5", "unknown option --training.steps;");
    expect_refused(&strict, "--out a b c", "unexpected argument \"c\"");
    expect_refused(&strict, "--out a -x -y", "unexpected argument \"-y\"");
    expect_refused(&strict, "--out a --ranks 0", "--ranks must be an integer, 1 to 1000000, not \"0\"");
    expect_refused(&strict, "--out a --ranks 2x", "not \"2x\"");
    expect_refused(&strict, "--out a --ranks 99999999999999999999", "--ranks must be an integer");
    expect_refused(&strict, "--out a --share nan", "--share must be a number, 0 to 1, not \"nan\"");
    expect_refused(&strict, "--out a --max-size 5XB", "--max-size must be a size such as 5GB");
    expect_refused(&strict, "--out a --max-size 99999999999GB", "--max-size must be a size");
    expect_refused(&strict, "--out a --dtype int8", "--dtype must be one of float32|bfloat16, not \"int8\"");
    expect_refused(&strict, "--out a --force=1", "--force is true or false");
}

static void configuration_is_kept_for_its_reader(void **state) {
    (void)state;
    expect_seen(&keyed, "--config f --out a --training.steps 5 --training.varlen --ranks 2 --device=cpu",
                "0 - a 2 0.5 5000000000 float32 | | --config f --training.steps 5 --training.varlen --device=cpu");
    expect_seen(&keyed, "--out a --seq_len 5", "0 - a 3 0.5 5000000000 float32 | | --seq_len 5");
    expect_refused(&keyed, "--out a --rank 8", "unknown option --rank; did you mean --ranks?");
}

static void help_comes_from_the_table(void **state) {
    (void)state;
    char text[8192];
    assert_int_equal(run(&strict, "--help", 1, text), OK);
    assert_non_null(strstr(text, "flame-c show --out FILE [OPTIONS]\n\nShows what it was told.\n"));
    assert_non_null(strstr(text, "  --ranks N                           an integer (1 to 1000000, default 3)\n"));
    assert_non_null(strstr(text, "  --files FILE...                     texts\n"));
    assert_non_null(strstr(text, "about all\n"));
    assert_int_equal(run(&strict, "--out a -h", 1, text), OK);
    assert_int_equal(run(&strict, "--help=gla", 1, text), OK);
    assert_string_equal(text, "about gla\n");
    assert_int_equal(run(&strict, "--help=rnn", 2, text), USAGE);
    assert_non_null(strstr(text, "no help about \"rnn\""));
}

static void check_help(const Command *command) {
    static char text[1 << 16];
    Capture capture = capture_begin(1);
    command_help(stdout, command);
    capture_end(&capture, text, sizeof text);
    for (int i = 0; i < command->option_count; i++) {
        char label[128];
        option_label(&command->options[i], label);
        assert_non_null(strstr(text, label));
    }
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 140) fail_msg("%s --help: %s", command->name, line);
    for (int i = 0; command->parts && command->parts[i]; i++) check_help(command->parts[i]);
}

static void every_command_has_help_and_refuses_what_it_does_not_know(void **state) {
    (void)state;
    char message[8192];
    for (int i = 0; all_commands[i]; i++) {
        check_help(all_commands[i]);
        assert_int_equal(run(all_commands[i], "--zqzqzq=1", 2, message), USAGE);
    }
}

int main(void) {
    keyed = strict;
    keyed.takes_keys = true;
    keyed.keys = AT(keys);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_mean_the_same),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(configuration_is_kept_for_its_reader),
        cmocka_unit_test(help_comes_from_the_table),
        cmocka_unit_test(every_command_has_help_and_refuses_what_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
