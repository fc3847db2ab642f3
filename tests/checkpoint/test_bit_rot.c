/* Damage to the newest checkpoint, one bit or one missing tail at a time, in every file of it: the load notices, and
 * falls back to the step before; or it is harmless, and the load gives exactly what was saved. test_bit_rot [STRIDE]
 * flips every STRIDE-th bit (default 13; 1 flips all) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/small_model.h"
#include "support/temporary.h"

static const char *const texts_json = "{\"hidden_size\": 7}\n";
enum { TOKENS = 123456789 };

typedef struct Counts {
    int64_t found, harmless, wrong;
} Counts;

static void save_step(Comm *comm, const char *folder, int64_t step) {
    Unit units[SMALL_UNITS];
    small_model_create(units, 0, 1);
    small_model_fill(units, step);
    const CheckpointOptions options = {.folder = folder, .run_name = "test-run"};
    json_t *state = json_pack("{s:i}", "tokens", TOKENS);
    const CheckpointTexts texts = {texts_json, "{}\n", "model: {hidden_size: 7}\n"};
    Checkpointer *checkpointer;
    CHECK(checkpointer_create(comm, units, SMALL_UNITS, &options, &checkpointer) == OK, "no checkpointer");
    CHECK(checkpoint_save(checkpointer, step, state, &texts) == OK, "no checkpoint");
    checkpointer_destroy(checkpointer);
    json_decref(state);
    small_model_destroy(units);
}

/* The step that is loaded; 0 if the loaded values are not those that were saved. */
static int64_t load_step(Comm *comm, const char *folder) {
    Unit units[SMALL_UNITS];
    json_t *state = NULL;
    int64_t step = -1;
    small_model_create(units, 0, 1);
    const Status status = checkpoint_resume(folder, -1, comm, units, SMALL_UNITS, &step, &state);
    const bool same = status == OK && step > 0 && small_model_is(units, step, false) &&
                      json_integer_value(json_object_get(state, "tokens")) == TOKENS &&
                      json_integer_value(json_object_get(state, "step")) == step;
    json_decref(state);
    small_model_destroy(units);
    return same ? step : 0;
}

/* Writes `bytes` of damaged content in place of a file of step 2, loads, and puts everything back. */
static void try_content(Comm *comm, const char *folder, const char *path, const char *content, int64_t bytes,
                        Counts *counts) {
    char *step = checkpoint_path(folder, 2), *aside = temporary_path("steps/step-00000002.damaged");
    write_file(path, content, bytes);
    const int64_t found = load_step(comm, folder);
    counts->found += found == 1 && folder_exists(aside);
    counts->harmless += found == 2;
    counts->wrong += found != 2 && !(found == 1 && folder_exists(aside));
    if (folder_exists(aside)) CHECK(file_rename(aside, step) == 0, "%s cannot be renamed", aside);
    free(step);
    free(aside);
}

static Counts try_file(Comm *comm, const char *folder, const char *name, int64_t stride) {
    Counts counts = {0};
    char *step = checkpoint_path(folder, 2), *path = path_join(step, name), *content;
    int64_t bytes;
    CHECK(file_read_all(path, 1 << 20, &content, &bytes) == 0, "%s cannot be read", path);
    for (int64_t bit = 0; bit < 8 * bytes; bit += stride) {
        content[bit / 8] ^= (char)(1 << bit % 8);
        try_content(comm, folder, path, content, bytes, &counts);
        content[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (int64_t length = 0; length < bytes; length += stride)
        try_content(comm, folder, path, content, length, &counts);
    write_file(path, content, bytes);
    printf("%-24s %6lld bytes: %6lld found, %5lld harmless, %lld wrong\n", name, (long long)bytes,
           (long long)counts.found, (long long)counts.harmless, (long long)counts.wrong);
    free(content);
    free(path);
    free(step);
    return counts;
}

/* Files that loading does not need: damage to them causes only a warning. */
static bool is_unread(const char *name) {
    return strcmp(name, "config.yaml") == 0 || strcmp(name, "generation_config.json") == 0;
}

int main(int argc, char **argv) {
    const int64_t stride = argc > 1 ? atoll(argv[1]) : 13;
    if (stride < 1 || temporary_create(NULL) || !freopen("/dev/null", "w", stderr)) return 1;
    Comm *comm = comm_self_create();
    char *folder = temporary_path("steps"), **names;
    int64_t count, bad = 0;
    save_step(comm, folder, 1);
    save_step(comm, folder, 2);
    char *step = checkpoint_path(folder, 2);
    CHECK(folder_list(step, &names, &count) == 0, "%s cannot be read", step);
    for (int64_t i = 0; i < count; i++) {
        const Counts counts = try_file(comm, folder, names[i], stride);
        bad += counts.wrong + (is_unread(names[i]) ? counts.found : counts.harmless);
    }
    bad += load_step(comm, folder) != 2 || count < 6;
    folder_list_free(names, count);
    free(step);
    free(folder);
    comm_destroy(comm);
    temporary_remove(NULL);
    return bad > 0;
}
