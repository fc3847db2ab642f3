/* Checks docs/from-flame.md: every key of flame is either read, or refused with the message that the page states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <stdlib.h>

#include <cmocka.h>

#include "support/capture.h"
#include "config/config.h"
#include "models/model.h"

/* A row of the table: | `section.key` | here | note | */
typedef struct Row {
    char name[128], here[128], note[256];
} Row;

static bool read_row(char *line, Row *row) {
    if (sscanf(line, "| `%127[a-z0-9_.]` | %127[^|] | %255[^|\n]", row->name, row->here, row->note) < 2) return false;
    for (char *end = row->note + strlen(row->note); end > row->note && end[-1] == ' ';) *--end = 0;
    for (char *end = row->here + strlen(row->here); end > row->here && (end[-1] == ' ' || end[-1] == '`');) *--end = 0;
    if (row->here[0] == '`') memmove(row->here, row->here + 1, strlen(row->here));
    return true;
}

static bool is_known(const char *name) {
    const KeyHints *hints = config_hints();
    const char *dot = strchr(name, '.');
    for (int t = 0; t < hints->table_count; t++)
        if (strncmp(hints->tables[t].section, name, (size_t)(dot - name)) == 0 &&
            strlen(hints->tables[t].section) == (size_t)(dot - name) && keys_find(&hints->tables[t], 1, dot + 1))
            return true;
    return strcmp(name, "model.config") == 0;
}

static void check_row(const Row *row) {
    char option[160], message[4096], wanted[768];
    TrainConfig config;
    if (strcmp(row->here, "same") == 0) {
        if (!is_known(row->name)) fail_msg("%s is not a key", row->name);
        return;
    }
    snprintf(option, sizeof option, "--%s", row->name);
    char *argv[] = {"--model.model_type=gla", option};
    Model *model = NULL;
    Capture capture = capture_begin(2);
    Status status = config_load(2, argv, &config);
    if (status == OK) { /* the keys of the model are checked when it is built */
        status = model_create(config.model, &model);
        config_free(&config);
    }
    capture_end(&capture, message, sizeof message);
    model_destroy(model);
    if (status != USAGE) fail_msg("--%s: status %d, %s", row->name, status, message);
    if (strcmp(row->here, "none") == 0)
        snprintf(wanted, sizeof wanted, "%s is a key of flame that has no use here: %s (", row->name, row->note);
    else
        snprintf(wanted, sizeof wanted, "%s is called %s here%s%s (", row->name, row->here, row->note[0] ? "; " : "",
                 row->note);
    if (!strstr(message, wanted)) fail_msg("wanted: %s\ngot: %s", wanted, message);
    if (row->here[0] != '-' && strcmp(row->here, "none") != 0) assert_true(is_known(row->here));
}

/* The number of rows of the page that match a row of the program's table. */
static int rows_for(const RetiredKey *retired, const Row *rows, int count) {
    int found = 0;
    for (int i = 0; i < count; i++) found += keys_retired(config_hints(), rows[i].name) == retired;
    return found;
}

static void every_key_of_flame_is_answered(void **state) {
    (void)state;
    static Row rows[256];
    static char line[1024];
    int count = 0;
    FILE *page = fopen("docs/from-flame.md", "r");
    assert_non_null(page);
    while (fgets(line, sizeof line, page)) {
        rows[count].note[0] = 0;
        count += read_row(line, &rows[count]);
    }
    fclose(page);
    assert_int_equal(count, 115); /* flame's parser, its TOML, and what its README still names */
    for (int i = 0; i < count; i++) check_row(&rows[i]);
    const KeyHints *hints = config_hints();
    for (int r = 0; r < hints->retired_count; r++)
        if (rows_for(&hints->retired[r], rows, count) == 0)
            fail_msg("docs/from-flame.md lacks %s", hints->retired[r].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_key_of_flame_is_answered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
