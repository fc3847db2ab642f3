/* A communicator for tests that delays every collective until the program waits for it. */
#ifndef FLAME_TESTS_SUPPORT_COMM_LATE_H
#define FLAME_TESTS_SUPPORT_COMM_LATE_H

#include "parallel/comm.h"

/* It has the ranks and the memory of `host`, which must outlive it. */
Comm *comm_late_create(Comm *host);

#endif
