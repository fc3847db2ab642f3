/* flame-c suite: trains small models of the mixers on synthetic tasks and compares them, or times the mixers. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "commands/commands.h"
#include "commands/start.h"
#include "suites/settings.h"
#include "suites/speed.h"
#include "suites/sweep.h"
#include "suites/trial_setup.h"
#include "training/peak.h"
#include "training/session.h"

typedef struct SuiteArguments {
    Texts names, mixers, set;
    int64_t seeds, dump;
    const char *split, *preset, *out, *device;
    bool settings, quick, plan;
} SuiteArguments;

#define AT(field) offsetof(SuiteArguments, field)

static const Option options[] = {
    {"", OPTION_TEXTS | OPTION_REQUIRED, "NAME", NULL, 0, 0, "suites or tasks, or all; or speed", AT(names)},
    {"mixers", OPTION_TEXTS, "MIXER", NULL, 0, 0, "model types, separated by spaces or commas (default: all)",
     AT(mixers)},
    {"seeds", OPTION_INTEGER, "N", "1", 1, 1000, "trainings of each kind, with seeds 0 to N-1", AT(seeds)},
    {"preset", OPTION_TEXT, "NAME", NULL, 0, 0, "another published training, for the tasks that have it", AT(preset)},
    {"settings", OPTION_FLAG, NULL, NULL, 0, 0, "also all published settings of each task", AT(settings)},
    {"quick", OPTION_FLAG, NULL, NULL, 0, 0, "a shorter protocol, one point of the grid", AT(quick)},
    {"set", OPTION_TEXTS, "SECTION.KEY=VALUE", NULL, 0, 0,
     "change a key of task, training, mixer or model, or of speed; --help=keys lists them", AT(set)},
    {"out", OPTION_TEXT, "DIR", "suites", 0, 0, "where results go; an interrupted sweep there is continued", AT(out)},
    {"plan", OPTION_FLAG, NULL, NULL, 0, 0, "print what it would cost, and stop", AT(plan)},
    {"dump", OPTION_INTEGER, "N", NULL, 1, 1e9, "print the first N examples of one task as JSON lines, and stop",
     AT(dump)},
    {"split", OPTION_TEXT, "NAME", "train", 0, 0, "with --dump: train, test, or another split of the task", AT(split)},
    {"device", OPTION_CHOICE, DEVICES, "auto", 0, 0, "where to compute", AT(device)},
};

/* The words as one text, "a=1 b=2". The caller frees it. */
static char *joined(const Texts *words) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "out of memory");
    for (int i = 0; i < words->count; i++) fprintf(file, "%s%s", i ? " " : "", words->item[i]);
    fclose(file);
    return text;
}

/* Puts the mixers of "--mixers a,b c" (a, b and c) into *list. The caller frees *text and list->item. USAGE (logged) if
 * no mixer is named. */
static Status list_mixers(const Texts *words, char **text, Texts *list) {
    char *rest = NULL;
    *text = joined(words);
    *list = (Texts){.item = malloc((strlen(*text) + 1) * sizeof *list->item)};
    CHECK_MEMORY(list->item, "out of memory");
    for (char *one = strtok_r(*text, ", ", &rest); one; one = strtok_r(NULL, ", ", &rest))
        list->item[list->count++] = one;
    if (words->count == 0 || list->count > 0) return OK;
    log_error("--mixers names no mixer");
    return USAGE;
}

/* Finds the suite and task whose examples --dump prints. The user names a task, or a suite that has only one task. */
static Status only_task(const SuiteArguments *a, Trial *trial) {
    for (const Suite *const *s = all_suites; *s && a->names.count == 1; s++) {
        const char *name = a->names.item[0];
        const bool single = strcmp((*s)->name, name) == 0 && !(*s)->tasks[1];
        trial->suite = *s;
        trial->task = single ? (*s)->tasks[0] : suite_task(*s, name);
        if (trial->task) return OK;
    }
    log_error("--dump prints the examples of one task, not of a suite: flame-c suite in_context_recall --dump 10");
    return USAGE;
}

static json_t *numbers(const int32_t *value, int64_t count) {
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(list, json_integer(value[i]));
    return list;
}

static json_t *parameter(const ConfigValue *v) {
    if (v->type == VALUE_BOOL) return json_boolean(v->boolean);
    if (v->type == VALUE_INTEGER) return json_integer(v->integer);
    if (v->type == VALUE_STRING) return json_string(v->text);
    if (v->type == VALUE_REAL) return json_real(v->real);
    json_t *list = json_array();
    for (int i = 0; i < v->count; i++) json_array_append_new(list, parameter(v->item[i]));
    return list;
}

static json_t *parameters(const ConfigValue *keys) {
    json_t *object = json_object();
    for (int i = 0; i < keys->count; i++) json_object_set_new(object, keys->item[i]->key, parameter(keys->item[i]));
    return object;
}

static json_t *reals(const float *value, int64_t count) {
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(list, json_real((double)value[i]));
    return list;
}

