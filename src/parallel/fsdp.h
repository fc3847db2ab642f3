/* Fully sharded data parallelism: each rank owns a contiguous shard of every unit's parameters, gradients and moments.
 * A unit is gathered only while its block runs. Gradients are summed over ranks in fp32, in rank order.
 *
 * Hybrid sharding (a mesh of R replicas x S ranks) splits a unit into S slices and each slice into R shards:
 *
 *   unit      [ slice 0              | slice 1 | ... | slice S-1 ]
 *   slice s   [ shard of replica 0 | ... | shard of replica R-1 ]
 *
 * Rank s of every replica holds slice s of the parameters in the compute type, and the slice's sum of gradients. Of
 * these, the rank of replica r owns shard r: its master weights and moments.
 *
 * Within a replica, each block's slices are all-gathered, and its gradient is reduce-scattered to slices. In the last
 * micro-batch of a step, the ranks that hold the same slice reduce-scatter its gradient to shards; each rank updates
 * its shard, and the updated parameters are all-gathered into slices. With R = 1 a slice is a shard: plain FSDP.
 *
 * Ranks on one host map each other's memory: the shards of a unit are adjacent there and nothing is copied. Otherwise a
 * unit is gathered into a buffer: one that all blocks share (reshard_after_forward), or one per unit, filled once per
 * step. With `overlap` there are two shared buffers, so that the next block is gathered and the previous block's
 * gradient reduced while a block computes.
 *
 * With `offload` masters and moments live in host memory and the host runs the optimizer: each step copies gradients to
 * the host and parameters in the compute type back. */
#ifndef FLAME_PARALLEL_FSDP_H
#define FLAME_PARALLEL_FSDP_H

#include "core/parameter.h"
#include "parallel/mesh.h"

typedef struct Fsdp Fsdp;

typedef struct FsdpOptions {
    DType type;                 /* of the gathered parameters: F32 or BF16 */
    bool reshard_after_forward; /* true: blocks are gathered again for backward; false: they stay gathered */
    bool training;              /* false: evaluation, without gradients and moments */
    bool frozen;                /* fsdp_freeze will be called, so that only the compute type stays in memory */
    bool overlap; /* overlap collectives with the computation of other blocks, with two buffers of each kind; needs an
                     asynchronous communicator */
    bool offload; /* masters and moments in host memory */
    int replicas; /* of the mesh, for fsdp_memory */
} FsdpOptions;

/* Shards `count` units, placed by unit_place_last, and allocates their shards, zeroed. Unit 0 is the root (embeddings,
 * final norm, head) and stays gathered for the whole step. Sets the element type of the parameters' tensors to
 * options.type. The caller keeps owning units and mesh. Collective. */
Fsdp *fsdp_create(const Mesh *mesh, const Device *device, Unit *units, int count, FsdpOptions options);
/* Collective. */
void fsdp_destroy(Fsdp *fsdp);

/* Draws the initial values of this rank's shards. They do not depend on the number of ranks. */
void fsdp_initialise(Fsdp *fsdp, uint64_t seed);

/* Converts the masters to the compute type and frees their memory; they can never change again. Not for training or
 * with `offload`. Collective. */
void fsdp_freeze(Fsdp *fsdp);

/* For the memory plan: bytes per rank, by part. Ranks on one host map each other's shards instead of gathering them;
 * these pages count as resident in every rank (`others`), although they exist only once. */
typedef struct FsdpMemory {
    int64_t parameters, gradients, moments, gathered, gathered_gradients, others;
    int64_t copies; /* offload: host copies of gradients and of parameters in the compute type */
} FsdpMemory;
FsdpMemory fsdp_memory(int world_size, bool one_host, const Unit *units, int count, FsdpOptions options);

const Mesh *fsdp_mesh(const Fsdp *fsdp);
const Device *fsdp_device(const Fsdp *fsdp);
/* The slice of the unit that this rank holds in the compute type. */
const void *fsdp_slice(const Fsdp *fsdp, int unit, int64_t *bytes);
Unit *fsdp_units(const Fsdp *fsdp, int *count);

/* With `overlap`, starts gathering the next unit while the current block computes. Otherwise does nothing. */
void fsdp_prefetch(Fsdp *fsdp, int unit);
/* Gathers the unit: sets tensor.data of all its parameters. Collective. */
void fsdp_gather(Fsdp *fsdp, int unit);
/* Says that the block no longer needs the gathered parameters. */
void fsdp_release(Fsdp *fsdp, int unit);
/* Gives the unit a zeroed gradient buffer: sets tensor.gradient of all its parameters. (With one rank per replica this
 * is the slice itself, which is zero in the first micro-batch of a step and keeps its sum in later ones.) */
void fsdp_begin_gradient(Fsdp *fsdp, int unit);
/* Reduce-scatters the unit's gradient over the replica, adds the result to this rank's slice (the first micro-batch of
 * a step stores it instead), and takes the buffer back. With `overlap` the reduction completes when the next unit's
 * starts; that of the root, the last of a micro-batch, completes at once. In the `last` micro-batch of a step slices
 * are then reduced over replicas: after the root's reduction, gradient_shard holds the sum over all ranks.
 * Collective. */
void fsdp_reduce_gradient(Fsdp *fsdp, int unit, bool last);
/* Starts copying the gradient shards to update_device, if it is another device. Synchronize the device before use. */
void fsdp_begin_update(Fsdp *fsdp);
/* Call it after the optimizer, or anything else, has changed the master shards between steps. Invalidates gathered
 * parameters and resets the gradient shards to zero. */
void fsdp_end_step(Fsdp *fsdp);

/* Converts changed masters to the compute type. The first fsdp_gather of a step does this if it has not been done. It
 * must not be recorded. */
void fsdp_refresh(Fsdp *fsdp);
/* Whether a micro-batch of this step has already stored gradients: the first stores them, the others add. */
bool fsdp_has_gradient(const Fsdp *fsdp);
/* Says that a replayed recording has run a micro-batch, so all units now have gradients. */
void fsdp_replayed(Fsdp *fsdp);

#endif
