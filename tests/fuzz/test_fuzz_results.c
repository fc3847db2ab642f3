/* The results of an earlier sweep with damage: results.csv, and the answers beside it. For any input, the report is
 * written, or one error message is logged.
 *
 *   test_fuzz_results [MUTANTS [SEED]]    a longer run
 * With clang's -fsanitize=fuzzer and FLAME_LIBFUZZER defined it is a libFuzzer target: of results.csv. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"
#include "suites/invented.h"
#include "suites/report.h"
#include "support/mutants.h"

enum { MOST = 1 << 14 };

static long accepted = 0;

static void report(void) {
    char *table = path_join(mutants_folder, "table.md");
    file_remove(table);
    const Status status = report_write(mutants_folder);
    CHECK(status == OK || status == BAD_INPUT, "status %d", status);
    CHECK(path_exists(table) == (status == OK), "status %d and a table or none", status);
    accepted += status == OK;
    free(table);
}

static void begin(void) {
    mutants_begin();
    mutants_write("runs/a.right", "test 0110\nlength 2x 1111\n", 25);
    mutants_write("runs/b.right", "test 1110\n", 10);
}

#ifdef FLAME_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static int begun = 0;
    if (!begun++) begin();
    mutants_write("results.csv", data, bytes);
    report();
    return 0;
}
#else

static const char *const words[] = {",",
                                    "\n",
                                    "\"",
                                    "-1",
                                    "1e400",
                                    "inf",
                                    "-inf",
                                    "nan",
                                    "0",
                                    "mqar,",
                                    "mad,",
                                    "tropical",
                                    "flipflop",
                                    "test",
                                    "length 2x",
                                    "64x4",
                                    "gla",
                                    "\t",
                                    "a",
                                    "b",
                                    "",
                                    "1e-300",
                                    "99999999999999999999",
                                    "\xff",
                                    ",,,,,,,,"};

/* Two tasks, two models, two seeds, two points and two splits. */
static size_t make_results(char *room) {
    char *csv = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&csv, &bytes);
    CHECK(file, "out of memory");
    fputs(RESULT_COLUMNS, file);
    for (int seed = 0; seed < 2; seed++) {
        put_run(file, "mqar,mqar,,test", "gla", seed, "0.5,0.5,0.25,0.5,,,7,0.25", "0badcafe", "a");
        put_run(file, "mqar,mqar,,length 2x", "gla", seed, "0.25,0.5,0.25,0.75,,,7,0.25", "0badcafe", "a");
        put_run(file, "mqar,mqar,,test", "delta_net", seed, "1,1,1,0,,,1,0.25", "0badcafe", "b");
        put_result(file, "flipflop,flip_flop,,test,lstm", seed, "0.001,0.1", "1,1,1,0,,,1,0.5");
        put_result(file, "flipflop,flip_flop,,test,gla", seed, "0.001,0.1", "0.9,0.9,0.1,0.1,,,1,0.5");
        put_result(file, "tropical,floyd_warshall,,test,gla", seed, "0.001,0", ",,,,,3.5,,4");
        put_result(file, "tropical,floyd_warshall,x=1,test,gla", seed, "0.01,0", ",,,,,,,4");
    }
    fclose(file);
    CHECK(bytes <= MOST / 2, "%lld bytes of results", (long long)bytes);
    memcpy(room, csv, bytes);
    free(csv);
    return bytes;
}

/* Changes the value of a field to another one that the format allows. */
static void change_field(Mutant *m) {
    size_t first = mutant_draw(m, m->bytes), end = first;
    while (first > 0 && !strchr(",\n", m->data[first - 1])) first--;
    while (end < m->bytes && !strchr(",\n", m->data[end])) end++;
    const char *value = words[mutant_draw(m, sizeof words / sizeof words[0])];
    memmove(m->data + first, m->data + end, m->bytes - end);
    m->bytes -= end - first;
    mutant_insert(m, first, value, strlen(value));
}

static void change(Mutant *m) { mutant_change(m, words, sizeof words / sizeof words[0]); }

int main(int argc, char **argv) {
    const long mutants = argc > 1 ? atol(argv[1]) : 3000;
    char room[MOST];
    Mutant m = {.data = room, .room = sizeof room, .random = argc > 2 ? (uint64_t)atol(argv[2]) : 1};
    begin();
    for (long i = 0; i < mutants; i++) {
        m.bytes = make_results(room);
        if (mutant_draw(&m, 2))
            for (size_t changes = mutant_draw(&m, 4); changes > 0; changes--) change(&m);
        else
            for (size_t changes = mutant_draw(&m, 4); changes > 0; changes--) change_field(&m);
        mutants_write("results.csv", room, m.bytes);
        memcpy(room, "test 0110\nlength 2x 1111\n", m.bytes = 25);
        if (mutant_draw(&m, 4) == 0) change(&m);
        mutants_write("runs/a.right", room, m.bytes);
        report();
    }
    folder_remove(mutants_folder);
    printf("%ld mutants, %ld accepted\n", mutants, accepted);
    return accepted > 0 && accepted < mutants ? 0 : 1;
}
#endif
