#include "base/waiting.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

void waiting_limit(char **argv) {
    const char *threads = getenv("OMP_NUM_THREADS");
    if (threads && strcmp(threads, "1") == 0) return;
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || getenv("KMP_BLOCKTIME")) return;
    const bool by_loader = getauxval(AT_BASE) == 0; /* started as an argument of the loader: exec would run that */
    if (by_loader) return;
    setenv("KMP_BLOCKTIME", "1", 1); /* LLVM's runtime: milliseconds, read later */
    if (setenv("GOMP_SPINCOUNT", "2000", 1) == 0) execv("/proc/self/exe", argv);
}
