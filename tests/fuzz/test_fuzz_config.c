/* The YAML, TOML and JSON entrances with damaged text: for any input, the result is a tree or one error
 * message, and an accepted tree is the same after it is written and read again.
 *
 *   test_fuzz_config [MUTANTS [SEED]]    a longer run
 * With clang's -fsanitize=fuzzer and FLAME_LIBFUZZER defined it is a libFuzzer target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "base/log.h"

static const char *const seeds[] = {
    "job: {dump_folder: out, time_limit: 60}\ndevice: cpu\noptimizer:\n  lr: 3e-4\n  eps: 1e-15\n"
    "training:\n  steps: 100\n  seq_len: 64\n  varlen: true\n  mixed_precision_param: bfloat16\n"
    "data:\n  files: [a.h5, b.h5]\n  probabilities: [0.5, .5]\nmodel:\n  model_type: gla\n  hidden_size: 64\n"
    "  attn: {layers: [1, 3], num_heads: 4, window_size: null}\n",
    "model: {a: \"x\\u00e9\\x41\\n\", 'b c': 'it''s', c: |\n  block\n  text\n}\n",
    "model:\n  a: |\n    block\n  b: >-\n    folded\n  c: [1, -2.5e-3, .inf, -.inf, .nan, ~, true, 0x1, 010]\n  ? d\n  "
    ": e\n",
    "%YAML 1.1\n---\n&a x: *a\n<<: !!str y\n...\n---\nz: \xef\xbb\xbf\n",
    "{\"model_type\": \"mamba2\", \"dt_limit\": [0.0, Infinity], \"x\": -Infinity, \"n\": NaN,\n"
    " \"f\": {\"__float__\": \"-Infinity\"}, \"s\": \"\\u00e9\\ud83d\\ude00\\\\\", \"e\": 1e-5, \"l\": [[], {}, null, "
    "true]}\n",
    "a.b = 1\n[training] # c\nsteps = +20_480\nvarlen = true\n[job]\ndump_folder = \"a\\t\\\"\"\n[data]\nfiles = [ "
    "'a',\n # c\n"
    "  'b', [1.5, -2e-3]]\n",
    "{\"attn\": {\"layers\": [1, 2], \"num_heads\": 4}, \"attn\": 3}",
};
static const char *const words[] = {"[",
                                    "]",
                                    "{",
                                    "}",
                                    ": ",
                                    "- ",
                                    "\"",
                                    "'",
                                    "\n",
                                    "\t",
                                    "&a ",
                                    "*a",
                                    "!!x ",
                                    "<<: ",
                                    "---\n",
                                    "|\n",
                                    "#",
                                    "\\",
                                    "\\x",
                                    "\xff",
                                    "\xef\xbb\xbf",
                                    "\xe2\x80\xa8",
                                    "1e400",
                                    "99999999999999999999",
                                    "Infinity",
                                    "NaN",
                                    "{\"__float__\":",
                                    "null",
                                    "[[[[[[[[[["};

enum { ROOM = 8192 };

static bool equal(const ConfigValue *a, const ConfigValue *b) {
    if (a->type != b->type || a->count != b->count) return false;
    if (a->type == VALUE_STRING && strcmp(a->text, b->text) != 0) return false;
    if (a->type == VALUE_INTEGER && a->integer != b->integer) return false;
    if (a->type == VALUE_REAL && a->real != b->real && !(isnan(a->real) && isnan(b->real))) return false;
    for (int i = 0; i < a->count; i++) {
        if (a->type == VALUE_MAPPING && strcmp(a->item[i]->key, b->item[i]->key) != 0) return false;
        if (!equal(a->item[i], b->item[i])) return false;
    }
    return true;
}

static void check_written(const ConfigValue *value) {
    char *text = NULL;
    size_t bytes = 0;
    ConfigValue *again = NULL;
    FILE *file = open_memstream(&text, &bytes);
    config_value_write(file, value, 0);
    fclose(file);
    const Status status = config_value_read_yaml("written", text, bytes, &again);
    if (status != OK || !equal(value, again)) {
        fprintf(stdout, "does not read back:\n%s\n", text);
        abort();
    }
    config_value_free(again);
    free(text);
}

static void take(const char *text, size_t bytes) {
    ConfigValue *value = NULL;
    TrainConfig config;
    if (config_value_read_yaml("fuzz.yaml", text, bytes, &value) == OK) {
        check_written(value);
        /* a file named by untrusted input must not be opened */
        const ConfigValue *model = config_value_get(value, "model");
        if (!config_value_get(model, "config") && config_from_value(value, &config) == OK) {
            (void)config_validate(&config, 2);
            config_free(&config);
        }
        config_value_free(value);
    }
    value = NULL;
    if (config_value_read_toml("fuzz.toml", text, bytes, &value) == OK) {
        check_written(value);
        config_value_free(value);
    }
    value = NULL;
    if (config_value_read_json("fuzz.json", text, bytes, &value) == OK) {
        check_written(value);
        config_value_free(value);
    }
}

#ifdef FLAME_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    log_set_rank(1, 2); /* rank 1 does not log errors that all ranks have */
    take((const char *)data, size);
    return 0;
}
#else
static uint64_t random_state = 1;

static uint64_t random_below(uint64_t n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

static void insert(char *text, size_t *bytes, size_t at, const char *piece, size_t length) {
    if (*bytes + length > ROOM) return;
    memmove(text + at + length, text + at, *bytes - at);
    memcpy(text + at, piece, length);
    *bytes += length;
}

static void mutate(char *text, size_t *bytes) {
    const size_t at = random_below(*bytes + 1), length = random_below(*bytes - at + 1) % 40;
    char copy[64];
    switch (random_below(6)) {
    case 0:
        if (at < *bytes) text[at] ^= (char)(1 << random_below(8));
        break;
    case 1:
        if (at < *bytes) text[at] = (char)random_below(256);
        break;
    case 2: /* take a piece out */
        memmove(text + at, text + at + length, *bytes - at - length);
        *bytes -= length;
        break;
    case 3: /* double a piece, elsewhere */
        memcpy(copy, text + at, length);
        insert(text, bytes, random_below(*bytes + 1), copy, length);
        break;
    case 4:
        *bytes = at;
        break;
    default: {
        const char *word = words[random_below(sizeof words / sizeof words[0])];
        insert(text, bytes, at, word, strlen(word));
    }
    }
}

static long mutants = 4000;

static void test_mutants(void **state) {
    (void)state;
    const int count = sizeof seeds / sizeof seeds[0];
    log_set_rank(1, 2); /* rank 1 does not log errors that all ranks have */
    char text[ROOM];
    for (long i = 0; i < mutants; i++) {
        const char *seed = seeds[random_below((uint64_t)count)];
        size_t bytes = strlen(seed);
        memcpy(text, seed, bytes);
        for (uint64_t n = 1 + random_below(6); n > 0; n--) mutate(text, &bytes);
        /* in memory of exactly this size, so that a read past the end is detected */
        char *exact = malloc(bytes ? bytes : 1);
        memcpy(exact, text, bytes);
        take(exact, bytes);
        free(exact);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) mutants = strtol(argv[1], NULL, 10);
    if (argc > 2) random_state = strtoull(argv[2], NULL, 10) | 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
