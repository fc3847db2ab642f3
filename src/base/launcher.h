/* The launcher that started this process. */
#ifndef FLAME_BASE_LAUNCHER_H
#define FLAME_BASE_LAUNCHER_H

#include <stdbool.h>

/* The process id of Open MPI's mpirun or of its daemon on this host, if that is an ancestor of this process, else 0.
 * *is_mpirun (may be NULL): it is mpirun itself. */
int launcher_process(bool *is_mpirun);

#endif
