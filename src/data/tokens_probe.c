#include "data/tokens_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* The limit: half a second, plus one second per MB up to 60. Sound files need a hundredth of it. */
enum { BASE_MICROSECONDS = 500 * 1000, BYTES_PER_SECOND = 1000 * 1000, SECONDS_MAX = 60 };

static void limit_processor_time(int64_t file_bytes) {
    const int64_t seconds = file_bytes / BYTES_PER_SECOND;
    const struct itimerval limit = {
        .it_value = {seconds < SECONDS_MAX ? (time_t)seconds : SECONDS_MAX, BASE_MICROSECONDS}};
    signal(SIGPROF, SIG_DFL);
    setitimer(ITIMER_PROF, &limit, NULL);
}

/* A crash is an expected result: default handlers, no output, no core file. */
static void die_quietly(void) {
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (int i = 0; i < (int)(sizeof crashes / sizeof *crashes); i++) signal(crashes[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
}

bool tokens_probe(void (*use)(void *argument), void *argument, int64_t file_bytes) {
    int status = 0;
    const pid_t child = fork();
    if (child < 0) return true;
    if (child == 0) {
        die_quietly();
        limit_processor_time(file_bytes);
        use(argument);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return true;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
