/* state.json of a checkpoint with damage, mostly with a corrected CRC, as in a file that was written by hand. For any
 * input, the load refuses it, or gives weights and counts from which a run can continue. No file
 * outside of the checkpoint's folder is opened.
 *
 *   test_fuzz_state [MUTANTS [SEED]]    a longer run
 * With clang's -fsanitize=fuzzer and FLAME_LIBFUZZER defined it is a libFuzzer target. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/small_model.h"
#include "config/config.h"
#include "data/stream.h"
#include "data/tokens_writer.h"
#include "support/mutants.h"
#include "training/run_state.h"

enum { MOST = 1 << 14, STEP = 2, LENGTH_OF_SEQUENCE = 64 };

static Comm *comm;
static TrainConfig config;
static Stream *stream;
static char *folder, *step_folder;
static Unit units[SMALL_UNITS];
static long loaded = 0, accepted = 0;

/* A name may begin with two points, as "..yaml" does. */
static bool leads_up(const char *path) {
    const char *at = path;
    while ((at = strstr(at, "/..")) && at[3] && at[3] != '/') at += 3;
    return at;
}

static int inside(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)fd;
    (void)bytes;
    CHECK(operation != FILE_OPEN || !path ||
              (strncmp(path, mutants_folder, strlen(mutants_folder)) == 0 && !leads_up(path)),
          "%s is opened", path);
    return 0;
}

static void make_stream(void) {
    char *path = path_join(mutants_folder, "tokens.h5");
    TokensWriterOptions options = tokens_writer_bytes_options(path);
    TokensWriter *writer;
    CHECK(tokens_writer_open(&options, &writer) == OK, "no token file");
    for (uint32_t token = 0; token < 250; token++) CHECK(tokens_writer_add(writer, &token, 1) == OK, "no tokens");
    tokens_writer_end_document(writer);
    CHECK(tokens_writer_finish(writer) == OK, "no token file");
    StreamOptions data = stream_default_options();
    data.files = (const char *const[]){path};
    data.seq_len = LENGTH_OF_SEQUENCE;
    data.threads = 0;
    CHECK(stream_open(&data, &stream) == OK, "no stream");
    free(path);
}

static json_t *state_of_run(void) {
    const RunPlace run = {&config, &(Session){.comm = comm}, stream, folder, "a run"};
    Progress progress = {.step = STEP, .updates = 2, .samples = 40, .tokens = 2048, .updated_step = 2, .rewinds = 1};
    progress.passed_over[0] = (PassedOver){1, 8, 15};
    progress.spikes = (Spikes){2, {4, 1}, {2, 1}};
    return run_state_pack(&run, &progress);
}

static void begin(void) {
    mutants_begin();
    comm = comm_self_create();
    folder = path_join(mutants_folder, "steps");
    step_folder = checkpoint_path(folder, STEP);
    char *arguments[] = {"--data.files=none.h5"};
    CHECK(config_load(1, arguments, &config) == OK, "no configuration");
    make_stream();
    small_model_create(units, 0, 1);
    small_model_fill(units, STEP);
    const CheckpointOptions options = {.folder = folder, .run_name = "test-run"};
    const CheckpointTexts texts = {"{\"hidden_size\": 7}\n", "{}\n", "training: {steps: 7}\n"};
    json_t *state = state_of_run();
    Checkpointer *checkpointer;
    CHECK(checkpointer_create(comm, units, SMALL_UNITS, &options, &checkpointer) == OK, "no checkpointer");
    CHECK(checkpoint_save(checkpointer, STEP, state, &texts) == OK, "no checkpoint");
    checkpointer_destroy(checkpointer);
    json_decref(state);
}

static bool is_average(Average average) { return isfinite(average.mean) && average.variance >= 0; }

/* The counts must be consistent, so that a run that continues from them cannot overflow. */
static void check_progress(const Progress *p) {
    const int64_t most = 1000000000000000;
    CHECK(p->step == STEP && p->updates >= 0 && p->updates <= p->step, "%lld updates", (long long)p->updates);
    CHECK(p->samples > 0 && p->samples <= most && p->tokens > 0 && p->tokens <= most, "%lld samples",
          (long long)p->samples);
    CHECK(p->updated_step >= 0 && p->updated_step <= p->step, "updated in step %lld", (long long)p->updated_step);
    CHECK(p->spikes.steps >= 0 && is_average(p->spikes.loss) && is_average(p->spikes.norm), "averages");
    CHECK(p->rewinds >= 0 && p->rewinds <= REWINDS, "%lld rewinds", (long long)p->rewinds);
    CHECK(progress_passed_over(p) >= 0 && progress_passed_over(p) <= p->samples, "%lld samples passed over",
          (long long)progress_passed_over(p));
}

static void load(void) {
    json_t *state = NULL;
    Progress progress;
    files_set_hook(inside);
    const Status status = checkpoint_load(step_folder, comm, units, SMALL_UNITS, &state);
    CHECK(status == OK || status == BAD_INPUT, "status %d", status);
    if (status == OK) {
        const RunPlace run = {&config, &(Session){.comm = comm}, stream, folder, "a run"};
        loaded++;
        if (run_state_unpack(&run, state, STEP, &progress) == OK) {
            accepted++;
            check_progress(&progress);
        }
    }
    files_set_hook(NULL);
    json_decref(state);
}

