/* The launcher that started this process. */
#ifndef FLAME_BASE_LAUNCHER_H
#define FLAME_BASE_LAUNCHER_H

#include <stdbool.h>

/* The process id of Open MPI's mpirun or of its daemon on this host, if that is an ancestor of this process, else 0.
 * *is_mpirun (may be NULL) is set if that process is mpirun itself, not a daemon. */
int launcher_process(bool *is_mpirun);
/* Whether the launcher died before launcher_process could find it: no ancestor is a launcher, and nobody reads what
 * this process prints. */
bool launcher_has_gone(void);
/* The rank of this process according to the launcher's environment variables; 0 if there are none. For messages printed
 * before MPI is initialised. */
int launcher_rank(void);

#endif
