#include "training/run_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/checkpoint_steps.h"
#include "training/changes.h"
#include "training/setup.h"

static const int64_t MANY = 1000000000000000; /* more than any count of a run */

static json_t *pack_spikes(const Spikes *s) {
    json_t *object = json_pack("{s:I,s:[f,f],s:[f,f]}", "steps", (json_int_t)s->steps, "loss", s->loss.mean,
                               s->loss.variance, "norm", s->norm.mean, s->norm.variance);
    CHECK_MEMORY(object, "out of memory");
    return object;
}

/* All zero if the checkpoint is of a version that did not save them, or holds impossible values. */
static Spikes unpack_spikes(const json_t *state) {
    json_int_t steps = 0;
    Spikes s = {0};
    if (json_unpack(json_object_get(state, "spikes"), "{s:I,s:[F,F],s:[F,F]}", "steps", &steps, "loss", &s.loss.mean,
                    &s.loss.variance, "norm", &s.norm.mean, &s.norm.variance) ||
        steps < 0 || s.loss.variance < 0 || s.norm.variance < 0)
        return (Spikes){0};
    s.steps = steps;
    return s;
}

static json_t *pack_passed_over(const Progress *p) {
    json_t *list = json_array();
    CHECK_MEMORY(list, "out of memory");
    for (int64_t i = 0; i < p->rewinds; i++) {
        const PassedOver *one = &p->passed_over[i];
        json_array_append_new(
            list, json_pack("[I,I,I]", (json_int_t)one->step, (json_int_t)one->first, (json_int_t)one->last));
    }
    return list;
}

/* Reads the list of samples that were passed over. Its ranges are in ascending order; impossible entries are left
 * out. */
static void unpack_passed_over(const json_t *state, Progress *p) {
    int64_t next = 0;
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(state, "passed_over"), i, entry) {
        json_int_t step, first, last;
        if (json_unpack(entry, "[I,I,I]", &step, &first, &last) || first < next || last < first || last >= p->samples ||
            p->rewinds == REWINDS)
            continue;
        next = last + 1;
        p->passed_over[p->rewinds++] = (PassedOver){step, first, last};
    }
}

int64_t progress_passed_over(const Progress *p) {
    int64_t samples = 0;
    for (int64_t i = 0; i < p->rewinds; i++) samples += p->passed_over[i].last + 1 - p->passed_over[i].first;
    return samples;
}

/* The fingerprint of the teacher's weights as text; "" without a teacher. */
static void teacher_text(const Session *session, char text[32]) {
    text[0] = 0;
    if (session->teacher) snprintf(text, 32, "%016" PRIx64, session->teacher_fingerprint);
}

static int64_t sequences_per_step(const RunPlace *run) {
    return step_shape(run->config, run->session->comm->size).samples;
}

json_t *run_state_pack(const RunPlace *run, const Progress *p) {
    char teacher[32];
    teacher_text(run->session, teacher);
    char fingerprint[32];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, stream_facts(run->stream)->fingerprint);
    json_t *state = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "updates", (json_int_t)p->updates, "samples",
                              (json_int_t)p->samples, "tokens", (json_int_t)p->tokens, "updated_step",
                              (json_int_t)p->updated_step, "sequences_per_step", (json_int_t)sequences_per_step(run),
                              "seed", (json_int_t)run->config->training.seed, "data_fingerprint", fingerprint);
    CHECK_MEMORY(state, "out of memory");
    json_object_set_new(state, "spikes", pack_spikes(&p->spikes));
    if (p->rewinds > 0) json_object_set_new(state, "passed_over", pack_passed_over(p));
    if (run->name[0]) json_object_set_new(state, "run", json_string(run->name));
    if (teacher[0]) json_object_set_new(state, "teacher", json_string(teacher));
    return state;
}

/* The keys that select other samples than in this run, with the values with which `step` was saved, as text. */
static void data_differences(const RunPlace *run, int64_t step, char text[512]) {
    static const char *const names[] = {"data.files",
                                        "data.probabilities",
                                        "training.seed",
                                        "training.seq_len",
                                        "training.context_len",
                                        "training.varlen",
                                        "training.mask_document_boundaries"};
    char *path = checkpoint_path(run->folder, step);
    KeyDifferences all = {0};
    changes_find(path, run->config, step, &all);
    text[0] = 0;
    for (int64_t i = 0; i < all.count; i++)
        for (size_t n = 0; n < LENGTH(names); n++) {
            const size_t used = strlen(text);
            if (strcmp(all.item[i].name, names[n]) == 0)
                snprintf(text + used, 512 - used, "%s%s is %s there and %s here", used ? ", " : "", names[n],
                         all.item[i].old, all.item[i].now);
        }
    if (!text[0]) snprintf(text, 512, "data.files have other content (its config.yaml names no key that differs)");
    key_differences_free(&all);
    free(path);
}