static void repair_crc(char *text, size_t bytes) {
    static const char opening[] = "{\"crc32\": \"";
    const size_t at = sizeof opening - 1;
    char digits[9];
    if (bytes < at + 8 || memcmp(text, opening, at) != 0) return;
    memcpy(text + at, "00000000", 8);
    snprintf(digits, sizeof digits, "%08x", crc_update(0, text, (int64_t)bytes));
    memcpy(text + at, digits, 8);
}

#ifdef FLAME_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static int begun = 0;
    if (!begun++) begin();
    char *text = malloc(bytes + 1);
    memcpy(text, data, bytes);
    repair_crc(text, bytes);
    mutants_write("steps/step-00000002/state.json", text, bytes);
    load();
    free(text);
    return 0;
}
#else

static const char *const words[] = {"{",
                                    "}",
                                    "[",
                                    "]",
                                    ",",
                                    ":",
                                    "\"",
                                    "-1",
                                    "0",
                                    "1",
                                    "2",
                                    "3",
                                    "0.5",
                                    "-0.5",
                                    "1e300",
                                    "1e3",
                                    "4294967296",
                                    "9223372036854775807",
                                    "-9223372036854775808",
                                    "18446744073709551616",
                                    "null",
                                    "true",
                                    "\"zero\"",
                                    "\"saved\"",
                                    "\"step\":",
                                    "\"samples\": ",
                                    "\"tokens\": ",
                                    "\"updates\": ",
                                    "\"updated_step\": ",
                                    "\"skipped_in_row\": ",
                                    "\"passed_over\": [",
                                    "[1, 2, 3], ",
                                    "[1,0,9223372036854775807], ",
                                    "\"spikes\": ",
                                    "\"files\": {",
                                    "\"../../x\": \"00000000\", ",
                                    "\"/etc/passwd\": \"00000000\", ",
                                    "\"tensors\": {",
                                    "exp_avg.",
                                    "\\u0000",
                                    "\xff",
                                    "\n",
                                    "\"format_version\": 2, ",
                                    "00000000"};

/* Changes the value of a key. */
static void change_value(Mutant *m) {
    static const char *const values[] = {"-1",
                                         "0",
                                         "1",
                                         "2",
                                         "3",
                                         "0.5",
                                         "1e300",
                                         "1000000000000001",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "null",
                                         "[]",
                                         "{}",
                                         "\"\"",
                                         "[[1, 0, 9223372036854775807]]",
                                         "[[1, 30, 50], [1, 0, 20], [2, 5, 1]]",
                                         "[-1.0, -1.0]"};
    size_t first = mutant_draw(m, m->bytes + 1), end;
    while (first < m->bytes && m->data[first] != ':') first++;
    if (++first >= m->bytes) return;
    for (end = first; end < m->bytes && !strchr(",}\n", m->data[end]);) end++;
    const char *value = values[mutant_draw(m, sizeof values / sizeof values[0])];
    memmove(m->data + first, m->data + end, m->bytes - end);
    m->bytes -= end - first;
    mutant_insert(m, first, value, strlen(value));
}

/* Adds a file outside of the folder to the list of files with a CRC. */
static void plant_path(Mutant *m) {
    static const char *const paths[] = {"\"../../x\": \"00000000\", ", "\"/etc/passwd\": \"00000000\", "};
    static const char group[] = "\"files\": {";
    m->data[m->bytes] = 0;
    const char *place = strstr(m->data, group), *path = paths[mutant_draw(m, 2)];
    if (place) mutant_insert(m, (size_t)(place - m->data) + sizeof group - 1, path, strlen(path));
}

static void change(Mutant *m) {
    switch (mutant_draw(m, 16)) {
    case 0:
        plant_path(m);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        change_value(m);
        break;
    default:
        mutant_change(m, words, sizeof words / sizeof words[0]);
    }
}

int main(int argc, char **argv) {
    const long mutants = argc > 1 ? atol(argv[1]) : 4000;
    char room[MOST], *seed;
    int64_t bytes;
    Mutant m = {.data = room, .room = sizeof room - 1, .random = argc > 2 ? (uint64_t)atol(argv[2]) : 1};
    begin();
    char *path = path_join(step_folder, "state.json");
    CHECK(file_read_all(path, MOST / 2, &seed, &bytes) == 0, "reading %s", path);
    load();
    CHECK(accepted == 1, "the file without damage is refused");
    for (long i = 0; i < mutants; i++) {
        memcpy(room, seed, m.bytes = (size_t)bytes);
        for (size_t changes = mutant_draw(&m, 4); changes > 0; changes--) change(&m);
        if (mutant_draw(&m, 8)) repair_crc(room, m.bytes);
        mutants_write("steps/step-00000002/state.json", room, m.bytes);
        load();
    }
    folder_remove(mutants_folder);
    printf("%ld mutants, %ld loaded, %ld of them to go on from\n", mutants, loaded, accepted);
    return loaded > 1 && loaded < mutants && accepted < loaded ? 0 : 1;
}
#endif
