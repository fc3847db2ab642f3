/* A synthetic task: examples that are a pure function of (seed, split, number). A task is one file and one line in its
 * suite's table; docs/suites.md adds one as an example.
 *
 * Everything that can be set is a key (config/keys.h). Whatever differs from the defaults is written as on the command
 * line: "task.vocab_size=32 training.examples=6400". */
#ifndef FLAME_SUITES_TASK_H
#define FLAME_SUITES_TASK_H

#include "base/check.h"
#include "base/draws.h"
#include "config/keys.h"
#include "base/labels.h"

/* What a task fills for one example. The arrays belong to the caller. T and the number of features follow from the
 * keys. */
typedef struct Example {
    int32_t *inputs; /* [T] tokens; not used if inputs are features */
    float *features; /* [T, features]; NULL if inputs are tokens */
    int32_t *labels; /* [T]: the class to predict at this position, or IGNORED_LABEL */
    float *values;   /* [T]: the number to predict where the label is not ignored; NULL except in regressions */
} Example;

/* The sizes of a setting. */
typedef struct TaskSizes {
    int64_t T;        /* positions of an example */
    int64_t tokens;   /* size of the inputs' vocabulary; 0: inputs are features */
    int64_t features; /* numbers per position; 0: inputs are tokens */
    int64_t classes;  /* of labels; 0: a regression */
} TaskSizes;

/* An additional test of the same weights in another setting than the training's: longer sequences, rarer reads, other
 * ranges of numbers. */
typedef struct Split {
    const char *name, *keys; /* "sparse", "task.p_ignore=0.98" */
} Split;

enum { SEGMENTS_MOST = 15 };

/* A part of the training examples, or a test, that the setting itself lists. Each batch comes from one segment. */
typedef struct Segment {
    char name[48];    /* "128x8" */
    char keys[112];   /* what it changes in the setting: "task.seq_len=128 task.num_kv_pairs=8" */
    int64_t examples; /* training examples */
} Segment;

/* Another published training of the task. */
typedef struct Preset {
    const char *name, *meaning, *keys;
    const char *quick; /* for --quick: settings on top of `keys` and of the suite's quick ones; NULL: none */
} Preset;

/* How the model reads an example and where it answers. */
typedef enum TaskForm {
    TASK_CAUSAL,      /* each label depends on the tokens up to it */
    TASK_AUTOENCODER, /* all labels are decoded from one vector, the model's output at the last position */
    TASK_SET,         /* the positions are a set, and each label depends on all of them */
    TASK_POOLED,      /* a set with a single label, at the last position */
} TaskForm;

/* Published files of examples of one setting, in the splits "train", "test" and others of the task. */
typedef struct TaskFiles {
    const char *const *endings; /* "/inputs.npy": the files of a split are PATH/SPLIT with these; ended by NULL */
    /* Whether there are files for a split other than "train" and "test", which must exist. */
    bool (*has)(const char *path, const char *split);
    /* BAD_INPUT or IO_ERROR (logged) if the files cannot be read. The caller closes *file if it is set, also on
     * failure. */
    Status (*open)(const char *path, const char *split, void **file);
    void (*close)(void *file);
    int64_t (*examples)(const void *file);
    int64_t (*length)(const void *file); /* positions of an example */
    /* Reads example `number`. BAD_INPUT (logged) if it cannot be an example of the task with `tokens` tokens. */
    Status (*example)(const void *file, int64_t number, int64_t tokens, Example example);
} TaskFiles;

typedef struct Task {
    const char *name, *meaning; /* "in_context_recall", one line */
    TaskForm form;
    const Key *keys;
    int key_count;
    size_t config_size;       /* size of the struct that the keys fill */
    const char *protocol;     /* settings of the task on top of its suite's; NULL: none */
    const char *quick;        /* the same for --quick */
    const char *const *sweep; /* the published settings other than the default one; ended by NULL */
    const Preset *presets;    /* ended by a NULL name; NULL: none */
    const Split *splits;      /* ended by a NULL name; NULL: none */
    const TaskFiles *files;   /* published examples; NULL: there are none */
    bool seeded; /* the examples share what `generate` draws from the seed, and those of files share another */
    /* Refuses values for which no example is possible, with an error that names the key. */
    Status (*check)(const void *config);
    TaskSizes (*sizes)(const void *config);
    /* Generates one example. `seed` determines what all examples of a setting share; everything else comes from
     * `draws`. With `test` the labels are those that are scored, if training has others. */
    void (*generate)(const void *config, uint64_t seed, Draws *draws, bool test, Example example);
    /* Whether the setting has the split; NULL: it has all. */
    bool (*has_split)(const void *config, const char *split);
    /* Fills the segments that a setting lists for its training, or with `test` its tests, which then replace `splits`,
     * and returns their number; 0: none. NULL: no setting lists any. */
    int (*segments)(const void *config, bool test, Segment segment[SEGMENTS_MOST]);
    /* The accuracy (or F1, if that is the score) of the best answer that does not depend on the input, for the test's
     * labels. */
    double (*trivial)(const void *config);
} Task;

/* Reads the task's keys from a mapping (NULL: all defaults). The caller frees the struct with task_config_free.
 * BAD_INPUT or USAGE (logged) for an unknown key, a value out of range or one that `check` refuses. */
Status task_config_read(const Task *task, const ConfigValue *mapping, void **config);
void task_config_free(const Task *task, void *config);
/* Puts all keys with their values into the section "task" of a tree. */
void task_config_complete(const Task *task, void *config, ConfigValue *root);

/* The preset with this name; NULL if there is none. */
const Preset *task_preset(const Task *task, const char *name);

/* The name of the split that holds a segment's training examples. */
void task_training_split(const Segment *segment, char name[64]);
/* Generates example `number` of a split: "train", "test", a split or test segment, whose keys are then in `config`, or
 * one of task_training_split. */
void task_example(const Task *task, const void *config, uint64_t seed, const char *split, int64_t number,
                  Example example);

#endif
