#include "training/session.h"

#include <string.h>

#include "core/cpu_gemm.h"
#include "core/device_cuda.h"
#include "base/log.h"

Status agree(Comm *comm, Status status) { return comm_worst(comm, status); }

/* Ranks must not share a GPU, unless they were told to. Collective. */
static Status check_sharing(Comm *comm, const Device *device) {
    const int sharers = comm_sharers(comm, device);
    const bool wrong = sharers > 1 && comm_settings().sharing == SHARE_NEVER;
    if (comm_is_first(comm, wrong))
        log_error("there are fewer GPUs than ranks: %d ranks have the same one (%d ranks run on this host). Start one "
                  "rank for each GPU that CUDA_VISIBLE_DEVICES shows, or let ranks share one (slow, for "
                  "tests) by --comm.share_gpu=mpi; eval, score and verify: --share-gpu=mpi",
                  sharers, comm->local_size);
    return agree(comm, wrong ? BAD_INPUT : OK);
}

Status session_device(Comm *comm, const char *name, const Device **device) {
    const Device *cuda = NULL;
    char text[1024] = "";
    *device = device_cpu();
    if (strcmp(name, "cpu") == 0) return OK;
    const CudaState mine = device_cuda_open(comm->local_rank, &cuda, text, sizeof text);
    double worst = (double)mine;
    comm->f->all_reduce_max(comm, &worst, 1);
    const bool speaks = comm_is_first(comm, mine == (CudaState)worst);
    if (worst == CUDA_READY) {
        log_info("device       %s", text);
        *device = cuda;
        return check_sharing(comm, cuda);
    }
    if (worst == CUDA_ABSENT && strcmp(name, "auto") == 0) return OK;
    if (speaks) log_error("device %s: %s. --device=cpu computes without a GPU", name, text);
    return BAD_INPUT;
}

FsdpOptions session_sharding(const RunnerOptions *options) {
    return (FsdpOptions){.type = options->type,
                         .training = options->training,
                         .reshard_after_forward = true,
                         .overlap = true,
                         .replicas = 1};
}

int64_t session_memory(const Comm *comm, const Device *device, Model *model, const RunnerOptions *options) {
    const FsdpMemory shards =
        fsdp_memory(comm->size, comm->local_size == comm->size, model->unit, model->units, session_sharding(options));
    const RunnerPlan plan = runner_plan(model, *options, device->gpu);
    return shards.parameters + shards.gathered + plan.keep_bytes + plan.scratch_bytes + plan.carried_bytes;
}

Status session_connect(Session *session, Comm *comm, const Device *device, int replicas) {
    session->comm = comm;
    session->device = device;
    return mesh_create(comm, device, replicas, &session->mesh);
}

Status session_fill(Session *session, Model *model, RunnerOptions options, FsdpOptions sharding) {
    const Device *device = session->device;
    session->model = model;
    if (device->host_memory && !cpu_gemm_supports(options.type)) {
        if (session->comm->rank == 0)
            log_error(
                "training.mixed_precision_param: oneDNN has no bfloat16 products on this processor; use float32, or "
                "build with -DFLAME_PRODUCTS=OpenBLAS");
        return BAD_INPUT;
    }
    session->fsdp = fsdp_create(&session->mesh, device, model->unit, model->units, sharding);
    session->runner = runner_create(model, session->fsdp, device, options);
    return OK;
}

Status session_open(Session *session, Comm *comm, const Device *device, Model *model, RunnerOptions options,
                    FsdpOptions sharding) {
    session->model = model;
    const Status status = session_connect(session, comm, device, sharding.replicas);
    return status == OK ? session_fill(session, model, options, sharding) : status;
}

void session_close(Session *session) {
    runner_destroy(session->runner);
    if (session->fsdp) fsdp_destroy(session->fsdp);
    if (session->teacher_fsdp) fsdp_destroy(session->teacher_fsdp);
    model_destroy(session->model);
    model_destroy(session->teacher);
    mesh_destroy(&session->mesh);
    if (session->comm) comm_destroy(session->comm);
    *session = (Session){0};
}
