#include "suites/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "models/mixer.h"
#include "suites/examples.h"
#include "suites/trial_setup.h"

enum { SETTINGS_MOST = 32 };

static bool is_named(const char *name, const Suite *suite, const Task *task) {
    return strcmp(name, "all") == 0 || strcmp(name, suite->name) == 0 || strcmp(name, task->name) == 0;
}

/* Calls `see` for the name of every suite and task. */
static void each_name(void (*see)(void *context, const char *name), void *context) {
    see(context, "all");
    see(context, SPEED);
    for (const Suite *const *suite = all_suites; *suite; suite++) {
        see(context, (*suite)->name);
        for (const Task *const *task = (*suite)->tasks; *task; task++) see(context, (*task)->name);
    }
}

typedef struct Nearest {
    const char *wanted, *name;
    int distance;
} Nearest;

static void see_name(void *context, const char *name) {
    Nearest *nearest = context;
    const int distance = edit_distance(nearest->wanted, name);
    if (nearest->name && distance >= nearest->distance) return;
    nearest->name = name;
    nearest->distance = distance;
}

static Nearest nearest_name(const char *wanted) {
    Nearest nearest = {.wanted = wanted};
    each_name(see_name, &nearest);
    return nearest;
}

static bool is_known(const char *name) {
    for (const Suite *const *suite = all_suites; *suite; suite++)
        for (const Task *const *task = (*suite)->tasks; *task; task++)
            if (is_named(name, *suite, *task)) return true;
    return false;
}

static bool wants_task(const SweepOptions *options, const Suite *suite, const Task *task) {
    for (int i = 0; i < options->name_count; i++)
        if (is_named(options->names[i], suite, task)) return true;
    return false;
}

Status sweep_check_mixers(const char *const *mixers, int count) {
    for (int i = 0; i < count; i++) {
        if (mixer_find(mixers[i])) continue;
        Nearest nearest = {.wanted = mixers[i]};
        for (int m = 0; mixer_at(m); m++) see_name(&nearest, mixer_at(m)->model_type);
        log_error("there is no mixer %.80s; did you mean %s?", mixers[i], nearest.name);
        return USAGE;
    }
    return OK;
}

static Status check_preset(const SweepOptions *options) {
    Nearest nearest = {.wanted = options->preset};
    if (options->settings) {
        log_error("--preset is a setting of its own: leave --settings out");
        return USAGE;
    }
    for (const Suite *const *suite = all_suites; *suite; suite++)
        for (const Task *const *task = (*suite)->tasks; *task; task++) {
            if (!wants_task(options, *suite, *task)) continue;
            if (task_preset(*task, options->preset)) return OK;
            for (const Preset *p = (*task)->presets; p && p->name; p++) see_name(&nearest, p->name);
        }
    if (nearest.name)
        log_error("there is no preset %.80s; did you mean %s? flame-c suite --help lists them", options->preset,
                  nearest.name);
    else
        log_error("there is no preset %.80s of these tasks; flame-c suite --help lists those that have one",
                  options->preset);
    return USAGE;
}

static Status check_names(const SweepOptions *options) {
    for (int i = 0; i < options->name_count; i++) {
        if (is_known(options->names[i])) continue;
        log_error("there is no suite or task %.80s; did you mean %s? flame-c suite --help lists them",
                  options->names[i], nearest_name(options->names[i]).name);
        return USAGE;
    }
    const Status status = sweep_check_mixers(options->mixers, options->mixer_count);
    return status == OK && options->preset ? check_preset(options) : status;
}

bool sweep_wants_mixer(const char *const *mixers, int count, const char *mixer) {
    for (int i = 0; i < count; i++)
        if (strcmp(mixers[i], mixer) == 0) return true;
    return count == 0;
}

static void append(Trial **list, int64_t *count, Trial trial) {
    Trial *grown = realloc(*list, (size_t)(*count + 1) * sizeof *grown);
    CHECK_MEMORY(grown, "out of memory");
    *list = grown;
    grown[(*count)++] = trial;
}

/* Whether the mixer has a model for the trial. Warns if not. */
static bool is_able(const Trial *trial) {
    TrialResult plan;
    if (trial_plan(trial, false, &plan) == OK) return true;
    log_warning("%s%s%s: %s cannot do it and is left out", trial->task->name, trial_variant(trial)[0] ? " " : "",
                trial_variant(trial), trial->mixer);
    return false;
}

static void append_grid(Sweep *sweep, Trial trial, const Protocol *protocol, int64_t seeds) {
    for (int64_t l = 0; l < protocol->lr.count; l++)
        for (int64_t w = 0; w < protocol->weight_decay.count; w++)
            for (trial.seed = 0; trial.seed < seeds; trial.seed++) {
                trial.lr = protocol->lr.item[l];
                trial.weight_decay = protocol->weight_decay.item[w];
                append(&sweep->trial, &sweep->trials, trial);
            }
}

/* Adds the trials of one mixer and setting: all points of the grid and all seeds. */
static Status list_points(const SweepOptions *options, Trial trial, Sweep *sweep) {
    Protocol protocol;
    const Status status = trial_protocol(&trial, &protocol);
    if (status == OK && is_able(&trial))
        append_grid(sweep, trial, &protocol, options->seeds);
    else if (status == OK)
        append(&sweep->unable, &sweep->unable_count, trial);
    protocol_free(&protocol);
    return status;
}

/* The settings of a task in a sweep: its own, then the published ones. */
typedef struct TaskSettings {
    int count;
    const char *name[SETTINGS_MOST];
    uint32_t left_out[SETTINGS_MOST];
} TaskSettings;

