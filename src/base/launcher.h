/* The launcher that started this process. */
#ifndef FLAME_BASE_LAUNCHER_H
#define FLAME_BASE_LAUNCHER_H

#include <stdbool.h>

/* The process id of Open MPI's mpirun or of its daemon on this host, if that is an ancestor of this process, else 0.
 * *is_mpirun (may be NULL): it is mpirun itself. */
int launcher_process(bool *is_mpirun);
/* Whether it had died before anybody could look for it: no ancestor is it, and nobody reads what this process prints.
 */
bool launcher_has_gone(void);
/* The number of this process in its job, as the launcher's variables say; 0 if there are none. For what is said without
 * MPI. */
int launcher_rank(void);

#endif
