#include "training/diagnosis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "reporting/metrics.h"
#include "training/gradients.h"
#include "training/not_finite.h"
#include "training/samples.h"

enum { SHOWN = 16 }; /* most rows of a table */

/* What is found about one sample, over all ranks. */
typedef struct SampleFacts {
    double loss_sum, targets, norm; /* norm: of the sample's part of the step's gradient */
    double number;
} SampleFacts;

/* The first value of a step that is not finite, on one rank. */
typedef struct FirstBad {
    NotFinite place;
    int64_t sample, token;
} FirstBad;

typedef struct Diagnosis {
    Training *training;
    int64_t samples;
    SampleFacts *sample; /* [samples] */
    FirstBad bad;
    StepResult result;
    ParameterGradient *gradient;
    int64_t gradients;
} Diagnosis;

/* Adds the losses of the micro-batch that has run, whose first sample on this rank is number `first` of the step. */
static void add_losses(Diagnosis *d, HostBatch batch, int64_t first) {
    const Training *t = d->training;
    const int64_t B = t->shape.batch, T = t->config->training.seq_len;
    const float *losses = runner_scores(t->session.runner).losses;
    for (int64_t i = 0; i < B * T && first + i / T < d->samples; i++) {
        d->sample[first + i / T].loss_sum += (double)losses[i];
        d->sample[first + i / T].targets += batch.labels[i] >= 0;
    }
}

/* Notes where the micro-batch has its first value that is not finite, if that is in a lower layer than any found
 * before. */
static void note_not_finite(Diagnosis *d, int64_t first) {
    const Training *t = d->training;
    const int64_t T = t->config->training.seq_len;
    const NotFinite found = not_finite_find(t->session.runner, t->session.model->layers);
    if (found.layer < d->bad.place.layer)
        d->bad = (FirstBad){found, t->progress.samples + first + found.row / T, found.row % T};
}

/* Runs all micro-batches of the step. */
static Status run_whole(Diagnosis *d) {
    Training *t = d->training;
    Comm *comm = t->session.comm;
    double sums[2] = {0};
    for (int64_t m = 0; m < t->shape.micro_batches; m++) {
        const int64_t first = (m * comm->size + comm->rank) * t->shape.batch;
        const HostBatch batch = runner_batch(t->session.runner);
        bool given_up;
        const Status status = training_micro_batch(t, m, &given_up);
        if (status != OK) return status;
        add_losses(d, batch, first);
        note_not_finite(d, first);
    }
    int64_t targets;
    runner_losses(t->session.runner, &sums[0], &targets);
    sums[1] = (double)targets;
    comm->f->all_reduce_sum(comm, sums, 2);
    comm->f->all_reduce_sum(comm, (double *)d->sample, d->samples * (int64_t)(sizeof *d->sample / sizeof(double)));
    training_judge(t, sums[0], sums[1], &d->result);
    d->gradient = gradients_read(t->session.fsdp, d->result.scale, &d->gradients);
    fsdp_end_step(t->session.fsdp);
    return OK;
}

/* Runs each sample by itself, for its part of the gradient. */
static Status run_each(Diagnosis *d) {
    Training *t = d->training;
    for (int64_t i = 0; i < d->samples; i++) {
        const int64_t sample = t->progress.samples + i;
        bool given_up;
        double loss_sum;
        int64_t targets;
        const Status status = samples_read(&t->session, &t->runner_options, t->stream, sample, sample + 1, &given_up);
        if (status != OK) return status;
        runner_train(t->session.runner, true);
        runner_losses(t->session.runner, &loss_sum, &targets);
        d->sample[i].number = (double)sample;
        d->sample[i].norm = optimizer_norm(t->session.fsdp, d->result.scale);
        fsdp_end_step(t->session.fsdp);
    }
    return OK;
}

/* Of the places that the ranks have found, all ranks take the one in the lowest layer. Collective. */
static void agree_on_bad(Diagnosis *d) {
    Comm *comm = d->training->session.comm;
    FirstBad *all = calloc((size_t)comm->size, sizeof *all);
    CHECK_MEMORY(all, "out of memory");
    comm->f->all_gather(comm, &d->bad, all, sizeof *all);
    for (int rank = 0; rank < comm->size; rank++) {
        const FirstBad *a = &all[rank], *b = &d->bad;
        if (a->place.layer < b->place.layer || (a->place.layer == b->place.layer && a->sample < b->sample)) d->bad = *a;
    }
    free(all);
}

static bool same(double a, double b) { return a == b || (!isfinite(a) && !isfinite(b)); }

static void print_step(const Diagnosis *d, const char *folder, const char *metrics) {
    const StepResult *r = &d->result;
    const int64_t step = d->training->progress.step + 1;
    char why[160];
    double loss, norm;
    step_say_why(r, why);
    log_info("step %lld: loss %.9g, gradient norm %.9g%s%s", (long long)step, r->loss, r->gradient_norm,
             step_is_skipped(r) ? ", skipped: " : "", step_is_skipped(r) ? why : "");
    if (!metrics_read(folder, metrics, step, &loss, &norm))
        log_info("%s has no line of this step to compare with", metrics);
    else if (same(loss, r->loss) && same(norm, r->gradient_norm))
        log_info("%s has the same values: they come from the weights and samples, not from faulty hardware", metrics);
    else
        log_info("%s has loss %.9g, gradient norm %.9g. With the ranks, program and configuration of the run the "
                 "numbers are the same, unless hardware computed wrongly",
                 metrics, loss, norm);
}

