#include "parallel/fsdp.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/add.h"
#include "core/initial_values.h"
#include "kernels/basic/cast/cast.h"

enum { SHARD_MULTIPLE = 32 }; /* elements: 64 bytes of bf16, so that shards next to each other are aligned */

/* The private state of a unit. */
typedef struct UnitState {
    void *source;  /* this rank's slice in the compute type; with F32 and one replica it is the master shard itself */
    float *sum;    /* the gradient of the slice; gradient_shard points into it */
    void *whole;   /* all elements in the compute type; NULL while another unit uses the buffer */
    void *rounded; /* offload: host copy of the shard in the compute type; with F32 it is the master itself */
    bool fresh;    /* `whole` is up to date */
    bool has_gradient; /* `sum` holds a gradient, summed over the replica */
} UnitState;

struct Fsdp {
    const Mesh *mesh;
    Comm *comm; /* over the ranks of the replica */
    const Device *device;
    Unit *unit;
    int units;
    FsdpOptions options;
    bool shares;      /* ranks map each other's sources: `whole` is a view, never a copy */
    bool stale;       /* the masters have changed since the sources were made */
    UnitState *state; /* [units] */
    int turns;        /* number of shared buffers: unit u uses buffer u % turns */
    void *slot[2];    /* for parameters; NULL: each unit has its own */
    int slot_unit[2]; /* the unit that each buffer holds, or -1 */
    float *root_gradient, *block_gradient[2];
    int reducing; /* the unit whose gradient is being reduced, or -1 */
};

/* Elements of one rank's shard; it depends on the number of ranks only, not on the mesh. */
static int64_t shard_elements(const Unit *unit, int world_size) {
    const int64_t multiple = (int64_t)world_size * SHARD_MULTIPLE;
    return (unit->elements + multiple - 1) / multiple * SHARD_MULTIPLE;
}

static int64_t largest_shard(const Unit *units, int count, int world_size) {
    int64_t largest = 0;
    for (int u = 1; u < count; u++) {
        const int64_t shard = shard_elements(&units[u], world_size);
        largest = shard > largest ? shard : largest;
    }
    return largest;
}

FsdpMemory fsdp_memory(int world_size, bool one_host, const Unit *units, int count, FsdpOptions options) {
    FsdpMemory memory = {0};
    const int64_t size = dtype_size(options.type), root = shard_elements(&units[0], world_size);
    const int64_t turns = largest_shard(units, count, world_size) * (options.overlap ? 2 : 1);
    const int64_t slice = options.replicas, others = world_size - slice; /* counted in shards */
    int64_t shards = 0;
    for (int u = 0; u < count; u++) shards += shard_elements(&units[u], world_size);
    memory.parameters = options.frozen && options.type != F32 ? 0 : shards * (int64_t)sizeof(float);
    memory.gathered += (options.type == BF16 || options.offload ? slice : slice - 1) * shards * size;
    if (options.type == BF16 && options.offload) memory.copies += shards * size;
    if (one_host)
        memory.others += others * shards * size;
    else
        memory.gathered += world_size * size * (options.reshard_after_forward ? root + turns : shards);
    if (!options.training) return memory;
    memory.gradients = slice * memory.parameters;
    memory.moments = 2 * memory.parameters;
    if (options.offload) memory.copies += memory.parameters;
    if (others > 0) memory.gathered_gradients = world_size * (root + turns) * (int64_t)sizeof(float);
    if (one_host) memory.others += others * (root + turns) * (int64_t)sizeof(float);
    return memory;
}

static int64_t slice_elements(const Fsdp *fsdp, int u) { return fsdp->mesh->replicas->size * fsdp->unit[u].shard; }
static int64_t whole_elements(const Fsdp *fsdp, int u) { return fsdp->comm->size * slice_elements(fsdp, u); }
/* Offset of this rank's shard in its slice, in elements. */
static int64_t shard_in_slice(const Fsdp *fsdp, int u) { return fsdp->mesh->replicas->rank * fsdp->unit[u].shard; }

/* Bytes in the compute type. */
static int64_t shard_bytes(const Fsdp *fsdp, int u) { return fsdp->unit[u].shard * dtype_size(fsdp->options.type); }
static int64_t slice_bytes(const Fsdp *fsdp, int u) { return fsdp->mesh->replicas->size * shard_bytes(fsdp, u); }
static void *shard_of_source(const Fsdp *fsdp, int u) {
    return (char *)fsdp->state[u].source + fsdp->mesh->replicas->rank * shard_bytes(fsdp, u);
}

