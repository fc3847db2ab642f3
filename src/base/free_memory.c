#define _GNU_SOURCE
#include "base/free_memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH = 4096 };

/* The files of a group, in either version of control groups. */
typedef struct GroupFiles {
    const char *mount, *limit, *used, *stat_of_cache;
} GroupFiles;

static const GroupFiles version_1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                     "total_inactive_file "};
static const GroupFiles version_2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The number behind `word` at the beginning of a line; -1 if there is none. */
static int64_t number_after(const char *word, const char *path) {
    char line[256];
    int64_t number = -1;
    FILE *file = fopen(path, "r");
    while (file && number < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, word, strlen(word)) == 0) sscanf(line + strlen(word), "%" SCNd64, &number);
    if (file) fclose(file);
    return number;
}

static int64_t number_of_group(const char *root, const GroupFiles *files, const char *group, const char *name,
                               const char *word) {
    char path[PATH];
    const int length = snprintf(path, sizeof path, "%s%s%s/%s", root, files->mount, group, name);
    return length < (int)sizeof path ? number_after(word, path) : -1;
}

static int64_t free_in_group(const char *root, const GroupFiles *files, const char *group) {
    const int64_t limit = number_of_group(root, files, group, files->limit, "");
    if (limit < 0) return INT64_MAX;
    const int64_t used = number_of_group(root, files, group, files->used, "");
    const int64_t cache = number_of_group(root, files, group, "memory.stat", files->stat_of_cache);
    const int64_t taken = (used > 0 ? used : 0) - (cache > 0 ? cache : 0);
    return taken < limit ? limit - taken : 0;
}

/* In the group and those above it. A container may see its own group as the topmost, whatever its name outside. */
static int64_t free_in_groups(const char *root, const GroupFiles *files, char *group) {
    int64_t free = INT64_MAX;
    for (;;) {
        free = least(free, free_in_group(root, files, group));
        char *last = strrchr(group, '/');
        if (!last) return free;
        *last = 0;
    }
}

static bool has_memory(char *controllers) {
    char *rest;
    for (char *name = strtok_r(controllers, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (strcmp(name, "memory") == 0) return true;
    return false;
}

/* Of one line of /proc/self/cgroup: "4:memory:/group" in version 1, "0::/group" in version 2. */
static int64_t free_by_line(const char *root, char *line) {
    char *rest = line;
    strsep(&rest, ":");
    char *controllers = strsep(&rest, ":"), *group = strsep(&rest, "\n");
    if (!controllers || !group) return INT64_MAX;
    if (!*controllers) return free_in_groups(root, &version_2, group);
    return has_memory(controllers) ? free_in_groups(root, &version_1, group) : INT64_MAX;
}

int64_t free_memory(const char *root) {
    char path[PATH], line[PATH];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    const int64_t kilobytes = number_after("MemAvailable:", path);
    int64_t free = kilobytes < 0 ? INT64_MAX : kilobytes * 1024;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *groups = fopen(path, "r");
    while (groups && fgets(line, sizeof line, groups)) free = least(free, free_by_line(root, line));
    if (groups) fclose(groups);
    return free;
}

int64_t free_address_space(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return INT64_MAX;
    const int64_t pages = number_after("", "/proc/self/statm"); /* of address space, first in the line */
    const int64_t used = pages < 0 ? 0 : pages * sysconf(_SC_PAGESIZE);
    return used < (int64_t)limit.rlim_cur ? (int64_t)limit.rlim_cur - used : 0;
}
