/* Sharding: every rank owns a contiguous part of each unit's parameters, gradients and moments, its shard; a unit
 * exists whole only while its block runs. Gradients are summed over ranks in fp32, in rank order.
 *
 * With replicas (a mesh of R x S ranks) a unit is first cut into S slices and each of these into R shards:
 *
 *   slice     [ shard of replica 0 | shard of replica 1 | ... ]     on R ranks, number s of each replica
 *   kept      parameters in the compute type, and the sum of gradients over the replica
 *
 * Each block is gathered and its gradient reduced within the replica, slice by slice. In the last micro-batch of a step
 * the replicas reduce their sums of a slice to shards; each rank updates its shard, and the new parameters are gathered
 * into slices. So no replica keeps moments or updates parameters for another, and one replica is the plain case.
 *
 * Where ranks read each other's memory (one host, or one rank) nothing is gathered at all: the shards of a unit lie
 * next to each other, and the whole of them is the unit. Else a unit is gathered into a buffer that all blocks take
 * turns with (reshard_after_forward), or into one of its own, once per step. With `overlap` there are two such buffers:
 * while a block computes, the next one is gathered and the gradient of the one before is reduced.
 *
 * With `offload` the masters and moments lie in the host's memory and the host updates them: once per step gradients go
 * there and parameters in the compute type come back. */
#ifndef FLAME_PARALLEL_FSDP_H
#define FLAME_PARALLEL_FSDP_H

#include "core/parameter.h"
#include "parallel/mesh.h"

typedef struct Fsdp Fsdp;

typedef struct FsdpOptions {
    DType type;                 /* of the gathered parameters: F32 or BF16 */
    bool reshard_after_forward; /* false: units stay gathered from forward to backward */
    bool training;              /* false: no gradients, no moments (evaluation) */
    bool overlap; /* gather and reduce one block while another computes, with two buffers of each; needs an asynchronous
                     communicator */
    bool offload; /* masters and moments are the host's */
    int replicas; /* of the mesh, for fsdp_memory */
} FsdpOptions;

/* Lays out the shards of `count` units (unit 0 is the root: embeddings, final norm, head; it stays gathered for the
 * whole step) and allocates them, zeroed. The parameters' tensors become of options.type. Units and mesh stay the
 * caller's. Collective. */
Fsdp *fsdp_create(const Mesh *mesh, const Device *device, Unit *units, int count, FsdpOptions options);
/* Collective. */
void fsdp_destroy(Fsdp *fsdp);

/* Draws this rank's part of every parameter by its Init; the weights do not depend on the number of ranks. */
void fsdp_initialise(Fsdp *fsdp, uint64_t seed);

/* Bytes per rank, by part, without allocating: for the memory plan. A replica on one host gathers nothing: its ranks
 * read each other's memory, which is resident in each of them (`others`) but there once. */
typedef struct FsdpMemory {
    int64_t parameters, gradients, moments, gathered, gathered_gradients, others;
    int64_t copies; /* offload: of gradients and rounded parameters, on the host */
} FsdpMemory;
FsdpMemory fsdp_memory(int world_size, bool one_host, const Unit *units, int count, FsdpOptions options);

const Mesh *fsdp_mesh(const Fsdp *fsdp);
const Device *fsdp_device(const Fsdp *fsdp);
Unit *fsdp_units(const Fsdp *fsdp, int *count);

/* Begins to gather the unit that comes next, if another may compute meanwhile. */
void fsdp_prefetch(Fsdp *fsdp, int unit);
/* The unit's parameters exist whole when this returns: every parameter's tensor.data is set. Collective. */
void fsdp_gather(Fsdp *fsdp, int unit);
/* The block has run forward (or backward): the whole parameters are no longer needed by it. */
void fsdp_release(Fsdp *fsdp, int unit);
/* Gives the unit a whole gradient, zeroed: every parameter's tensor.gradient is set. (A rank alone in its replica has
 * the slice for it, which is zero at the first micro-batch of a step and goes on adding.) */
void fsdp_begin_gradient(Fsdp *fsdp, int unit);
/* Sums the whole gradient over the replica, adds this rank's slice to those of the step before it (the first one is
 * stored), and takes the whole one away. With `overlap` this is complete only when the next unit's is begun, or the
 * root's, which is the last of a micro-batch. In the last micro-batch of a step (`last`) the sums then go on to the
 * replicas: once the root's is complete, gradient_shard holds those over all ranks. Collective. */
void fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last);
/* Brings the gradient shards to where the update is. They have arrived when the device is synchronized. */
void fsdp_begin_update(Fsdp *fsdp);
/* After the optimizer, or whatever else wrote the master shards between two steps: gathered copies are out of date,
 * gradient shards count as zero. */
void fsdp_end_step(Fsdp *fsdp);

/* Makes parameters in the compute type of masters that have changed; the first fsdp_gather of a step does so too, if
 * need be. Recordings of the device must not contain it. */
void fsdp_refresh(Fsdp *fsdp);
/* Whether a micro-batch of this step has left gradients. The device is asked for something else in the first one. */
bool fsdp_has_gradient(const Fsdp *fsdp);
/* All units' gradients are those of a micro-batch that the device has repeated without this module being asked. */
void fsdp_replayed(Fsdp *fsdp);

#endif