static void *staging_memory(const Fsdp *fsdp, int64_t bytes) {
    void *memory = fsdp->device->allocate_host(bytes);
    if (!memory)
        memory_refused(bytes, "a shard's copy on the host",
                       "Set training.enable_cpu_offload: false, or use more ranks");
    return memory;
}

/* If a matrix's rows can be aligned, they must be. Otherwise its products would be slower without any warning. */
static void check_alignment(const Unit *unit, DType type) {
    const int64_t size = dtype_size(type);
    for (int i = 0; i < unit->parameters; i++) {
        const Parameter *p = &unit->parameter[i];
        const bool alignable = p->dims == 2 && p->tensor.cols * size % GEMM_ALIGNMENT == 0;
        CHECK(!alignable || p->offset * size % GEMM_ALIGNMENT == 0,
              "%s begins at element %lld of %s, which is not aligned for matrix products", p->name,
              (long long)p->offset, unit->name);
    }
}

/* Allocates the master shard and its copy in the compute type. They are the same memory if type and device are the
 * same. */
static void create_parameters(Fsdp *fsdp, int u) {
    Unit *unit = &fsdp->unit[u];
    UnitState *state = &fsdp->state[u];
    Comm *comm = fsdp->comm;
    const bool fp32 = fsdp->options.type == F32;
    state->source = comm->f->allocate(comm, slice_bytes(fsdp, u));
    unit->master =
        fp32 && !fsdp->options.offload
            ? shard_of_source(fsdp, u)
            : device_memory(unit->update_device, unit->shard * (int64_t)sizeof(float), "a shard of the parameters");
    if (fsdp->options.offload) state->rounded = fp32 ? unit->master : staging_memory(fsdp, shard_bytes(fsdp, u));
}

static void create_shards(Fsdp *fsdp, int u) {
    Unit *unit = &fsdp->unit[u];
    check_alignment(unit, fsdp->options.type);
    unit->shard = shard_elements(unit, fsdp->mesh->world->size);
    unit->first = fsdp->comm->rank * slice_elements(fsdp, u) + shard_in_slice(fsdp, u);
    unit->device = fsdp->device;
    unit->update_device = fsdp->options.offload ? device_cpu() : fsdp->device;
    create_parameters(fsdp, u);
    unit->gathered = NULL;
    unit->gradient = unit->gradient_shard = unit->update_gradient = unit->exp_avg = unit->exp_avg_sq = NULL;
    for (int i = 0; i < unit->parameters; i++) {
        Tensor *tensor = &unit->parameter[i].tensor;
        tensor->type = fsdp->options.type;
        tensor->data = tensor->gradient = NULL;
    }
    if (!fsdp->options.training) return;
    const int64_t bytes = unit->shard * (int64_t)sizeof(float);
    fsdp->state[u].sum =
        device_memory(fsdp->device, slice_elements(fsdp, u) * (int64_t)sizeof(float), "sums of gradients");
    unit->gradient_shard = fsdp->state[u].sum + shard_in_slice(fsdp, u);
    unit->exp_avg = device_memory(unit->update_device, bytes, "a shard of the first moments");
    unit->exp_avg_sq = device_memory(unit->update_device, bytes, "a shard of the second moments");
    unit->update_gradient = fsdp->options.offload ? staging_memory(fsdp, bytes) : unit->gradient_shard;
}

/* Elements of the largest block. */
static int64_t turn_elements(const Fsdp *fsdp) {
    const int ranks = fsdp->mesh->world->size;
    return ranks * largest_shard(fsdp->unit, fsdp->units, ranks);
}

static void create_whole_parameters(Fsdp *fsdp) {
    Comm *comm = fsdp->comm;
    const int64_t size = dtype_size(fsdp->options.type);
    fsdp->shares = comm->f->whole(comm, fsdp->state[0].source) != NULL;
    for (int u = 0; u < fsdp->units; u++) {
        if (fsdp->shares)
            fsdp->state[u].whole = (void *)comm->f->whole(comm, fsdp->state[u].source);
        else if (u == 0 || !fsdp->options.reshard_after_forward)
            fsdp->state[u].whole = comm->f->allocate(comm, whole_elements(fsdp, u) * size);
    }
    for (int turn = 0; turn < fsdp->turns; turn++) {
        fsdp->slot_unit[turn] = -1;
        if (!fsdp->shares && fsdp->options.reshard_after_forward)
            fsdp->slot[turn] = comm->f->allocate(comm, turn_elements(fsdp) * size);
    }
}

