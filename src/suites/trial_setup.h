/* Turns a trial's settings into its task, its protocol and its model. */
#ifndef FLAME_SUITES_TRIAL_SETUP_H
#define FLAME_SUITES_TRIAL_SETUP_H

#include "suites/trial.h"
#include "training/runner.h"

/* The part of the training examples that have the same length. */
typedef struct TrialSegment {
    char split[64]; /* "train", or the name from task_training_split */
    void *config;   /* of the task */
    TaskSizes sizes;
    int64_t examples, batches; /* per epoch; both 0: new examples in every step, or all of the files */
    RunnerOptions options;
} TrialSegment;

typedef struct TrialSetup {
    Protocol protocol;
    int segments; /* 1, or as many as the task's setting lists */
    TrialSegment segment[SEGMENTS_MOST];
    int64_t epoch_steps; /* 0: there are no epochs */
    int64_t outputs;     /* columns of the head: the classes, or the vocabulary if that is larger; 1 in a regression */
} TrialSetup;

/* The first segment of the same length as segment i, whose runner both use. */
int trial_runner(const TrialSetup *setup, int i);

/* The number of positions that a model reads for an example of the task. A causal model reads a set whose elements have
 * answers twice, so that every element of the second copy comes after all of them. */
int64_t trial_length(const Task *task, const TaskSizes *sizes, const Protocol *protocol);

/* The trial's protocol. The caller calls protocol_free, also on failure. USAGE (logged) for wrong settings. */
Status trial_protocol(const Trial *trial, Protocol *protocol);

/* The task's setting with the keys of a split or segment (NULL: unchanged). The caller frees it with task_config_free.
 * BAD_INPUT or USAGE (logged). */
Status trial_task(const Trial *trial, const char *keys, void **config);

/* Fills the tests of a training with this setting and returns how many: "test" and the task's splits, or "test" and the
 * tests that the setting lists. In the latter case *pooled is set, and "test" is their mean. */
int trial_tests(const Task *task, const void *config, Segment test[TRIAL_TESTS], bool *pooled);

/* The tests of trial_tests that are left out, as bits: those that the trial's setting cannot have, that have more words
 * or answers than its training, or that are not among its files and cannot be generated like them, each with a message;
 * or all splits, if none are wanted. The mixer does not matter. BAD_INPUT or USAGE (logged) for wrong settings. */
Status trial_left_out(const Trial *trial, uint32_t *bits);

/* Builds the model of the trial's mixer from the section "model" of its settings. The caller owns *model. BAD_INPUT or
 * USAGE (logged). */
Status trial_model(const Trial *trial, const ConfigValue *root, int64_t outputs, ModelEnds ends, Model **model);

/* Reads the settings, builds the model, and fills what `result` says about the model and the cost. `gpu`: for a run on
 * a GPU. The caller calls trial_setup_free, also on failure, and owns *model. BAD_INPUT or USAGE (logged). */
Status trial_setup(const Trial *trial, bool gpu, TrialSetup *setup, Model **model, TrialResult *result);
void trial_setup_free(const Trial *trial, TrialSetup *setup);

/* What a trial would cost, without running it: fills parameters, steps, tokens, peak_bytes, state_bytes and flops.
 * BAD_INPUT or USAGE (logged) if the mixer has no model of this size. */
Status trial_plan(const Trial *trial, bool gpu, TrialResult *result);

#endif
