#define _POSIX_C_SOURCE 200809L
#include "base/unfinished.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/check.h"
#include "base/files.h"

enum { MOST = 8 };

static _Atomic(const char *) unfinished[MOST]; /* NULL: free */

void unfinished_add(const char *path) {
    for (int i = 0; i < MOST; i++) {
        const char *none = NULL;
        if (atomic_compare_exchange_strong(&unfinished[i], &none, path)) return;
    }
    CHECK(false, "more than %d unfinished results", MOST);
}

void unfinished_drop(const char *path) {
    for (int i = 0; i < MOST; i++) {
        const char *dropped = path;
        atomic_compare_exchange_strong(&unfinished[i], &dropped, NULL);
    }
}

void unfinished_remove(void) {
    for (int i = 0; i < MOST; i++) {
        const char *path = atomic_exchange(&unfinished[i], NULL);
        if (path && path_exists(path)) folder_remove(path);
    }
}

static void remove_and_end(int number) {
    for (int i = 0; i < MOST; i++) {
        const char *path = atomic_load(&unfinished[i]);
        if (path) unlink(path);
    }
    signal(number, SIG_DFL);
    raise(number);
}

void unfinished_handle_signals(void) {
    const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) signal(ending[i], remove_and_end);
}
