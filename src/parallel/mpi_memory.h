/* The files in shared memory through which Open MPI exchanges messages within a host. Open MPI leaves them behind when
 * its mpirun is killed. Here each rank has them in a folder of its own, /dev/shm/flame-c-mpi-XXXXXX, which it locks:
 * the lock ends with the process, so that the next start knows which folders are of the dead, those of other containers
 * included. */
#ifndef FLAME_PARALLEL_MPI_MEMORY_H
#define FLAME_PARALLEL_MPI_MEMORY_H

/* Before MPI begins: removes the folders of this user's dead ranks, and makes this rank's. Where there is no /dev/shm,
 * or the user has chosen another folder for Open MPI, it does nothing, and so do the functions below. */
void mpi_memory_begin(void);
/* When all ranks of the host have mapped each other's memory: removes the names, so that a job that is killed from now
 * on leaves none. */
void mpi_memory_unlink(void);
/* Before MPI ends: gives back the names, without which Open MPI complains. */
void mpi_memory_restore(void);
/* After MPI has ended. */
void mpi_memory_end(void);

#endif
