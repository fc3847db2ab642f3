/* A sharded model on any mesh of ranks against a copy that each rank keeps whole: initial weights, gathering,
 * gradients of several micro-batches, AdamW, buffers. Started by mpirun; a failed check ends every rank. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "parallel/optimizer.h"
#include "support/comm_late.h"

enum { UNITS = 4, SEED = 11, MICRO_BATCHES = 3, STEPS = 4 };

typedef struct Variant {
    bool share_memory, reshard, late; /* late: collectives run only at their wait (comm_late.h) */
    DType type;
    int replicas;
} Variant;

static void add_parameter(Unit *unit, int64_t rows, int64_t cols, bool decay, Init init) {
    const int i = unit->parameters++;
    Parameter *p = &unit->parameter[i];
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "unit.%lld.%d.weight", (long long)rows, i);
    p->dims = rows > 1 ? 2 : 1;
    p->elements = rows * cols;
    p->init = init;
    p->decay = decay;
    p->tensor = tensor_of(NULL, rows, cols, F32);
    p->tensor.parameter = true;
    unit_place_last(unit);
}

/* Sizes that no number of ranks divides, with gaps between the parameters; a unit smaller than the padding of seven
 * ranks. */
static void make_units(Unit units[UNITS]) {
    memset(units, 0, UNITS * sizeof *units);
    const int64_t sizes[UNITS][3][2] = {{{301, 33}, {1, 33}, {7, 33}},
                                        {{5, 7}, {1, 13}, {1, 1}},
                                        {{257, 129}, {1, 129}, {63, 129}},
                                        {{1, 3}, {1, 1}, {1, 2}}};
    for (int u = 0; u < UNITS; u++) {
        snprintf(units[u].name, sizeof units[u].name, "unit.%d", u);
        add_parameter(&units[u], sizes[u][0][0], sizes[u][0][1], true, (Init){INIT_NORMAL, 0, 0.02});
        add_parameter(&units[u], sizes[u][1][0], sizes[u][1][1], false, (Init){INIT_CONSTANT, 1, 0});
        add_parameter(&units[u], sizes[u][2][0], sizes[u][2][1], true, (Init){INIT_UNIFORM, -0.5, 0.5});
    }
    for (int u = 0; u < UNITS; u++) /* at the start, in the middle, at the end, and all of a unit but one element */
        for (int i = 0; i < 3; i++)
            if (u == 3 ? i != 1 : u == i) units[u].parameter[i].moving_average = 0.999;
}

/* The whole model in fp64, as one rank alone would keep it. */
typedef struct Whole {
    double *p[UNITS], *m[UNITS], *s[UNITS];
    float *gradient[UNITS];
} Whole;

static void *zeros(int64_t count, size_t size) {
    void *memory = calloc((size_t)count, size);
    CHECK(memory, "out of memory");
    return memory;
}

static void whole_initialise(Whole *whole, const Unit units[UNITS]) {
    for (int u = 0; u < UNITS; u++) {
        const int64_t n = units[u].elements;
        float *values = zeros(n, sizeof *values);
        whole->p[u] = zeros(n, sizeof(double)), whole->m[u] = zeros(n, sizeof(double)),
        whole->s[u] = zeros(n, sizeof(double));
        whole->gradient[u] = zeros(n, sizeof(float));
        for (int i = 0; i < 3; i++) {
            const Parameter *p = &units[u].parameter[i];
            const uint64_t key = rng_key(p->name);
            if (i == 0) rng_normal(SEED, key, 0, p->elements, 0, 0.02, values + p->offset);
            if (i == 2) rng_uniform(SEED, key, 0, p->elements, -0.5, 0.5, values + p->offset);
            for (int64_t e = 0; i == 1 && e < p->elements; e++) values[p->offset + e] = 1;
        }
        for (int64_t e = 0; e < n; e++) whole->p[u][e] = values[e];
        free(values);
    }
}

static void whole_destroy(Whole *whole) {
    for (int u = 0; u < UNITS; u++) free(whole->p[u]), free(whole->m[u]), free(whole->s[u]), free(whole->gradient[u]);
}

static bool is_parameter(const Unit *unit, int64_t e) {
    for (int i = 0; i < unit->parameters; i++) {
        const Parameter *p = &unit->parameter[i];
        if (e >= p->offset && e < p->offset + p->elements) return true;
    }
    return false;
}