/* A sample number selects the same tokens only with the same files, mixture, seed and lengths. */
static Status check_data(const RunPlace *run, const json_t *state, int64_t step) {
    const char *saved = json_string_value(json_object_get(state, "data_fingerprint"));
    char fingerprint[32];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, stream_facts(run->stream)->fingerprint);
    if (!saved || strcmp(saved, fingerprint) == 0) return OK;
    char differing[512];
    if (log_rank() == 0) {
        data_differences(run, step, differing);
        log_error("%s was trained on other data: %s. Restore that, or start in another job.dump_folder with "
                  "checkpoint.initial_load_path",
                  run->folder, differing);
    }
    return BAD_INPUT;
}

static int64_t integer_of(const json_t *state, const char *key) {
    return json_integer_value(json_object_get(state, key));
}

/* A count of a state, and its range. */
typedef struct Count {
    const char *name;
    int64_t value, low, high;
} Count;

/* Reads a count. It may be missing only in an import, which is step 0. */
static Count count_of(const json_t *state, int64_t step, const char *name, int64_t low, int64_t high) {
    const json_t *value = json_object_get(state, name);
    if (!value && step == 0) return (Count){name, 0, 0, 0};
    return (Count){name, json_is_integer(value) ? json_integer_value(value) : low - 1, low, high};
}

/* Checks the counts from which the run continues. */
static Status check_counts(const RunPlace *run, const json_t *state, int64_t step) {
    const Count counts[] = {count_of(state, step, "updates", 0, step),
                            count_of(state, step, "samples", step > 0, MANY),
                            count_of(state, step, "tokens", step > 0, MANY),
                            {"updated_step", checkpoint_state_updated_step(state), 0, step}};
    for (size_t i = 0; i < LENGTH(counts); i++) {
        if (counts[i].value >= counts[i].low && counts[i].value <= counts[i].high) continue;
        char *path = checkpoint_path(run->folder, step);
        if (log_rank() == 0)
            log_error("%s/state.json has no usable count %s, so a run cannot continue from it. To start from its "
                      "weights alone, name the folder in checkpoint.initial_load_path of a run in another "
                      "job.dump_folder",
                      path, counts[i].name);
        free(path);
        return BAD_INPUT;
    }
    return OK;
}

Status run_state_unpack(const RunPlace *run, const json_t *state, int64_t step, Progress *progress) {
    Status status = check_counts(run, state, step);
    if (status == OK) status = check_data(run, state, step);
    if (status != OK) return status;
    *progress = (Progress){.step = step,
                           .updates = integer_of(state, "updates"),
                           .samples = integer_of(state, "samples"),
                           .tokens = integer_of(state, "tokens"),
                           .updated_step = checkpoint_state_updated_step(state),
                           .spikes = unpack_spikes(state)};
    unpack_passed_over(state, progress);
    return OK;
}

static void compare_teacher(const RunPlace *run, const json_t *state, KeyDifferences *differences) {
    const char *saved = json_string_value(json_object_get(state, "teacher"));
    char teacher[32];
    teacher_text(run->session, teacher);
    if (saved && teacher[0] && strcmp(saved, teacher) != 0)
        key_differences_add(differences, "", "weights of training.teacher", saved, teacher);
}

static void compare_sequences(const RunPlace *run, const json_t *state, KeyDifferences *differences) {
    const int64_t saved = integer_of(state, "sequences_per_step"), sequences = sequences_per_step(run);
    char old[32], now[32];
    if (saved <= 0 || saved == sequences) return;
    snprintf(old, sizeof old, "%lld", (long long)saved);
    snprintf(now, sizeof now, "%lld", (long long)sequences);
    key_differences_add(differences, "", "sequences per step", old, now);
}

void run_state_compare(const RunPlace *run, const json_t *state, KeyDifferences *differences) {
    compare_sequences(run, state, differences);
    compare_teacher(run, state, differences);
}
