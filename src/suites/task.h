/* A synthetic task: examples that are a pure function of (seed, split, number). A task is one file and one line in its
 * suite's table; docs/suites.md adds one as an example.
 *
 * Everything that can be set is a key (config/keys.h), and whatever differs from the defaults is written as on the
 * command line: "task.vocab_size=32 training.examples=6400". */
#ifndef FLAME_SUITES_TASK_H
#define FLAME_SUITES_TASK_H

#include "base/check.h"
#include "base/draws.h"
#include "config/keys.h"
#include "data/pack.h" /* IGNORED_LABEL */

/* What a task makes of one example; arrays of the caller. T and the number of features follow from the keys. */
typedef struct Example {
    int32_t *inputs; /* [T] tokens; not used by tasks of features */
    float *features; /* [T, features]; NULL in tasks of tokens */
    int32_t *labels; /* [T]: the class to predict at this position, or IGNORED_LABEL */
    float *values;   /* [T]: the number to predict where the label is not ignored; NULL but in regressions */
} Example;

/* The sizes of a setting. */
typedef struct TaskSizes {
    int64_t T;        /* positions of an example */
    int64_t tokens;   /* size of the vocabulary of inputs; 0: inputs are features */
    int64_t features; /* numbers per position, 0 in tasks of tokens */
    int64_t classes;  /* of labels; 0: a regression */
} TaskSizes;

/* A test other than that of the training's own setting, with the same weights: longer sequences, rarer reads, other
 * ranges of numbers. */
typedef struct Split {
    const char *name, *keys; /* "sparse", "task.p_ignore=0.98" */
} Split;

enum { SEGMENTS_MOST = 15 };

/* A part of a training's examples, or a test, that the setting itself lists. Batches are of one segment. */
typedef struct Segment {
    char name[48];    /* "128x8" */
    char keys[112];   /* what it changes in the setting: "task.seq_len=128 task.num_kv_pairs=8" */
    int64_t examples; /* of the training */
} Segment;

/* Another published training of the task. */
typedef struct Preset {
    const char *name, *meaning, *keys;
    const char *quick; /* over `keys` and those of --quick; NULL: nothing */
} Preset;

/* How the model reads an example and where it answers. */
typedef enum TaskForm {
    TASK_CAUSAL,      /* each label from the tokens up to it */
    TASK_AUTOENCODER, /* every label from one vector: the model's output at the last position */
    TASK_SET,         /* positions are a set: each label from all of them */
    TASK_POOLED,      /* a set with one label, at the last position */
} TaskForm;

/* Published files of examples: of one setting, split "train", "test", or one of the task's. */
typedef struct TaskFiles {
    /* Whether there are files of a split beside "train" and "test", which there must be. */
    bool (*has)(const char *path, const char *split);
    /* BAD_INPUT or IO_ERROR (logged) if they cannot be read. The caller closes *file, also on failure if it is set. */
    Status (*open)(const char *path, const char *split, void **file);
    void (*close)(void *file);
    int64_t (*examples)(const void *file);
    int64_t (*length)(const void *file); /* positions of an example */
    /* BAD_INPUT (logged) if the example is none of the task's with so many tokens. */
    Status (*example)(const void *file, int64_t number, int64_t tokens, Example example);
} TaskFiles;

typedef struct Task {
    const char *name, *meaning; /* "in_context_recall", one line */
    TaskForm form;
    const Key *keys;
    int key_count;
    size_t config_size;       /* of the struct that the keys fill */
    const char *protocol;     /* what the task changes in the keys of its suite; NULL: nothing */
    const char *quick;        /* the same in those of --quick */
    const char *const *sweep; /* what the published settings beside the default one change; ended by NULL */
    const Preset *presets;    /* ended by a NULL name; NULL: none */
    const Split *splits;      /* ended by a NULL name; NULL: none */
    const TaskFiles *files;   /* NULL: none are published */
    /* Refuses values that no example can be made with, by an error that names the key. */
    Status (*check)(const void *config);
    TaskSizes (*sizes)(const void *config);
    /* Makes one example. `seed` is for what all examples of a setting share; everything else comes from `draws`.
     * test: the labels that are scored, where training has others. */
    void (*generate)(const void *config, uint64_t seed, Draws *draws, bool test, Example example);
    /* Whether the setting has the split; NULL: it has all. */
    bool (*has_split)(const void *config, const char *split);
    /* Fills the segments that a setting lists for its training, or its tests instead of `splits`, and returns how many;
     * 0: none. NULL: of no setting. */
    int (*segments)(const void *config, bool test, Segment segment[SEGMENTS_MOST]);
    /* The accuracy of the best answer that looks at no input (F1 where that is the score), for the test's labels. */
    double (*trivial)(const void *config);
} Task;

/* Reads the task's keys of a mapping (NULL: all defaults). The caller frees the struct with task_config_free. BAD_INPUT
 * or USAGE (logged) for an unknown key, a value out of range or one that `check` refuses. */
Status task_config_read(const Task *task, const ConfigValue *mapping, void **config);
void task_config_free(const Task *task, void *config);
/* Puts all keys with their values into the section "task" of a tree. */
void task_config_complete(const Task *task, void *config, ConfigValue *root);

/* NULL if the task has none of this name. */
const Preset *task_preset(const Task *task, const char *name);

/* The name of a segment's examples of training. */
void task_training_split(const Segment *segment, char name[64]);
/* Makes example `number` of the split: "train", "test", the name of a split or segment with its keys in `config`, or
 * that of a segment's examples of training. */
void task_example(const Task *task, const void *config, uint64_t seed, const char *split, int64_t number,
                  Example example);

#endif