static float gradient_of(int rank, int step, int micro, int u, int64_t e) {
    const uint32_t hash =
        (uint32_t)(e * 2654435761u) ^ (uint32_t)(rank * 7919 + step * 104729 + micro * 1299709 + u * 15485863);
    return ((float)(hash * 2246822519u >> 12) / 1048576.0f - 0.5f) * (e % 5 ? 1.0f : 40.0f);
}

/* The gathered parameters are the rounded master, element by element. */
static void check_gathered(const Unit *unit, const double *want, DType type, double tolerance) {
    for (int i = 0; i < unit->parameters; i++) {
        const Parameter *p = &unit->parameter[i];
        CHECK(p->tensor.data && p->tensor.type == type, "%s is not gathered", p->name);
        for (int64_t e = 0; e < p->elements; e++) {
            const double expected = want[p->offset + e], error = tolerance * (1e-3 + fabs(expected));
            const double got = type == F32 ? ((float *)p->tensor.data)[e] : bf16_to_float(((bf16 *)p->tensor.data)[e]);
            const double rounding = type == F32 ? 0 : fabs(expected) * 0x1p-8;
            CHECK(fabs(got - expected) <= error + rounding, "%s[%lld] is %.9g, not %.9g", p->name, (long long)e, got,
                  expected);
        }
    }
}

static void add_gradients(Unit *unit, int u, int rank, int step, int micro) {
    for (int i = 0; i < unit->parameters; i++) {
        Parameter *p = &unit->parameter[i];
        for (int64_t e = 0; e < p->elements; e++)
            ((float *)p->tensor.gradient)[e] += gradient_of(rank, step, micro, u, p->offset + e);
    }
}

/* Gathers and reduces the units in the order of a micro-batch. */
static void micro_batch(Fsdp *fsdp, Unit units[UNITS], const Whole *whole, Variant v, int step, int micro) {
    const int rank = fsdp_mesh(fsdp)->world->rank;
    const double tolerance = step == 0 ? 0 : 3e-5;
    fsdp_gather(fsdp, 0);
    for (int u = 1; u < UNITS; u++) {
        fsdp_gather(fsdp, u);
        if (u + 1 < UNITS) fsdp_prefetch(fsdp, u + 1);
        check_gathered(&units[u], whole->p[u], v.type, tolerance);
        fsdp_release(fsdp, u);
    }
    fsdp_begin_gradient(fsdp, 0);
    add_gradients(&units[0], 0, rank, step, micro);
    for (int u = UNITS - 1; u > 0; u--) {
        fsdp_gather(fsdp, u);
        if (u > 1) fsdp_prefetch(fsdp, u - 1);
        fsdp_begin_gradient(fsdp, u);
        check_gathered(&units[u], whole->p[u], v.type, tolerance);
        add_gradients(&units[u], u, rank, step, micro);
        fsdp_release(fsdp, u);
        fsdp_reduce_gradient(fsdp, u, micro == MICRO_BATCHES - 1);
    }
    check_gathered(&units[0], whole->p[0], v.type, tolerance);
    fsdp_release(fsdp, 0);
    fsdp_reduce_gradient(fsdp, 0, micro == MICRO_BATCHES - 1);
}

static float replica_gradient(int first_rank, int ranks, int step, int u, int64_t e) {
    float total = 0;
    for (int micro = 0; micro < MICRO_BATCHES; micro++) {
        float sum = gradient_of(first_rank, step, micro, u, e);
        for (int r = 1; r < ranks; r++) sum += gradient_of(first_rank + r, step, micro, u, e);
        total = micro == 0 ? sum : total + sum;
    }
    return total;
}

/* Sums in rank order per micro-batch, then over micro-batches, then over replicas: the shards hold these bits. */
static void whole_gradients(Whole *whole, const Unit units[UNITS], int replicas, int shards, int step) {
    for (int u = 0; u < UNITS; u++)
        for (int64_t e = 0; e < units[u].elements; e++) {
            whole->gradient[u][e] = 0;
            if (!is_parameter(&units[u], e)) continue;
            whole->gradient[u][e] = replica_gradient(0, shards, step, u, e);
            for (int r = 1; r < replicas; r++)
                whole->gradient[u][e] += replica_gradient(r * shards, shards, step, u, e);
        }
}

