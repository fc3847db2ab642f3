/* Seconds, FLOPs and bytes per op, accumulated by tapes that have a profile attached. */
#ifndef FLAME_CORE_PROFILE_H
#define FLAME_CORE_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

enum { PROFILE_OPS = 64 };

typedef struct OpProfile {
    const char *name;          /* the op's */
    bool gradients_in_forward; /* see Node */
    int64_t forward_runs, backward_runs;
    double forward_seconds, backward_seconds;
    double flops, bytes; /* sums over all forward runs */
} OpProfile;

typedef struct Profile {
    int ops;
    OpProfile op[PROFILE_OPS];
} Profile;

/* The entry of an op, created at its first run. */
OpProfile *profile_op(Profile *profile, const char *name);

#endif
