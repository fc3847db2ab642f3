/* Faults of the disk, by the hook of base/files.h: the n-th operation of a child process fails, is cut short, or ends
 * it. */
#ifndef FLAME_TESTS_SUPPORT_FAULTS_H
#define FLAME_TESTS_SUPPORT_FAULTS_H

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/files.h"

typedef enum FaultKind { FAULT_EXIT, FAULT_ONCE, FAULT_FROM_NOW_ON, FAULT_SHORT } FaultKind;

enum { ENDED_BY_FAULT = 12 }; /* the exit code of a child */

static struct {
    FaultKind kind;
    int error;
    int64_t at;
    bool no_exchange; /* the file system cannot exchange two names */
    atomic_llong operations;
} fault;

static int fault_hook(FileOperation operation, const char *path, int fd, int64_t *bytes) {
    (void)path;
    (void)fd;
    if (operation == FILE_EXCHANGE && fault.no_exchange) return EINVAL;
    const int64_t n = atomic_fetch_add(&fault.operations, 1);
    if (n < fault.at) return 0;
    switch (fault.kind) {
    case FAULT_EXIT:
        _exit(ENDED_BY_FAULT);
    case FAULT_ONCE:
        return n == fault.at ? fault.error : 0;
    case FAULT_FROM_NOW_ON:
        return fault.error;
    default:
        if ((operation == FILE_WRITE || operation == FILE_READ) && *bytes > 1) *bytes = (*bytes + 1) / 2;
        return 0;
    }
}

#endif
