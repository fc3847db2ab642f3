/* Checkpoints over the real communicator: what N ranks save, N ranks and one load, bit for bit; what one saves, N load;
 * and a second job on the same folder is refused. Started by mpirun; a failed check ends every rank. */
#include "checkpoint/small_model.h"
#include "support/temporary.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/run_lock.h"

static void save(Comm *comm, int64_t step, bool asynchronous) {
    char *folder = temporary_path("checkpoint");
    Unit units[SMALL_UNITS];
    small_model_create(units, comm->rank, comm->size);
    small_model_fill(units, step);
    const CheckpointOptions options = {
        .folder = folder, .run_name = "test", .asynchronous = asynchronous, .max_shard_bytes = 700};
    const CheckpointTexts texts = {"{}", "{}", "a: 1\n"};
    json_t *state = json_object();
    Checkpointer *checkpointer;
    CHECK(checkpointer_create(comm, units, SMALL_UNITS, &options, &checkpointer) == OK, "create");
    CHECK(checkpoint_save(checkpointer, step, state, &texts) == OK, "save");
    while (checkpoint_saved(checkpointer).step != step) CHECK(checkpoint_poll(checkpointer) == OK, "poll");
    checkpointer_destroy(checkpointer);
    json_decref(state);
    small_model_destroy(units);
    free(folder);
}

static void load(Comm *comm, int64_t expected) {
    char *folder = temporary_path("checkpoint");
    Unit units[SMALL_UNITS];
    small_model_create(units, comm->rank, comm->size);
    json_t *state = NULL;
    int64_t step;
    CHECK(checkpoint_resume(folder, -1, comm, units, SMALL_UNITS, &step, &state) == OK, "resume");
    CHECK(step == expected && small_model_is(units, step, false), "step %lld", (long long)step);
    json_decref(state);
    small_model_destroy(units);
    free(folder);
}

int main(void) {
    Comm *comm;
    CHECK(comm_create(&comm) == OK, "comm_create");
    Comm *self = comm_self_create();
    if (comm->rank == 0) CHECK(temporary_create(NULL) == 0, "no temporary folder");
    comm->f->broadcast(comm, temporary_folder, sizeof temporary_folder, 0);

    RunLock *lock, *second;
    CHECK(run_lock_acquire(comm, temporary_folder, 1, &lock) == OK, "lock");
    if (comm->rank == comm->size - 1)
        CHECK(run_lock_acquire(self, temporary_folder, 0, &second) == BAD_INPUT, "a second job got the folder");
    save(comm, 1, false);
    load(comm, 1);
    save(comm, 2, true);
    load(comm, 2);
    comm->f->barrier(comm);
    if (comm->rank == 0) {
        load(self, 2);
        save(self, 3, true);
    }
    comm->f->barrier(comm);
    load(comm, 3);
    comm->f->barrier(comm);
    run_lock_release(lock);
    if (comm->rank == 0) CHECK(temporary_remove(NULL) == 0, "the temporary folder stays");
    comm_destroy(self);
    comm_destroy(comm);
    return 0;
}
