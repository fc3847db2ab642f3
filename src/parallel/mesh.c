#include "parallel/mesh.h"

/* Creates the communicators of the ranks of one color, for host memory and for device memory. */
static Status split(Comm *world, const Device *device, int color, const char *ranks, Comm **host, Comm **comm) {
    *host = world->f->split(world, color);
    (*host)->ranks = ranks;
    return comm_for_device(world, *host, device, comm);
}

Status mesh_create(Comm *world, const Device *device, int replicas, Mesh *mesh) {
    const int shards = world->size / replicas;
    CHECK(shards * replicas == world->size, "%d replicas of %d ranks", replicas, world->size);
    *mesh = (Mesh){.world = world};
    const Status status = split(world, device, world->rank / shards, "", &mesh->host_shards, &mesh->shards);
    if (status != OK) return status;
    return split(world, device, world->rank % shards, " over the replicas", &mesh->host_replicas, &mesh->replicas);
}

static void destroy(Comm *host, Comm *comm) {
    if (comm && comm != host) comm_destroy(comm);
    if (host) comm_destroy(host);
}

void mesh_destroy(Mesh *mesh) {
    destroy(mesh->host_replicas, mesh->replicas);
    destroy(mesh->host_shards, mesh->shards);
    *mesh = (Mesh){0};
}
