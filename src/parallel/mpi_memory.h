/* The files in shared memory through which Open MPI exchanges messages within a host. Open MPI leaves them behind when
 * its mpirun is killed. So each rank keeps them in a folder of its own, /dev/shm/flame-c-mpi-XXXXXX, which it locks.
 * The lock ends with the process, so the next start can tell which folders belong to dead ranks, including ranks in
 * other containers. */
#ifndef FLAME_PARALLEL_MPI_MEMORY_H
#define FLAME_PARALLEL_MPI_MEMORY_H

/* Call it before MPI is initialised. Removes the folders of this user's dead ranks and creates this rank's. If there is
 * no /dev/shm, or the user has chosen another folder for Open MPI, this and the functions below do nothing. */
void mpi_memory_begin(void);
/* Call it when all ranks of the host have mapped each other's memory. Removes the files' names, so that a job that is
 * killed from now on leaves none behind. */
void mpi_memory_unlink(void);
/* Call it before MPI is finalised. Creates the names again, because Open MPI complains if they are missing. */
void mpi_memory_restore(void);
/* Call it after MPI has been finalised. Removes the folder. */
void mpi_memory_end(void);

#endif
