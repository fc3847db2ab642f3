/* A trial: one training of a suite and its tests, with one mixer, setting of a task, learning rate, weight decay and
 * seed. Only the scores are kept. */
#ifndef FLAME_SUITES_TRIAL_H
#define FLAME_SUITES_TRIAL_H

#include "suites/protocol.h"
#include "suites/scores.h"
#include "suites/suites.h"

typedef struct Trial {
    const Suite *suite;
    const Task *task;
    const char *mixer;    /* a model_type */
    const Preset *preset; /* of the task; NULL: the suite's own protocol */
    const char *setting;  /* a setting of the task's sweep; "": the task's own */
    bool quick;
    const char *user; /* settings that override all others; NULL: none */
    double lr, weight_decay;
    int64_t seed;      /* decides the initial values and the order of examples */
    uint32_t left_out; /* bits of the tests that its setting cannot have (trial_left_out) */
    uint32_t data_crc; /* CRC of the files of training.data; 0: none */
} Trial;

/* All settings of a trial, except its point of the grid and its seed: the sections task, training, mixer and model. The
 * caller frees the tree. USAGE (logged) if they cannot be read. */
Status trial_settings(const Trial *trial, ConfigValue **root);

/* The name of a trial's preset or setting, without the user's keys; "": the suite's own setting. */
const char *trial_variant(const Trial *trial);

enum { TRIAL_TESTS = SEGMENTS_MOST + 1 };

typedef struct TrialTest {
    char split[48]; /* "test", or a split or a segment of the task */
    Scores scores;
    double trivial;
    int64_t examples;
    bool *right; /* [examples] */
} TrialTest;

typedef struct TrialResult {
    int tests;
    TrialTest test[TRIAL_TESTS];
    int64_t hidden_size, layers, heads, parameters;
    int64_t steps, tokens; /* of the training */
    int64_t peak_bytes;    /* parameters, gradients, moments and activations */
    int64_t state_bytes;   /* see RunnerPlan; for a sequence as long as a training example */
    double tokens_per_second, seconds;
    double decode_tokens_per_second; /* NaN if the model does not answer token by token */
    double flops;                    /* of the training (forward counts once, backward twice) and of its tests */
    uint32_t examples_crc;           /* of the first test examples */
    const char *dtype;
} TrialResult;

void trial_result_free(TrialResult *result);

#endif