static void create_whole_gradients(Fsdp *fsdp) {
    Comm *comm = fsdp->comm;
    if (!fsdp->options.training || comm->size == 1) return;
    fsdp->root_gradient = comm->f->allocate(comm, whole_elements(fsdp, 0) * (int64_t)sizeof(float));
    for (int turn = 0; turn < fsdp->turns; turn++)
        fsdp->block_gradient[turn] = comm->f->allocate(comm, turn_elements(fsdp) * (int64_t)sizeof(float));
}

Fsdp *fsdp_create(const Mesh *mesh, const Device *device, Unit *units, int count, FsdpOptions options) {
    Fsdp *fsdp = calloc(1, sizeof *fsdp);
    CHECK_MEMORY(fsdp, "out of memory");
    *fsdp = (Fsdp){.mesh = mesh,
                   .comm = mesh->shards,
                   .device = device,
                   .unit = units,
                   .units = count,
                   .options = options,
                   .stale = true,
                   .turns = options.overlap && mesh->shards->f->asynchronous ? 2 : 1,
                   .reducing = -1};
    fsdp->state = calloc((size_t)count, sizeof *fsdp->state);
    CHECK_MEMORY(fsdp->state, "out of memory");
    for (int u = 0; u < count; u++) create_shards(fsdp, u);
    create_whole_parameters(fsdp);
    create_whole_gradients(fsdp);
    return fsdp;
}

static bool takes_turns(const Fsdp *fsdp, int u) { return fsdp->slot[0] && u > 0; }

static void release_shards(Fsdp *fsdp, int u) {
    Unit *unit = &fsdp->unit[u];
    const UnitState *state = &fsdp->state[u];
    const int64_t bytes = unit->shard * (int64_t)sizeof(float);
    if (unit->update_gradient != unit->gradient_shard) fsdp->device->release_host(unit->update_gradient, bytes);
    if (state->rounded && state->rounded != unit->master)
        fsdp->device->release_host(state->rounded, shard_bytes(fsdp, u));
    if (state->sum) fsdp->device->release(state->sum, slice_elements(fsdp, u) * (int64_t)sizeof(float));
    float *const master = unit->master == shard_of_source(fsdp, u) ? NULL : unit->master;
    float *const updated[] = {master, unit->exp_avg, unit->exp_avg_sq};
    for (int i = 0; i < 3; i++)
        if (updated[i]) unit->update_device->release(updated[i], bytes);
    fsdp->comm->f->release(fsdp->comm, state->source);
    unit->master = unit->gradient_shard = unit->update_gradient = unit->exp_avg = unit->exp_avg_sq = NULL;
}

void fsdp_destroy(Fsdp *fsdp) {
    Comm *comm = fsdp->comm;
    for (int u = 0; u < fsdp->units; u++) {
        if (!fsdp->shares && fsdp->state[u].whole && !takes_turns(fsdp, u))
            comm->f->release(comm, fsdp->state[u].whole);
        release_shards(fsdp, u);
    }
    void *const buffers[] = {fsdp->slot[0], fsdp->slot[1], fsdp->root_gradient, fsdp->block_gradient[0],
                             fsdp->block_gradient[1]};
    for (int i = 0; i < 5; i++)
        if (buffers[i]) comm->f->release(comm, buffers[i]);
    free(fsdp->state);
    free(fsdp);
}

const Mesh *fsdp_mesh(const Fsdp *fsdp) { return fsdp->mesh; }
const Device *fsdp_device(const Fsdp *fsdp) { return fsdp->device; }

Unit *fsdp_units(const Fsdp *fsdp, int *count) {
    *count = fsdp->units;
    return fsdp->unit;
}

void fsdp_initialise(Fsdp *fsdp, uint64_t seed) {
    for (int u = 0; u < fsdp->units; u++) unit_initialise(&fsdp->unit[u], seed);
    fsdp->stale = true;
}

static void round_master(const Fsdp *fsdp, const Unit *unit, void *to) {
    const CastArguments arguments = {.from = unit->master, .to = to, .count = unit->shard};
    unit->update_device->launch(KERNEL_cast, fsdp->options.type,
                                (Grid){(unit->shard + CAST_BLOCK - 1) / CAST_BLOCK, 1, 1}, &arguments);
}

/* Updates the source of a unit for this step: converts this rank's shard and gathers those of the other replicas. */
static void refresh_source(Fsdp *fsdp, int u) {
    const Unit *unit = &fsdp->unit[u];
    UnitState *state = &fsdp->state[u];
    Comm *replicas = fsdp->mesh->replicas;
    const int64_t bytes = shard_bytes(fsdp, u);
    void *shard = shard_of_source(fsdp, u), *rounded = state->rounded ? state->rounded : shard;
    if (rounded != unit->master) round_master(fsdp, unit, rounded);
    if (rounded != shard) fsdp->device->copy(shard, bytes, rounded, bytes, 1, bytes);
    replicas->subject = unit->name;
    replicas->f->all_gather(replicas, shard, state->source, bytes);
    state->fresh = fsdp->shares;
}

