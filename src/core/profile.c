#include "core/profile.h"

#include <string.h>

#include "base/check.h"

OpProfile *profile_op(Profile *profile, const char *name) {
    for (int i = 0; i < profile->ops; i++)
        if (strcmp(profile->op[i].name, name) == 0) return &profile->op[i];
    CHECK(profile->ops < PROFILE_OPS, "more than %d ops", PROFILE_OPS);
    profile->op[profile->ops].name = name;
    return &profile->op[profile->ops++];
}