static void check_gradient_shards(const Unit units[UNITS], const Whole *whole) {
    for (int u = 0; u < UNITS; u++)
        for (int64_t i = 0; i < units[u].shard; i++) {
            const int64_t e = units[u].first + i;
            const float want = e < units[u].elements ? whole->gradient[u][e] : 0;
            CHECK(units[u].gradient_shard[i] == want, "gradient of unit %d, element %lld: %g, not %g", u, (long long)e,
                  (double)units[u].gradient_shard[i], (double)want);
        }
}

/* Gaps and padding are zero in every shard, whatever has been added, reduced and updated. */
static void check_gaps(const Unit *unit, const float *shard) {
    for (int64_t i = 0; i < unit->shard; i++)
        CHECK(is_parameter(unit, unit->first + i) || shard[i] == 0, "element %lld of %s lies in a gap and is %g",
              (long long)(unit->first + i), unit->name, (double)shard[i]);
}

static double whole_norm(const Whole *whole, const Unit units[UNITS], double scale) {
    double sum = 0;
    for (int u = 0; u < UNITS; u++)
        for (int i = 0; i < 3; i++) {
            const Parameter *p = &units[u].parameter[i];
            for (int64_t e = p->offset; p->moving_average == 0 && e < p->offset + p->elements; e++)
                sum += pow(scale * (double)whole->gradient[u][e], 2);
        }
    return sqrt(sum);
}

/* torch.nn.utils.clip_grad_norm_ and torch.optim.AdamW, and the moving averages of buffers, in fp64. */
static void whole_update(Whole *whole, const Unit units[UNITS], const OptimizerOptions *o, int t, double lr,
                         double scale) {
    const double norm = whole_norm(whole, units, scale), clip = fmin(1, o->max_norm / (norm + 1e-6));
    for (int u = 0; u < UNITS; u++)
        for (int i = 0; i < 3; i++) {
            const Parameter *q = &units[u].parameter[i];
            for (int64_t e = q->offset; e < q->offset + q->elements; e++) {
                const double g = (double)whole->gradient[u][e] * scale * clip;
                double *p = &whole->p[u][e], *m = &whole->m[u][e], *s = &whole->s[u][e];
                if (q->moving_average > 0) {
                    *p = q->moving_average * *p + (1 - q->moving_average) * (double)whole->gradient[u][e];
                    continue;
                }
                if (q->decay || o->decay_all) *p *= 1 - lr * o->weight_decay;
                *m = o->beta1 * *m + (1 - o->beta1) * g;
                *s = o->beta2 * *s + (1 - o->beta2) * g * g;
                *p -= lr / (1 - pow(o->beta1, t)) * *m / (sqrt(*s) / sqrt(1 - pow(o->beta2, t)) + o->eps);
            }
        }
}

/* If a gradient is not finite on one rank, no rank changes anything. */
static void check_skip(Fsdp *fsdp, Unit units[UNITS], const OptimizerOptions *options) {
    const float before = units[2].master[0], moment = units[2].exp_avg[0];
    const Comm *world = fsdp_mesh(fsdp)->world;
    for (int64_t i = 0; world->rank == 0 && i < units[2].shard; i++) units[2].gradient_shard[i] = INFINITY;
    const OptimizerResult result = optimizer_step(fsdp, options, 9, 0.1, 1);
    CHECK(result.skipped && !isfinite(result.gradient_norm), "a step with an infinite gradient is not skipped");
    CHECK(units[2].master[0] == before && units[2].exp_avg[0] == moment, "a skipped step has changed something");
}

/* How often a step gathers a unit. Once, or with reshard_after_forward a block in each micro-batch and direction; but
 * what is still in the buffer is not fetched again: the last block for its backward, the first for the next forward.
 * With two buffers, unit 2 has one for itself. */
static int64_t gathers_per_step(int u, bool reshard, bool copies, bool two_buffers) {
    if (!reshard || u == 0 || (two_buffers && u == 2)) return 1;
    if (copies && u == UNITS - 1) return MICRO_BATCHES;
    return copies && u == 1 ? MICRO_BATCHES + 1 : 2 * MICRO_BATCHES;
}