/* Descending order, with values that are not finite first. */
static int by_size(double a, double b) {
    if (isfinite(a) != isfinite(b)) return isfinite(a) ? 1 : -1;
    return a < b ? 1 : a > b ? -1 : 0;
}

static int compare_samples(const void *a, const void *b) {
    const SampleFacts *x = a, *y = b;
    const int order = by_size(x->norm, y->norm);
    return order ? order : x->number < y->number ? -1 : 1;
}

static int compare_gradients(const void *a, const void *b) {
    const ParameterGradient *x = a, *y = b;
    if (x->not_finite != y->not_finite) return x->not_finite > y->not_finite ? -1 : 1;
    return by_size(x->norm, y->norm);
}

static void print_more(int64_t count) {
    if (count > SHOWN) log_info("  ... and %lld more", (long long)count - SHOWN);
}

static void print_samples(Diagnosis *d) {
    const Training *t = d->training;
    qsort(d->sample, (size_t)d->samples, sizeof *d->sample, compare_samples);
    log_info("\nsamples, by the norm of their part of the gradient (flame-c data show FILE --first N --count M prints "
             "tokens)");
    log_info("  %12s %12s %12s %8s  %s", "sample", "norm", "loss", "targets", "tokens of");
    for (int64_t i = 0; i < d->samples && i < SHOWN; i++) {
        const SampleFacts *s = &d->sample[i];
        const StreamPlace place = stream_place(t->stream, (int64_t)s->number);
        log_info("  %12.0f %12.4g %12.4g %8.0f  %s %lld to %lld", s->number, s->norm,
                 s->targets > 0 ? s->loss_sum / s->targets : 0, s->targets, stream_file(t->stream, place.file)->path,
                 (long long)place.start, (long long)(place.start + t->config->training.seq_len));
    }
    print_more(d->samples);
}

static void print_units(const Diagnosis *d) {
    log_info("\n  %-40s %12s", "unit", "norm");
    for (int64_t i = 0, j; i < d->gradients; i = j) {
        double square = 0, bad = 0;
        for (j = i; j < d->gradients && d->gradient[j].unit == d->gradient[i].unit; j++) {
            square += d->gradient[j].norm * d->gradient[j].norm;
            bad += d->gradient[j].not_finite;
        }
        char count[48] = "";
        if (bad > 0) snprintf(count, sizeof count, "  %.0f values are not finite", bad);
        log_info("  %-40s %12.4g%s", d->gradient[i].unit->name, sqrt(square), count);
    }
}

static void print_parameters(Diagnosis *d) {
    qsort(d->gradient, (size_t)d->gradients, sizeof *d->gradient, compare_gradients);
    log_info("\n  %-56s %12s %12s", "parameter", "norm", "root mean sq.");
    for (int64_t i = 0; i < d->gradients && i < SHOWN; i++) {
        const ParameterGradient *g = &d->gradient[i];
        char count[64] = "";
        if (g->not_finite > 0)
            snprintf(count, sizeof count, "  %.0f of %lld values are not finite", g->not_finite,
                     (long long)g->parameter->elements);
        log_info("  %-56s %12.4g %12.4g%s", g->parameter->name, g->norm, g->norm / sqrt((double)g->parameter->elements),
                 count);
    }
    print_more(d->gradients);
}

static void print_bad(const Diagnosis *d) {
    const NotFinite *place = &d->bad.place;
    const int64_t layers = d->training->session.model->layers;
    char layer[32];
    if (place->layer == NOT_FINITE_NOWHERE) {
        log_info("\nforward: all values are finite");
        return;
    }
    snprintf(layer, sizeof layer, "layer %lld", (long long)place->layer);
    log_info("\nforward: the first values that are not finite come from %s%s%s, in sample %lld at its token %lld",
             place->layer < 0         ? "the embeddings"
             : place->layer == layers ? "the head"
                                      : layer,
             place->op[0] ? ", op " : "", place->op, (long long)d->bad.sample, (long long)d->bad.token);
}

Status diagnose_step(Training *t, const char *folder, const char *metrics) {
    Diagnosis d = {.training = t, .samples = t->shape.samples, .bad.place.layer = NOT_FINITE_NOWHERE};
    d.sample = calloc((size_t)d.samples, sizeof *d.sample);
    CHECK_MEMORY(d.sample, "no memory for %lld samples", (long long)d.samples);
    Status status = run_whole(&d);
    if (status == OK) status = run_each(&d);
    if (status == OK) {
        agree_on_bad(&d);
        print_step(&d, folder, metrics);
        print_samples(&d);
        print_units(&d);
        print_parameters(&d);
        print_bad(&d);
    }
    free(d.gradient);
    free(d.sample);
    return status;
}
