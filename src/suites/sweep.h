/* Many trials: every combination of task, setting, mixer, point of the grid and seed that was asked for. Trials are
 * independent, so ranks take them from a common list. Each trial writes a file of its own, so a sweep that was killed
 * continues with the trials that are missing.
 *
 *   OUT/runs/NAME.csv       the rows of a trial, which say NAME in their last column
 *   OUT/runs/NAME.right     which test examples it answers right: "SPLIT 0110..."; there whenever NAME.csv is
 *   OUT/results.csv         the rows of all trials of the sweep, in the order of the list; written at its end */
#ifndef FLAME_SUITES_SWEEP_H
#define FLAME_SUITES_SWEEP_H

#include "parallel/comm.h"
#include "suites/trial.h"

typedef struct SweepOptions {
    const char *const *names; /* of suites and tasks; "all" */
    int name_count;
    const char *const *mixers; /* model_types; none: all */
    int mixer_count;
    int64_t seeds;      /* 0 .. seeds - 1 */
    const char *preset; /* for tasks that have it, in place of their own settings; NULL: none */
    bool settings;      /* also run the published settings besides each task's own; not with a preset */
    bool quick;
    const char *user; /* settings of the command line, or NULL */
} SweepOptions;

typedef struct Sweep {
    Trial *trial;
    int64_t trials;
    Trial *unable; /* trials whose mixer has no model for the task, once per setting */
    int64_t unable_count;
    char *user;
} Sweep;

/* Makes the list. BAD_INPUT or USAGE (logged) for an unknown name, with the nearest one, or wrong settings. A mixer
 * that cannot do a task is left out with one warning; its row in results.csv has no numbers. The caller calls
 * sweep_free, also on failure. */
Status sweep_list(const SweepOptions *options, Sweep *sweep);
void sweep_free(Sweep *sweep);

/* Prints where the sweep's suites differ from their publications. */
void sweep_print_notes(const Sweep *sweep);
/* Prints what the sweep costs, without running it; `rate`: FLOP/s of matrix products on this machine. */
void sweep_print_plan(const Sweep *sweep, double rate);
/* Runs all trials whose results are missing in `folder`, and writes results.csv. Collective. */
Status sweep_run(const Sweep *sweep, const char *folder, Comm *comm, const Device *device);

/* USAGE (logged, with the nearest name) if one of the mixers is unknown. */
Status sweep_check_mixers(const char *const *mixers, int count);
/* Whether the mixer is in the list. An empty list stands for all mixers. */
bool sweep_wants_mixer(const char *const *mixers, int count, const char *mixer);

#endif