/* Every unit is reduced once per micro-batch, in fp32; between replicas it is gathered and reduced once per step. */
static int64_t bytes_per_step(const Mesh *mesh, const Unit units[UNITS], Variant v, bool copies) {
    int64_t bytes = 0;
    for (int u = 0; u < UNITS; u++) {
        const int64_t slice = v.replicas * units[u].shard, size = dtype_size(v.type);
        const int64_t per_element = gathers_per_step(u, v.reshard, copies, v.late) * size + MICRO_BATCHES * 4;
        bytes += (mesh->shards->size - 1) * slice * per_element + (v.replicas - 1) * units[u].shard * (size + 4);
    }
    return bytes;
}

static int64_t bytes_sent(const Mesh *mesh) { return mesh->shards->bytes_sent + mesh->replicas->bytes_sent; }

/* The mesh of a variant. With late communicators, the test builds it itself. */
static Mesh create_mesh(Comm *world, Variant v) {
    Mesh mesh;
    CHECK(mesh_create(world, device_cpu(), v.replicas, &mesh) == OK, "mesh_create");
    if (v.late) {
        mesh.shards = comm_late_create(mesh.host_shards);
        mesh.replicas = comm_late_create(mesh.host_replicas);
    }
    return mesh;
}

static void check_variant(Variant v) {
    Comm *world = NULL;
    if (v.share_memory)
        CHECK(comm_create(&world) == OK, "comm_create");
    else
        world = comm_mpi_create(false);
    Mesh mesh = create_mesh(world, v);
    Unit units[UNITS];
    Whole whole;
    make_units(units);
    whole_initialise(&whole, units);
    Fsdp *fsdp = fsdp_create(
        &mesh, device_cpu(), units, UNITS,
        (FsdpOptions){.type = v.type, .reshard_after_forward = v.reshard, .training = true, .overlap = true});
    fsdp_initialise(fsdp, SEED);
    OptimizerOptions options = optimizer_default_options();
    options.eps = 1e-6;
    for (int step = 0; step < STEPS; step++) {
        const double scale = 1.0 / (500 * world->size), lr = 0.01 / (1 + step);
        options.max_norm = step % 2 ? 1e6 : 0.05;
        options.decay_all = step == 2;
        const int64_t before = bytes_sent(&mesh);
        for (int micro = 0; micro < MICRO_BATCHES; micro++) micro_batch(fsdp, units, &whole, v, step, micro);
        CHECK(bytes_sent(&mesh) - before == bytes_per_step(&mesh, units, v, !v.share_memory), "bytes sent");
        whole_gradients(&whole, units, v.replicas, mesh.shards->size, step);
        check_gradient_shards(units, &whole);
        const OptimizerResult result = optimizer_step(fsdp, &options, step + 1, lr, scale);
        const double norm = whole_norm(&whole, units, scale);
        CHECK(!result.skipped && fabs(result.gradient_norm / norm - 1) < 1e-12, "norm %.15g, not %.15g",
              result.gradient_norm, norm);
        whole_update(&whole, units, &options, step + 1, lr, scale);
        if (step == STEPS - 1) check_skip(fsdp, units, &options);
        fsdp_end_step(fsdp);
    }
    for (int u = 0; u < UNITS; u++) {
        fsdp_gather(fsdp, u);
        check_gathered(&units[u], whole.p[u], v.type, 3e-5);
        check_gaps(&units[u], units[u].master);
        check_gaps(&units[u], units[u].exp_avg);
        check_gaps(&units[u], units[u].exp_avg_sq);
    }
    whole_destroy(&whole);
    fsdp_destroy(fsdp);
    mesh_destroy(&mesh);
    comm_destroy(world);
}

int main(void) {
    Comm *outer = comm_mpi_create(false); /* MPI is finalised with this communicator */
    for (int replicas = 1; replicas <= outer->size; replicas++) {
        if (outer->size % replicas) continue;
        for (int bits = 0; bits < 8; bits++)
            check_variant((Variant){bits & 1, bits & 2, false, bits & 4 ? BF16 : F32, replicas});
        if (outer->size == 1) continue;
        for (int bits = 0; bits < 4; bits++)
            check_variant((Variant){false, bits & 1, true, bits & 2 ? BF16 : F32, replicas});
    }
    comm_destroy(outer);
    return 0;
}