/* Updates the sources of all units; afterwards peers may read them. */
static void refresh_sources(Fsdp *fsdp) {
    fsdp->comm->f->wait_gathers(fsdp->comm);
    for (int u = 0; u < fsdp->units; u++) refresh_source(fsdp, u);
    fsdp->mesh->replicas->f->wait_gathers(fsdp->mesh->replicas);
    if (fsdp->shares && fsdp->comm->size > 1) fsdp->comm->f->barrier(fsdp->comm);
    fsdp->slot_unit[0] = fsdp->slot_unit[1] = -1;
    fsdp->stale = false;
}

/* Starts gathering unit u into state[u].whole; complete after wait_gathers. */
static void begin_gather(Fsdp *fsdp, int u) {
    UnitState *state = &fsdp->state[u];
    if (fsdp->stale) refresh_sources(fsdp);
    if (takes_turns(fsdp, u)) {
        const int turn = u % fsdp->turns;
        state->fresh = fsdp->slot_unit[turn] == u; /* the backward of the last block follows its forward */
        state->whole = fsdp->slot[turn];
        fsdp->slot_unit[turn] = u;
    }
    if (state->fresh) return;
    fsdp->comm->subject = fsdp->unit[u].name;
    fsdp->comm->f->all_gather(fsdp->comm, state->source, state->whole, slice_bytes(fsdp, u));
    state->fresh = true;
}

void fsdp_gather(Fsdp *fsdp, int u) {
    Unit *unit = &fsdp->unit[u];
    if (unit->gathered) return;
    begin_gather(fsdp, u);
    fsdp->comm->f->wait_gathers(fsdp->comm);
    unit->gathered = fsdp->state[u].whole;
    if (fsdp->shares) /* peers read this rank's slice in place, so nothing is sent */
        fsdp->comm->bytes_sent += (fsdp->comm->size - 1) * slice_bytes(fsdp, u);
    for (int i = 0; i < unit->parameters; i++) {
        Parameter *p = &unit->parameter[i];
        p->tensor.data = (char *)unit->gathered + p->offset * dtype_size(fsdp->options.type);
    }
}

void fsdp_prefetch(Fsdp *fsdp, int u) {
    if (fsdp->turns > 1 && !fsdp->unit[u].gathered) begin_gather(fsdp, u);
}

/* Takes the gathered parameters away from the unit. */
static void take_away(Unit *unit) {
    unit->gathered = NULL;
    for (int i = 0; i < unit->parameters; i++) unit->parameter[i].tensor.data = NULL;
}

void fsdp_release(Fsdp *fsdp, int u) {
    if (u > 0 && fsdp->options.reshard_after_forward) take_away(&fsdp->unit[u]);
}

static void set_gradients(Unit *unit, float *gradient) {
    unit->gradient = gradient;
    for (int i = 0; i < unit->parameters; i++) {
        Parameter *p = &unit->parameter[i];
        p->tensor.gradient = gradient ? gradient + p->offset : NULL;
    }
}

static float *whole_gradient(const Fsdp *fsdp, int u) {
    return u == 0 ? fsdp->root_gradient : fsdp->block_gradient[u % fsdp->turns];
}

void fsdp_begin_gradient(Fsdp *fsdp, int u) {
    Unit *unit = &fsdp->unit[u];
    CHECK(fsdp->options.training, "gradients of a model that does not train");
    const bool alone = fsdp->comm->size == 1;
    float *gradient = alone ? fsdp->state[u].sum : whole_gradient(fsdp, u);
    if (!alone || !fsdp->state[u].has_gradient) {
        const int64_t bytes = whole_elements(fsdp, u) * (int64_t)sizeof *gradient;
        fsdp->device->fill(gradient, 0, 1, bytes, bytes);
    }
    set_gradients(unit, gradient);
}

