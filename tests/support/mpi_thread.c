/* A layer over MPI that enforces MPI_THREAD_FUNNELED: only the thread that initialised MPI may call it. A call from
 * another thread ends the process with exit code 99. */
#include <mpi.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { FORBIDDEN_CALL = 99 };

static pthread_t allowed;

int MPI_Init_thread(int *count, char ***arguments, int required, int *provided) {
    allowed = pthread_self();
    return PMPI_Init_thread(count, arguments, required, provided);
}

static void check_thread(const char *function) {
    if (pthread_equal(allowed, pthread_self())) return;
    fprintf(stderr, "%s was called from a thread that must not call MPI\n", function);
    _exit(FORBIDDEN_CALL);
}

#define FUNNELED(name, parameters, arguments)                                                                          \
    int MPI_##name parameters {                                                                                        \
        check_thread("MPI_" #name);                                                                                    \
        return PMPI_##name arguments;                                                                                  \
    }

FUNNELED(Abort, (MPI_Comm comm, int code), (comm, code))
FUNNELED(Allgather,
         (const void *send, int send_count, MPI_Datatype send_type, void *receive, int count, MPI_Datatype type,
          MPI_Comm comm),
         (send, send_count, send_type, receive, count, type, comm))
FUNNELED(Allreduce, (const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (send, receive, count, type, op, comm))
FUNNELED(Alltoall,
         (const void *send, int send_count, MPI_Datatype send_type, void *receive, int count, MPI_Datatype type,
          MPI_Comm comm),
         (send, send_count, send_type, receive, count, type, comm))
FUNNELED(Barrier, (MPI_Comm comm), (comm))
FUNNELED(Bcast, (void *data, int count, MPI_Datatype type, int root, MPI_Comm comm), (data, count, type, root, comm))
FUNNELED(Comm_dup, (MPI_Comm comm, MPI_Comm *made), (comm, made))
FUNNELED(Comm_free, (MPI_Comm * comm), (comm))
FUNNELED(Comm_rank, (MPI_Comm comm, int *rank), (comm, rank))
FUNNELED(Comm_size, (MPI_Comm comm, int *size), (comm, size))
FUNNELED(Comm_split, (MPI_Comm comm, int color, int key, MPI_Comm *made), (comm, color, key, made))
FUNNELED(Comm_split_type, (MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *made),
         (comm, type, key, info, made))
FUNNELED(Finalize, (void), ())
FUNNELED(Irecv, (void *data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request *request),
         (data, count, type, from, tag, comm, request))
FUNNELED(Isend, (const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request),
         (data, count, type, to, tag, comm, request))
FUNNELED(Sendrecv,
         (const void *send, int send_count, MPI_Datatype send_type, int to, int send_tag, void *receive, int count,
          MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Status *status),
         (send, send_count, send_type, to, send_tag, receive, count, type, from, tag, comm, status))
FUNNELED(Type_commit, (MPI_Datatype * type), (type))
FUNNELED(Type_contiguous, (int count, MPI_Datatype type, MPI_Datatype *made), (count, type, made))
FUNNELED(Type_free, (MPI_Datatype * type), (type))
FUNNELED(Waitall, (int count, MPI_Request requests[], MPI_Status statuses[]), (count, requests, statuses))
