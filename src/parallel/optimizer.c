#include "parallel/optimizer.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/optimizer/adamw/adamw.h"
#include "kernels/optimizer/moving_average/moving_average.h"
#include "kernels/optimizer/sum_of_squares/sum_of_squares.h"

OptimizerOptions optimizer_default_options(void) {
    return (OptimizerOptions){
        .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .max_norm = 1.0, .copies = 1};
}

static int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

/* Elements [first, last) of a shard. */
typedef struct Span {
    int64_t first, last;
} Span;

/* Sets the span to the next elements that are trained: those between the span and the next buffer. False at the end of
 * the shard. Start with {0, 0}. */
static bool next_trained(const Unit *unit, Span *span) {
    *span = (Span){span->last, unit->shard};
    for (int i = 0; i < unit->parameters; i++) {
        const UnitRange range = unit_range(unit, &unit->parameter[i]);
        const int64_t end = range.in_shard + range.last - range.first;
        if (unit->parameter[i].moving_average == 0 || range.in_shard >= end || end <= span->first) continue;
        if (range.in_shard > span->first) {
            span->last = range.in_shard;
            return true;
        }
        span->first = end;
    }
    return span->first < unit->shard;
}

static int64_t partial_sums(const Unit *unit) {
    int64_t sums = 0;
    for (Span span = {0, 0}; next_trained(unit, &span);) sums += blocks_of(span.last - span.first, SQUARES_BLOCK);
    return sums;
}

static void launch_squares(const Device *device, const Unit *unit, double *partial) {
    for (Span span = {0, 0}; next_trained(unit, &span);) {
        const int64_t count = span.last - span.first, blocks = blocks_of(count, SQUARES_BLOCK);
        const SumOfSquaresArguments arguments = {
            .x = unit->gradient_shard + span.first, .partial = partial, .count = count};
        device->launch(KERNEL_sum_of_squares, F32, (Grid){blocks, 1, 1}, &arguments);
        partial += blocks;
    }
}

/* L2 norm of the gradient of the whole model, from the shards. */
static double gradient_norm(Fsdp *fsdp) {
    int count;
    const Unit *units = fsdp_units(fsdp, &count);
    const Device *device = fsdp_device(fsdp);
    Comm *world = fsdp_mesh(fsdp)->world;
    int64_t sums = 0, at = 0;
    for (int u = 0; u < count; u++) sums += partial_sums(&units[u]);
    const int64_t bytes = sums * (int64_t)sizeof(double);
    double *host = memory_take(bytes, "the gradient's norm", "Use more ranks"),
           *partial = device_memory(device, bytes, "the gradient's norm"), sum = 0;
    for (int u = 0; u < count; at += partial_sums(&units[u++])) launch_squares(device, &units[u], partial + at);
    device_download(device, host, partial, bytes);
    device->release(partial, bytes);
    at = 0;
    for (int u = 0; u < count; u++) {
        double unit_sum = 0;
        for (const int64_t end = at + partial_sums(&units[u]); at < end; at++) unit_sum += host[at];
        sum += unit_sum;
    }
    free(host);
    world->f->all_reduce_sum(world, &sum, 1);
    return sqrt(sum);
}

/* Updates those of elements [first, last) of the unit that lie in this rank's shard. */
static void update_range(const Unit *unit, int64_t first, int64_t last, AdamwArguments arguments) {
    const int64_t begin = unit->first, end = begin + unit->shard;
    first = (first > begin ? first : begin) - begin;
    last = (last < end ? last : end) - begin;
    if (first >= last) return;
    arguments.p = unit->master + first;
    arguments.m = unit->exp_avg + first;
    arguments.s = unit->exp_avg_sq + first;
    arguments.gradient = unit->update_gradient + first;
    arguments.count = last - first;
    unit->update_device->launch(KERNEL_adamw, F32, (Grid){blocks_of(arguments.count, ADAMW_BLOCK), 1, 1}, &arguments);
}

static void update_buffer(const Unit *unit, const Parameter *buffer, int copies) {
    const UnitRange range = unit_range(unit, buffer);
    if (range.first >= range.last) return;
    const MovingAverageArguments arguments = {.p = unit->master + range.in_shard,
                                              .x = unit->update_gradient + range.in_shard,
                                              .count = range.last - range.first,
                                              .keep = (float)buffer->moving_average,
                                              .one_minus_keep = (float)((1 - buffer->moving_average) / copies)};
    const Grid grid = {blocks_of(arguments.count, MOVING_AVERAGE_BLOCK), 1, 1};
    unit->update_device->launch(KERNEL_moving_average, F32, grid, &arguments);
}

static bool is_trained(const Parameter *parameter, bool decay_all, bool decay) {
    return parameter->moving_average == 0 && (decay_all || parameter->decay) == decay;
}

/* Updates a unit. Adjacent parameters with the same decay are updated by one launch. */
static void update_unit(const Unit *unit, const OptimizerOptions *options, const AdamwArguments *decaying) {
    const bool decay_all = options->decay_all;
    AdamwArguments constant = *decaying;
    constant.keep = 1;
    for (int i = 0; i < unit->parameters;) {
        const Parameter *first = &unit->parameter[i++], *last = first;
        if (first->moving_average > 0) {
            update_buffer(unit, first, options->copies);
            continue;
        }
        const bool decay = decay_all || first->decay;
        while (i < unit->parameters && is_trained(&unit->parameter[i], decay_all, decay)) last = &unit->parameter[i++];
        update_range(unit, first->offset, last->offset + last->elements, decay ? *decaying : constant);
    }
}

double optimizer_norm(Fsdp *fsdp, double gradient_scale) {
    fsdp_begin_update(fsdp);
    /* the host has read the norm, so offloaded gradients have arrived too */
    return gradient_norm(fsdp) * gradient_scale;
}

void optimizer_update(Fsdp *fsdp, const OptimizerOptions *options, int64_t update, double lr, double gradient_scale,
                      double norm) {
    CHECK(options->copies >= 1, "each token %d times in the gradients of buffers", options->copies);
    const double clip = options->max_norm > 0 ? options->max_norm / (norm + 1e-6) : 1;
    const double t = (double)update;
    const AdamwArguments arguments = {.gradient_scale = (float)(gradient_scale * (clip < 1 ? clip : 1)),
                                      .keep = (float)(1 - lr * options->weight_decay),
                                      .step = (float)(lr / (1 - pow(options->beta1, t))),
                                      .root_correction = (float)sqrt(1 - pow(options->beta2, t)),
                                      .one_minus_beta1 = (float)(1 - options->beta1),
                                      .beta2 = (float)options->beta2,
                                      .one_minus_beta2 = (float)(1 - options->beta2),
                                      .eps = (float)options->eps};
    int count;
    const Unit *units = fsdp_units(fsdp, &count);
    for (int u = 0; u < count; u++) update_unit(&units[u], options, &arguments);
}

OptimizerResult optimizer_step(Fsdp *fsdp, const OptimizerOptions *options, int64_t update, double lr,
                               double gradient_scale) {
    const double norm = optimizer_norm(fsdp, gradient_scale);
    const bool skipped = !isfinite(norm);
    if (!skipped) optimizer_update(fsdp, options, update, lr, gradient_scale, norm);
    return (OptimizerResult){norm, skipped};
}
