#include "suites/speed_timer.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "kernels/basic/cast/cast.h"
#include "suites/statistics.h"
#include "tile/rows.h"
#include "training/session.h"

enum { WARM_UP = 2, DRAWN_ROWS = 1024 };

struct SpeedTimer {
    Session session;
    DType type;
    Tape tape;
};

/* The memory of a run, except for the parameters: one allocation. */
typedef struct Memory {
    Arena all, keep, scratch;
    int64_t rows, cols;
    void *x, *gradient; /* [rows, cols]: the mixer's input, and the gradient of its output */
    Batch batch;
} Memory;

Status speed_timer_open(Model *model, const Device *device, DType type, SpeedTimer **result) {
    SpeedTimer *timer = calloc(1, sizeof *timer);
    CHECK_MEMORY(timer, "out of memory");
    *result = timer;
    timer->type = type;
    timer->session.model = model;
    const Status status = session_connect(&timer->session, comm_self_create(), device, 1);
    if (status != OK) return status;
    const RunnerOptions options = {.type = type, .training = true};
    Fsdp *fsdp = fsdp_create(&timer->session.mesh, device, model->unit, model->units, session_sharding(&options));
    timer->session.fsdp = fsdp;
    fsdp_initialise(fsdp, 0);
    for (int unit = 0; unit < 2; unit++) { /* the root, which holds what layers share, and the first layer */
        fsdp_gather(fsdp, unit);
        fsdp_begin_gradient(fsdp, unit);
    }
    return OK;
}

void speed_timer_close(SpeedTimer *timer) {
    if (!timer) return;
    session_close(&timer->session);
    free(timer);
}

/* Runs forward and, with `backward`, also backward from the output's gradient. */
static void run_mixer(SpeedTimer *timer, const Device *device, Memory *m, bool backward) {
    const Layer *layer = &timer->session.model->layer[0];
    Tensor x = tensor_of(m->x, m->rows, m->cols, timer->type);
    arena_rewind(&m->keep, 0);
    arena_rewind(&m->scratch, 0);
    tape_begin(&timer->tape, device, &m->keep, &m->scratch, timer->type, &m->batch, true, RECOMPUTE_NONE);
    Tensor *y = layer->mixer->forward(layer, &timer->tape, &x);
    CHECK(y->rows == x.rows && y->cols == x.cols && y->stride == x.cols, "the output of %s", layer->mixer->model_type);
    if (!backward) return;
    tape_seed_gradient(y, m->gradient);
    tape_backward(&timer->tape);
}

static int64_t row_bytes(const SpeedTimer *timer, const Memory *m) { return m->cols * dtype_size(timer->type); }

/* Gives everything but keep and scratch its place in `all`. */
static void place(const SpeedTimer *timer, Memory *m) {
    m->x = arena_push(&m->all, m->rows * row_bytes(timer, m));
    m->gradient = arena_push(&m->all, m->rows * row_bytes(timer, m));
    m->batch.position = arena_push(&m->all, m->rows * (int64_t)sizeof(int32_t));
    m->batch.segment = arena_push(&m->all, m->rows * (int64_t)sizeof(int32_t));
    m->batch.labels = m->batch.tokens = m->batch.segment; /* all 0: one document, and a label for every token */
}

static Arena part_of(Arena *all, const char *name, int64_t bytes) {
    return (Arena){.name = name, .device = all->device, .base = arena_push(all, bytes), .capacity = bytes};
}

/* Sizes the arenas by a run on the counting device. False if there is not enough memory. */
static bool allocate(SpeedTimer *timer, Memory *m) {
    const Device *device = timer->session.device, *counting = device_counting(device->gpu);
    m->all = arena_counting("inputs", counting);
    m->keep = arena_counting("keep", counting);
    m->scratch = arena_counting("scratch", counting);
    place(timer, m);
    run_mixer(timer, counting, m, true);
    const int64_t keep = m->keep.peak, scratch = m->scratch.peak;
    const int64_t bytes = m->all.used + keep + scratch;
    void *memory = bytes <= device->available(1) ? device->allocate(bytes) : NULL;
    if (!memory) return false;
    m->all = (Arena){.name = "speed", .device = device, .base = memory, .capacity = bytes};
    place(timer, m);
    m->keep = part_of(&m->all, "keep", keep);
    m->scratch = part_of(&m->all, "scratch", scratch);
    return true;
}

/* Fills a matrix with normally distributed numbers, the same ones in every DRAWN_ROWS rows. */
static void fill_normal(const SpeedTimer *timer, const Memory *m, void *to, const char *name) {
    const Device *device = timer->session.device;
    const int64_t drawn = m->rows < DRAWN_ROWS ? m->rows : DRAWN_ROWS, count = drawn * m->cols;
    const int64_t bytes = count * (int64_t)sizeof(float), row = row_bytes(timer, m);
    float *values = malloc((size_t)bytes);
    void *raw = device_memory(device, bytes, "inputs");
    CHECK_MEMORY(values, "out of memory");
    rng_normal(0, rng_key(name), 0, count, 0, 1, values);
    device_upload(device, raw, values, bytes);
    const CastArguments cast = {.from = raw, .to = to, .count = count};
    device->launch(KERNEL_cast, timer->type, (Grid){blocks_of(count, CAST_BLOCK), 1, 1}, &cast);
    for (int64_t first = drawn; first < m->rows; first += drawn) {
        const int64_t rows = m->rows - first < drawn ? m->rows - first : drawn;
        device->copy((char *)to + first * row, row, to, row, rows, row);
    }
    device->synchronize();
    device->release(raw, bytes);
    free(values);
}

static void fill_inputs(const SpeedTimer *timer, Memory *m) {
    const Device *device = timer->session.device;
    const int64_t bytes = m->rows * (int64_t)sizeof(int32_t);
    int32_t *position = malloc((size_t)bytes);
    CHECK_MEMORY(position, "out of memory");
    for (int64_t i = 0; i < m->rows; i++) position[i] = (int32_t)(i % m->batch.T);
    device_upload(device, (void *)m->batch.position, position, bytes);
    device->fill((void *)m->batch.segment, 0, 1, bytes, bytes);
    free(position);
    fill_normal(timer, m, m->x, "input");
    fill_normal(timer, m, m->gradient, "gradient");
}

static double median_seconds(SpeedTimer *timer, Memory *m, bool backward, int64_t repeats) {
    const Device *device = timer->session.device;
    double *seconds = calloc((size_t)repeats, sizeof *seconds);
    CHECK_MEMORY(seconds, "out of memory");
    for (int64_t i = -WARM_UP; i < repeats; i++) {
        device->synchronize();
        const double start = seconds_now();
        run_mixer(timer, device, m, backward);
        device->synchronize();
        if (i >= 0) seconds[i] = seconds_now() - start;
    }
    const double median = sample_median(seconds, (int)repeats);
    free(seconds);
    return median;
}

SpeedTimes speed_timer_run(SpeedTimer *timer, int64_t B, int64_t T, int64_t repeats) {
    Memory m = {.rows = B * T, .cols = timer->session.model->config.hidden_size, .batch = {.B = B, .T = T}};
    if (!allocate(timer, &m)) return (SpeedTimes){NAN, NAN};
    fill_inputs(timer, &m);
    const SpeedTimes times = {.forward = median_seconds(timer, &m, false, repeats),
                              .forward_backward = median_seconds(timer, &m, true, repeats)};
    timer->session.device->release(m.all.base, m.all.capacity);
    return times;
}
