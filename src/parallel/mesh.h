/* The ranks as a grid, which torch calls the mesh "replicate" x "shard": groups of neighbouring ranks each hold the
 * parameters once, and the same gradients are summed over all of them.
 *
 *   8 ranks, 2 replicas        shards: 0 1 2 3 | 4 5 6 7       replicas: 0 4 | 1 5 | 2 6 | 3 7
 *
 * Neighbours are on one host where the number of its ranks is a multiple of the replica's: what moves for every block
 * then stays there. */
#ifndef FLAME_PARALLEL_MESH_H
#define FLAME_PARALLEL_MESH_H

#include "parallel/comm.h"

typedef struct Mesh {
    Comm *world;                       /* all ranks; the caller's */
    Comm *shards;                      /* the ranks of this replica, for the device's memory */
    Comm *replicas;                    /* the ranks that have this one's place in their replica, likewise */
    Comm *host_shards, *host_replicas; /* the same ranks for the host's memory; the same two on a CPU */
} Mesh;

/* `replicas` divides the number of ranks of `world`, which must outlive the mesh. BAD_INPUT (logged) if the devices
 * cannot reach each other. Collective. */
Status mesh_create(Comm *world, const Device *device, int replicas, Mesh *mesh);
/* A mesh that was never made, all zero, is fine. Collective. */
void mesh_destroy(Mesh *mesh);

#endif
