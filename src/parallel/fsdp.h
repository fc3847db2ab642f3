/* Sharding: every rank owns a contiguous part of each unit's parameters, gradients and moments; a unit exists whole only
 * while its block runs. One all-gather and one fp32 reduce-scatter per unit and direction. */
#ifndef FLAME_PARALLEL_FSDP_H
#define FLAME_PARALLEL_FSDP_H

#include "core/parameter.h"
#include "parallel/comm.h"

typedef struct Fsdp Fsdp;

typedef struct FsdpOptions {
    DType type;                 /* of the gathered parameters: F32 or BF16 */
    bool reshard_after_forward; /* false: units stay gathered from forward to backward */
    bool training;              /* false: no gradients, no moments (evaluation) */
} FsdpOptions;

/* Lays out the shards of `units` units (unit 0 is the root: embeddings, final norm, head; it stays gathered for the whole
 * micro-batch) and allocates them, zeroed. */
Fsdp *fsdp_create(Comm *comm, const Device *device, Unit *units, int count, FsdpOptions options);
void fsdp_destroy(Fsdp *fsdp);
/* Bytes per rank that fsdp_create would allocate, by part, without allocating: for the memory plan. */
typedef struct FsdpMemory {
    int64_t parameters, gradients, moments, gathered, gathered_gradients;
} FsdpMemory;
FsdpMemory fsdp_memory(int world_size, const Unit *units, int count, FsdpOptions options);

/* Starts gathering a unit early; returns at once where the communicator can. */
void fsdp_prefetch(Fsdp *fsdp, int unit);
/* The unit's parameters exist whole when this returns: every parameter's tensor.data is set. */
void fsdp_gather(Fsdp *fsdp, int unit);
/* The block has run forward (or backward): the whole parameters are no longer needed by it. */
void fsdp_release(Fsdp *fsdp, int unit, bool backward_follows);
/* Gives the unit a zeroed whole gradient: every parameter's tensor.gradient is set. */
void fsdp_begin_gradient(Fsdp *fsdp, int unit);
/* Sums the whole gradient over ranks, adds this rank's part to gradient_shard, and takes the whole one away. */
void fsdp_reduce_gradient(Fsdp *fsdp, int unit);
/* After the optimizer: gathered copies are out of date; gradient shards are zeroed. */
void fsdp_end_step(Fsdp *fsdp);

#endif
