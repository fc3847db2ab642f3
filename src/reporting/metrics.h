/* What a run shows and keeps of each logged step: a line for people (on the terminal and in train.log), an object in
 * metrics.jsonl for programs, and TensorBoard's event files. Only rank 0 has one. */
#ifndef FLAME_REPORTING_METRICS_H
#define FLAME_REPORTING_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

typedef struct StepMetrics {
    int64_t step;     /* steps done, this one included */
    int64_t tokens;   /* consumed since the beginning of the run, over all ranks */
    double loss;      /* mean over the targets of all ranks */
    double grad_norm; /* before clipping */
    double lr;        /* of this step's update */
    double tokens_per_second;
    double mfu;            /* 0..1 */
    double step_seconds;   /* mean since the last logged step */
    double data_seconds;   /* of these, waiting for data */
    int64_t memory_bytes;  /* peak of this process */
    int64_t skipped_steps; /* so far, because of a loss or gradient that was not finite */
    double eta_seconds;    /* shown only; negative: unknown */
} StepMetrics;

typedef struct MetricsOptions {
    const char *folder;    /* job.dump_folder, which exists */
    const char *tb_folder; /* inside of folder; NULL: no TensorBoard files */
    int64_t resumed_step;  /* lines of later steps move to metrics.void.jsonl; 0: a new run, older lines move to
                              metrics.jsonl.old, .old-2, ... */
    int64_t steps;         /* of the whole run */
} MetricsOptions;

typedef struct Metrics Metrics;

/* Opens folder/metrics.jsonl, folder/train.log and the event file. IO_ERROR after one log_error. */
Status metrics_open(const MetricsOptions *options, Metrics **metrics);
/* One logged step, to everywhere. A value that is not finite is null in metrics.jsonl. A full disk is a warning, once:
 * training goes on. NULL (a rank that has none) is fine in all of these. */
void metrics_step(Metrics *metrics, const StepMetrics *step);
/* The terminal's live line only, for the steps between; nothing where standard output is not a terminal. */
void metrics_live(Metrics *metrics, const StepMetrics *step);
/* A validation: {"step", "tokens", "val_loss"} in metrics.jsonl. */
void metrics_validation(Metrics *metrics, int64_t step, int64_t tokens, double val_loss);
/* A line of text in train.log and on standard output. */
void metrics_note(Metrics *metrics, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes metrics.jsonl durable; called with each checkpoint, so that a resumed run finds its lines. */
void metrics_flush(Metrics *metrics);
void metrics_close(Metrics *metrics);

/* The largest resident memory of this process so far, in bytes. */
int64_t memory_peak(void);

#endif
