/* A communicator for tests that is asynchronous in the extreme: nothing moves before it is waited for. */
#ifndef FLAME_TESTS_SUPPORT_COMM_LATE_H
#define FLAME_TESTS_SUPPORT_COMM_LATE_H

#include "parallel/comm.h"

/* The ranks and the memory of `host`, which must outlive it. */
Comm *comm_late_create(Comm *host);

#endif