/* Fills the settings. A wrong setting ends the sweep before any mixer is tried. */
static Status list_settings(const SweepOptions *options, Trial trial, TaskSettings *settings) {
    const char *const *published = options->settings ? trial.task->sweep : NULL;
    Status status = OK;
    *settings = (TaskSettings){.count = 1, .name = {""}};
    for (; published && *published; published++) {
        CHECK(settings->count < SETTINGS_MOST, "%s has too many settings", trial.task->name);
        settings->name[settings->count++] = *published;
    }
    for (int i = 0; i < settings->count && status == OK; i++) {
        trial.setting = settings->name[i];
        status = trial_left_out(&trial, &settings->left_out[i]);
    }
    return status;
}

/* Refuses settings beside that of the published files. */
static Status check_settings(const Task *task) {
    for (const char *const *setting = task->sweep; *setting; setting++) {
        if (!strstr(*setting, "task.")) continue;
        log_error("training.data: its examples are of one setting of %s, and --settings has others, such as %s; leave "
                  "--settings out and train each setting by itself, with its files and its task. keys",
                  task->name, *setting);
        return USAGE;
    }
    return OK;
}

/* Reads what the files of training.data are, if there are any. */
static Status read_data(const SweepOptions *options, Trial *trial) {
    Protocol protocol;
    Status status = trial_protocol(trial, &protocol);
    if (status == OK && protocol.data) {
        if (options->settings) status = check_settings(trial->task);
        if (status == OK) status = examples_files_crc(trial->task, protocol.data, &trial->data_crc);
    }
    protocol_free(&protocol);
    return status;
}

static Status list_mixer(const SweepOptions *options, Trial trial, const TaskSettings *settings, Sweep *sweep) {
    Status status = OK;
    for (int i = 0; i < settings->count && status == OK; i++) {
        trial.setting = settings->name[i];
        trial.left_out = settings->left_out[i];
        status = list_points(options, trial, sweep);
    }
    return status;
}

static Status list_task(const SweepOptions *options, const Suite *suite, const Task *task, Sweep *sweep) {
    Trial trial = {.suite = suite,
                   .task = task,
                   .mixer = mixer_at(0)->model_type,
                   .preset = options->preset ? task_preset(task, options->preset) : NULL,
                   .setting = "",
                   .quick = options->quick,
                   .user = sweep->user};
    TaskSettings settings;
    Status status = read_data(options, &trial);
    if (status == OK) status = list_settings(options, trial, &settings);
    for (int m = 0; mixer_at(m) && status == OK; m++) {
        trial.mixer = mixer_at(m)->model_type;
        if (sweep_wants_mixer(options->mixers, options->mixer_count, trial.mixer))
            status = list_mixer(options, trial, &settings, sweep);
    }
    return status;
}

Status sweep_list(const SweepOptions *options, Sweep *sweep) {
    *sweep = (Sweep){.user = strdup(options->user ? options->user : "")};
    CHECK_MEMORY(sweep->user, "out of memory");
    Status status = check_names(options);
    for (const Suite *const *suite = all_suites; *suite && status == OK; suite++)
        for (const Task *const *task = (*suite)->tasks; *task && status == OK; task++)
            if (wants_task(options, *suite, *task) && (!options->preset || task_preset(*task, options->preset)))
                status = list_task(options, *suite, *task, sweep);
    return status;
}

void sweep_free(Sweep *sweep) {
    free(sweep->trial);
    free(sweep->unable);
    free(sweep->user);
    *sweep = (Sweep){0};
}

void sweep_print_notes(const Sweep *sweep) {
    const Suite *told = NULL;
    for (int64_t i = 0; i < sweep->trials; i++) {
        const Suite *suite = sweep->trial[i].suite;
        for (const char *const *note = suite->notes; suite != told && *note; note++)
            log_info("%s differs from its publication: %s", suite->name, *note);
        told = suite;
    }
}

static void print_hours(const char *where, double flops, double rate) {
    log_info("  %-44s %10.2f hours", where, flops / rate / 3600);
}

/* The share of the rate of large products that small models reach: measured on CPUs, assumed for an H100. */
static const double small_share = 0.4, h100_rate = 400e12 * 0.1;

void sweep_print_plan(const Sweep *sweep, double rate) {
    double flops = 0;
    log_info("%-24s %-24s %8s %12s %10s %12s %10s", "task", "mixer", "trials", "parameters", "steps", "Mtokens",
             "PFLOP");
    for (int64_t i = 0; i < sweep->trials;) {
        const Trial *first = &sweep->trial[i];
        double tokens = 0, work = 0;
        int64_t trials = 0, parameters = 0, steps = 0;
        TrialResult plan = {0};
        for (; i < sweep->trials && sweep->trial[i].task == first->task && sweep->trial[i].mixer == first->mixer; i++) {
            if (trials == 0 || sweep->trial[i].setting != sweep->trial[i - 1].setting) /* else the same again */
                CHECK(trial_plan(&sweep->trial[i], false, &plan) == OK, "a trial of %s", first->task->name);
            trials++;
            parameters = plan.parameters;
            steps += plan.steps;
            tokens += (double)plan.tokens;
            work += plan.flops;
        }
        log_info("%-24s %-24s %8lld %12lld %10lld %12.1f %10.3f", first->task->name, first->mixer, (long long)trials,
                 (long long)parameters, (long long)steps, tokens / 1e6, work / 1e15);
        flops += work;
    }
    log_info("%lld trials, at most %.3f PFLOP with their tests (a training ends early when its test is good enough):",
             (long long)sweep->trials, flops / 1e15);
    print_hours("here, at 40 % of the rate of its products", flops, small_share * rate);
    print_hours("on one H100, at 40 TFLOP/s (an assumption)", flops, h100_rate);
}
