/* Reports the steps of a run: a readable line on standard output and in train.log, a JSON object per step in
 * metrics.jsonl, and scalars in TensorBoard's event files. Exists on rank 0 only. */
#ifndef FLAME_REPORTING_METRICS_H
#define FLAME_REPORTING_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

typedef struct StepMetrics {
    int64_t step;   /* steps done, this one included */
    int64_t tokens; /* trained on since the beginning of the run, over all ranks */
    double loss;    /* mean over the targets of all ranks: the cross-entropy with label smoothing and z-loss, and what
                       layers add; with a teacher too */
    double teacher_kl; /* mean divergence from the teacher over the same targets, if there is a teacher */
    bool has_teacher;
    double grad_norm; /* before clipping */
    double lr;        /* of this step's update */
    double tokens_per_second;
    double mfu;            /* 0..1 */
    double step_seconds;   /* mean since the last logged step */
    double data_seconds;   /* part of step_seconds that was spent waiting for data */
    int64_t memory_bytes;  /* peak memory of this process */
    int64_t skipped_steps; /* so far: steps that changed no weight */
    int64_t passed_over;   /* samples passed over so far by going back to a checkpoint */
    double eta_seconds;    /* estimated time to the end, on the terminal only; negative: unknown */
} StepMetrics;

typedef struct MetricsOptions {
    const char *folder;    /* job.dump_folder, which exists */
    const char *tb_folder; /* inside of folder; NULL: no TensorBoard files */
    const char *run;       /* its name, in the first line of metrics.jsonl; "": it has none */
    bool new_run; /* a metrics.jsonl in the folder is of another run: renamed to metrics.jsonl.old, .old-2, ... */
    int64_t resumed_step; /* if it is this run's, its lines of later steps are moved to metrics.void.jsonl */
    int64_t steps;        /* of the whole run */
} MetricsOptions;

typedef struct Metrics Metrics;

/* Opens folder/metrics.jsonl, folder/train.log and the event file. IO_ERROR after one log_error. */
Status metrics_open(const MetricsOptions *options, Metrics **metrics);
/* Writes one logged step to all outputs. Values that are not finite are null in metrics.jsonl. If the disk is full,
 * training continues after one warning. All functions below accept NULL, on ranks other than 0. */
void metrics_step(Metrics *metrics, const StepMetrics *step);
/* Rewrites the progress line on the terminal, for steps that are not logged. Does nothing if standard output is not a
 * terminal. */
void metrics_live(Metrics *metrics, const StepMetrics *step);
/* Writes the result of a validation to all outputs: {"step", "tokens", "val_loss"} in metrics.jsonl. */
void metrics_validation(Metrics *metrics, int64_t step, int64_t tokens, double val_loss);
/* Whether metrics.jsonl had them of resumed_step when it was opened. */
bool metrics_has_validation(const Metrics *metrics);
bool metrics_has_previews(const Metrics *metrics);
/* How the model goes on with a prompt. Texts are UTF-8 and may have any characters. */
typedef struct Preview {
    int64_t step, tokens;
    int64_t number; /* of the prompt, counted from 1 */
    const char *prompt, *text;
    int64_t prompt_bytes, text_bytes;
} Preview;
/* Writes the preview to all outputs: {"step", "tokens", "kind": "sample", "prompt", "text"} in metrics.jsonl. */
void metrics_preview(Metrics *metrics, const Preview *preview);
/* Writes a line of text to train.log and standard output. */
void metrics_note(Metrics *metrics, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The run goes back to `step` and continues from there. The outputs change as if they were opened again with that
 * resumed_step. IO_ERROR after one log_error. */
Status metrics_rewind(Metrics *metrics, int64_t step);
/* fsyncs metrics.jsonl and the event file. Called with each checkpoint, so that a run resumed from it finds the lines
 * before it. */
void metrics_flush(Metrics *metrics);
void metrics_close(Metrics *metrics);

/* Reads the last line of `step` in FOLDER/NAME. A value that was not finite is NaN. False if the step has no line. */
bool metrics_read(const char *folder, const char *name, int64_t step, double *loss, double *grad_norm);

/* The last step that has a line in FOLDER/NAME; 0 if none has; -1 if the file cannot be read. */
int64_t metrics_last_step(const char *folder, const char *name);

/* Peak resident memory of this process, in bytes. */
int64_t memory_peak(void);

#endif