static void print_example(const Task *task, const TaskSizes *sizes, const ConfigValue *keys, Example e) {
    json_t *line = json_object();
    json_object_set_new(line, "task", json_string(task->name));
    json_object_set_new(line, "inputs",
                        sizes->features ? reals(e.features, sizes->T * sizes->features) : numbers(e.inputs, sizes->T));
    json_object_set_new(line, "labels", numbers(e.labels, sizes->T));
    if (sizes->classes == 0) json_object_set_new(line, "values", reals(e.values, sizes->T));
    json_object_set_new(line, "params", parameters(keys));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

static void *zeroed(int64_t count, size_t size) {
    void *memory = calloc((size_t)count + 1, size);
    CHECK_MEMORY(memory, "out of memory");
    return memory;
}

static void print_examples(const SuiteArguments *a, const Task *task, void *config, int64_t data_seed) {
    const TaskSizes sizes = task->sizes(config);
    const Example example = {.inputs = zeroed(sizes.T, sizeof *example.inputs),
                             .features = zeroed(sizes.T * sizes.features, sizeof *example.features),
                             .labels = zeroed(sizes.T, sizeof *example.labels),
                             .values = zeroed(sizes.T, sizeof *example.values)};
    ConfigValue *root = config_value_new(VALUE_MAPPING, COMMAND_LINE, 0);
    task_config_complete(task, config, root);
    for (int64_t i = 0; i < a->dump; i++) {
        task_example(task, config, (uint64_t)data_seed, a->split, i, example);
        print_example(task, &sizes, settings_section(root, "task"), example);
    }
    config_value_free(root);
    free(example.inputs);
    free(example.features);
    free(example.labels);
    free(example.values);
}

static bool has_name(const Segment *segment, int count, const char *name, const Segment **found) {
    for (int i = 0; i < count; i++)
        if (strcmp(segment[i].name, name) == 0) *found = &segment[i];
    return *found != NULL;
}

/* Replaces the names of `count` training segments by those of their splits. */
static void name_training(Segment *segment, int count) {
    for (int i = 0; i < count; i++) {
        char name[64];
        task_training_split(&segment[i], name);
        snprintf(segment[i].name, sizeof segment[i].name, "%.47s", name);
    }
}

/* Finds the keys of the split that the user names. If the setting lists segments, only their names are splits. */
static Status find_split(const SuiteArguments *a, const Task *task, const void *config, char keys[112]) {
    Segment test[TRIAL_TESTS], part[SEGMENTS_MOST + 1] = {{.name = "train"}};
    const Segment *found = NULL;
    bool pooled;
    const int tests = trial_tests(task, config, test, &pooled);
    const int parts = task->segments ? task->segments(config, false, part) : 0;
    name_training(part, parts);
    if (has_name(part, parts > 0 ? parts : 1, a->split, &found) ||
        has_name(test + pooled, tests - pooled, a->split, &found)) {
        memcpy(keys, found->keys, sizeof found->keys);
        return OK;
    }
    log_error("--split: %s has no split \"%.40s\"; it has \"%s\"%s and \"%s\"%s", task->name, a->split, part[0].name,
              parts > 1 ? ", ..." : "", test[pooled].name, tests > 1 ? ", ..." : "");
    return USAGE;
}

static Status find_preset(const SuiteArguments *a, Trial *trial) {
    if (!a->preset) return OK;
    trial->preset = task_preset(trial->task, a->preset);
    if (trial->preset) return OK;
    log_error("--preset: %s has no preset \"%.40s\"; flame-c suite --help lists them", trial->task->name, a->preset);
    return USAGE;
}

static Status dump_trial(const SuiteArguments *a, const Trial *trial, int64_t data_seed) {
    void *training = NULL, *config = NULL;
    char keys[112] = "";
    Status status = trial_task(trial, NULL, &training);
    if (status == OK) status = find_split(a, trial->task, training, keys);
    if (status == OK) status = trial_task(trial, keys, &config);
    if (status == OK) print_examples(a, trial->task, config, data_seed);
    task_config_free(trial->task, training);
    task_config_free(trial->task, config);
    return status;
}

static Status dump(const SuiteArguments *a, const char *user) {
    Trial trial = {.mixer = "gla", .setting = "", .quick = a->quick, .user = user};
    Protocol protocol = {0};
    ConfigValue *root = NULL;
    Status status = only_task(a, &trial);
    if (status == OK) status = find_preset(a, &trial);
    if (status == OK) status = trial_settings(&trial, &root);
    if (status == OK) status = protocol_read(root, &protocol);
    if (status == OK) status = dump_trial(a, &trial, protocol.data_seed);
    protocol_free(&protocol);
    config_value_free(root);
    return status;
}

static Status run_sweep(const SuiteArguments *a, const Sweep *sweep, Comm *comm) {
    const Device *device = NULL;
    int64_t product = PEAK_PRODUCT;
    Status status = session_device(comm, a->device, &device);
    if (status != OK) return status;
    if (sweep->trials == 0) {
        log_error("none of the mixers can do any of the tasks");
        return BAD_INPUT;
    }
    if (a->plan) {
        sweep_print_plan(sweep, peak_product_rate(device, F32, &product));
        return OK;
    }
    sweep_print_notes(sweep);
    return sweep_run(sweep, a->out, comm, device);
}

static bool wants_speed(const SuiteArguments *a) {
    for (int i = 0; i < a->names.count; i++)
        if (strcmp(a->names.item[i], SPEED) == 0) return true;
    return false;
}

static Status check_speed(const SuiteArguments *a, const Comm *comm) {
    const bool trains = a->seeds > 1 || a->preset || a->settings || a->quick || a->plan || a->dump > 0;
    if (a->names.count == 1 && !trains && comm->size == 1) return OK;
    if (comm->rank == 0)
        log_error("suite " SPEED " stands alone, takes --mixers, --set, --out and --device, and runs on one rank");
    return USAGE;
}

static Status run_speed(const SuiteArguments *a, const Texts *mixers, const char *user, Comm *comm) {
    const SpeedOptions speed_options = {
        .mixers = (const char *const *)mixers->item, .mixer_count = mixers->count, .user = user, .folder = a->out};
    const Device *device = NULL;
    Status status = check_speed(a, comm);
    if (status == OK) status = session_device(comm, a->device, &device);
    return status == OK ? speed_run(&speed_options, device) : status;
}

static Status run_trials(const SuiteArguments *a, const Texts *mixers, const char *user, Comm *comm) {
    const SweepOptions sweep_options = {.names = (const char *const *)a->names.item,
                                        .name_count = a->names.count,
                                        .mixers = (const char *const *)mixers->item,
                                        .mixer_count = mixers->count,
                                        .seeds = a->seeds,
                                        .preset = a->preset,
                                        .settings = a->settings,
                                        .quick = a->quick,
                                        .user = user};
    Sweep sweep = {0};
    Status status = agree(comm, sweep_list(&sweep_options, &sweep));
    if (status == OK) status = run_sweep(a, &sweep, comm);
    sweep_free(&sweep);
    return status;
}

static Status run(void *values) {
    const SuiteArguments *a = values;
    Texts mixers;
    Comm *comm = NULL;
    Status status = command_start(&suite_command, a, &comm);
    if (status != OK) return status;
    char *user = joined(&a->set), *text = NULL;
    status = agree(comm, list_mixers(&a->mixers, &text, &mixers));
    if (status == OK && wants_speed(a))
        status = run_speed(a, &mixers, user, comm);
    else if (status == OK && a->dump > 0)
        status = agree(comm, comm->rank == 0 ? dump(a, user) : OK);
    else if (status == OK)
        status = run_trials(a, &mixers, user, comm);
    comm_destroy(comm);
    free(mixers.item);
    free(text);
    free(user);
    return status;
}

static void print_tasks(FILE *file) {
    fputs("\nsuites and their tasks:\n", file);
    for (const Suite *const *suite = all_suites; *suite; suite++) {
        fprintf(file, "  %-10s %s\n", (*suite)->name, (*suite)->meaning);
        for (const Task *const *task = (*suite)->tasks; *task; task++) {
            fprintf(file, "    %-26s %s\n", (*task)->name, (*task)->meaning);
            for (const Preset *preset = (*task)->presets; preset && preset->name; preset++)
                fprintf(file, "      --preset %-15s %s\n", preset->name, preset->meaning);
        }
    }
    fputs("  " SPEED "      the time of each mixer alone, forward and with backward, over the length\n", file);
}

/* --help=keys: prints the keys of every task, then those of training and mixer. */
static bool print_keys(FILE *file, const char *topic) {
    KeyTable tables[PROTOCOL_TABLES];
    if (!topic) {
        print_tasks(file);
        return true;
    }
    if (strcmp(topic, "keys") != 0) return false;
    for (const Suite *const *suite = all_suites; *suite; suite++)
        for (const Task *const *task = (*suite)->tasks; *task; task++) {
            fprintf(file, "%s:\n", (*task)->name);
            keys_help(file, &(KeyTable){(*task)->keys, (*task)->key_count, NULL, "task"});
        }
    protocol_tables(NULL, tables);
    for (int i = 0; i < PROTOCOL_TABLES; i++) {
        fprintf(file, "%s:\n", tables[i].section);
        keys_help(file, &tables[i]);
    }
    const KeyTable speed = speed_keys();
    fputs(SPEED ":\n", file);
    keys_help(file, &speed);
    fputs("model:\n  the keys of flame-c train --help=model\n", file);
    return true;
}

const Command suite_command = {
    .name = "suite",
    .summary = "train and compare mixers on synthetic tasks: MAD, MQAR, flip-flop, tropical; or time them",
    .text =
        "Trains a small model of every mixer on every task, with the published protocol, and writes DIR/results.csv: "
        "a\nrow for each training and test. Trainings are independent: under mpirun the ranks take them from one "
        "list, and an\ninterrupted sweep resumes where it stopped. --plan prints what it would cost. The suite speed "
        "trains nothing:\nit writes DIR/speed.csv and speed.md, the time of each mixer over the length of the "
        "sequence.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(SuiteArguments),
    .topic = print_keys,
    .run = run,
};
