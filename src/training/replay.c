#include "training/replay.h"

static bool can_record(const Comm *comm) { return comm->size == 1 || comm->f->watch_replay; }

static bool can_replay(const Fsdp *fsdp) {
    const Mesh *mesh = fsdp_mesh(fsdp);
    return fsdp_device(fsdp)->begin_recording && can_record(mesh->shards) && can_record(mesh->replicas);
}

/* A recording of the first micro-batch must contain all gathers, so nothing may be gathered beforehand. */
static void record(Replay *replay, Fsdp *fsdp, void (*launch)(void *context, bool last), void *context, bool last) {
    const Mesh *mesh = fsdp_mesh(fsdp);
    const Device *device = fsdp_device(fsdp);
    if (!fsdp_has_gradient(fsdp)) fsdp_end_step(fsdp);
    fsdp_refresh(fsdp);
    const int64_t shards_sent = mesh->shards->bytes_sent, replicas_sent = mesh->replicas->bytes_sent;
    device->begin_recording();
    launch(context, last);
    replay->recording = device->end_recording();
    replay->shards_sent = mesh->shards->bytes_sent - shards_sent;
    replay->replicas_sent = mesh->replicas->bytes_sent - replicas_sent;
}

/* Does on the host what launching the micro-batch would have done. */
static void account_for_replay(const Replay *replay, Fsdp *fsdp) {
    const Mesh *mesh = fsdp_mesh(fsdp);
    fsdp_refresh(fsdp);
    fsdp_replayed(fsdp);
    mesh->shards->bytes_sent += replay->shards_sent;
    mesh->replicas->bytes_sent += replay->replicas_sent;
}

static void watch(const Mesh *mesh) {
    Comm *comm = mesh->shards->size > 1 ? mesh->shards : mesh->replicas;
    if (comm->size > 1) comm->f->watch_replay(comm, "a micro-batch (training.cuda_graph: false names the collective)");
}

void replays_run(Replays *replays, Fsdp *fsdp, void (*launch)(void *context, bool last), void *context, bool last) {
    const bool to_replicas = last && fsdp_mesh(fsdp)->replicas->size > 1;
    Replay *replay = &replays->of[fsdp_has_gradient(fsdp)][to_replicas];
    if (!replay->warm || !can_replay(fsdp)) {
        launch(context, last);
        replay->warm = true;
        return;
    }
    if (replay->recording)
        account_for_replay(replay, fsdp);
    else
        record(replay, fsdp, launch, context, last);
    fsdp_device(fsdp)->replay(replay->recording);
    watch(fsdp_mesh(fsdp));
}

void replays_release(Replays *replays, const Device *device) {
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            if (replays->of[i][j].recording) device->release_recording(replays->of[i][j].recording);
}
