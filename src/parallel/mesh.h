/* The ranks as a grid of replicas x shards, like torch's device mesh "replicate" x "shard". A replica is a group of
 * consecutive ranks that together hold the parameters once; gradients are summed over all replicas.
 *
 *   8 ranks, 2 replicas        shards: 0 1 2 3 | 4 5 6 7       replicas: 0 4 | 1 5 | 2 6 | 3 7
 *
 * If the number of ranks per host is a multiple of the number per replica, no replica spans hosts, and the collectives
 * of blocks stay within a host. */
#ifndef FLAME_PARALLEL_MESH_H
#define FLAME_PARALLEL_MESH_H

#include "parallel/comm.h"

typedef struct Mesh {
    Comm *world;                       /* all ranks; owned by the caller */
    Comm *shards;                      /* the ranks of this replica, for the device's memory */
    Comm *replicas;                    /* the ranks that hold the same slice, one per replica; device memory too */
    Comm *host_shards, *host_replicas; /* the same groups for host memory; on a CPU the same communicators */
} Mesh;

/* `replicas` divides the number of ranks of `world`, which must outlive the mesh. BAD_INPUT (logged) if the devices
 * cannot reach each other. Collective. */
Status mesh_create(Comm *world, const Device *device, int replicas, Mesh *mesh);
/* The mesh may be all zero. Collective. */
void mesh_destroy(Mesh *mesh);

#endif