/* x += y, count elements, a multiple of SHARD_MULTIPLE. */
static void add_in_place(const Fsdp *fsdp, float *x, const float *y, int64_t count) {
    enum { COLS = 8192 };
    const int64_t rows = count / COLS, rest = count - rows * COLS;
    AddArguments arguments = {
        .x = x, .y = y, .z = x, .rows = rows, .cols = COLS, .x_stride = COLS, .y_stride = COLS, .z_stride = COLS};
    if (rows) add_launch(fsdp->device, F32, &arguments);
    arguments =
        (AddArguments){.x = x + rows * COLS, .y = y + rows * COLS, .z = x + rows * COLS, .rows = 1, .cols = rest};
    if (rest) add_launch(fsdp->device, F32, &arguments);
}

/* This rank's slice within the gradient buffer. It receives the result of a reduction, which is then added to the
 * slice's gradient. */
static float *own_slice(const Fsdp *fsdp, int u) {
    return whole_gradient(fsdp, u) + fsdp->comm->rank * slice_elements(fsdp, u);
}

static void begin_reduction(Fsdp *fsdp, int u) {
    const Unit *unit = &fsdp->unit[u];
    const UnitState *state = &fsdp->state[u];
    fsdp->comm->subject = unit->name;
    fsdp->comm->f->reduce_scatter(fsdp->comm, unit->gradient, state->has_gradient ? own_slice(fsdp, u) : state->sum,
                                  slice_elements(fsdp, u));
    fsdp->reducing = u;
}

/* Called when the reduction over the replica is complete. In the last micro-batch of a step, starts the one over
 * replicas. */
static void end_reduction(Fsdp *fsdp, int u, bool last) {
    const Unit *unit = &fsdp->unit[u];
    Comm *replicas = fsdp->mesh->replicas;
    fsdp->state[u].has_gradient = true;
    if (!last) return;
    replicas->subject = unit->name;
    replicas->f->reduce_scatter(replicas, fsdp->state[u].sum, unit->gradient_shard, unit->shard);
    if (u == 0) replicas->f->wait_reductions(replicas);
}

static void finish_reduction(Fsdp *fsdp, bool last) {
    const int u = fsdp->reducing;
    if (u < 0) return;
    fsdp->comm->f->wait_reductions(fsdp->comm);
    if (fsdp->state[u].has_gradient)
        add_in_place(fsdp, fsdp->state[u].sum, own_slice(fsdp, u), slice_elements(fsdp, u));
    fsdp->reducing = -1;
    end_reduction(fsdp, u, last);
}

void fsdp_reduce_gradient(Fsdp *fsdp, int u, bool last) {
    Unit *unit = &fsdp->unit[u];
    CHECK(unit->gradient, "unit %s has no gradient to reduce", unit->name);
    if (fsdp->comm->size == 1) {
        end_reduction(fsdp, u, last);
    } else {
        finish_reduction(fsdp, last);
        begin_reduction(fsdp, u);
        if (fsdp->turns == 1 || u == 0) finish_reduction(fsdp, last);
    }
    set_gradients(unit, NULL);
}

void fsdp_end_step(Fsdp *fsdp) {
    fsdp->stale = true;
    for (int u = 0; u < fsdp->units; u++) {
        fsdp->state[u].fresh = fsdp->state[u].has_gradient = false;
        take_away(&fsdp->unit[u]);
    }
}

void fsdp_begin_update(Fsdp *fsdp) {
    for (int u = 0; u < fsdp->units; u++) {
        const Unit *unit = &fsdp->unit[u];
        const int64_t bytes = unit->shard * (int64_t)sizeof(float);
        if (unit->update_gradient != unit->gradient_shard)
            fsdp->device->copy(unit->update_gradient, bytes, unit->gradient_shard, bytes, 1, bytes);
    }
}

void fsdp_refresh(Fsdp *fsdp) {
    if (fsdp->stale) refresh_sources(fsdp);
}

void fsdp_freeze(Fsdp *fsdp) {
    CHECK(!fsdp->options.training && !fsdp->options.offload, "freezing a model that trains");
    refresh_sources(fsdp);
    fsdp->device->synchronize(); /* the masters are read until then */
    for (int u = 0; u < fsdp->units; u++) {
        Unit *unit = &fsdp->unit[u];
        if (unit->master == shard_of_source(fsdp, u)) continue;
        unit->update_device->release(unit->master, unit->shard * (int64_t)sizeof(float));
        unit->master = NULL;
    }
}

const void *fsdp_slice(const Fsdp *fsdp, int unit, int64_t *bytes) {
    *bytes = slice_bytes(fsdp, unit);
    return fsdp->state[unit].source;
}

bool fsdp_has_gradient(const Fsdp *fsdp) { return fsdp->state[0].has_gradient; }

void fsdp_replayed(Fsdp *fsdp) {
    for (int u = 0; u < fsdp->units; u++) fsdp->state[u].has_gradient = true;
}
