#include "data/tokens_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The limit: half a second, plus one second per MB up to 60. Sound files need a hundredth of it. */
enum { BASE_MICROSECONDS = 500 * 1000, BYTES_PER_SECOND = 1000 * 1000, SECONDS_MAX = 60 };
/* Limits of elapsed time, for a busy machine: a multiple of the processor time, plus some seconds. */
enum { BUSY = 4, PATIENCE_SECONDS = 8 };

static int64_t processor_seconds(int64_t file_bytes) {
    const int64_t seconds = file_bytes / BYTES_PER_SECOND;
    return seconds < SECONDS_MAX ? seconds : SECONDS_MAX;
}

static void limit_processor_time(int64_t file_bytes) {
    const struct itimerval limit = {.it_value = {(time_t)processor_seconds(file_bytes), BASE_MICROSECONDS}};
    signal(SIGPROF, SIG_DFL);
    setitimer(ITIMER_PROF, &limit, NULL);
}

/* Prepares the child for a crash, which is an expected result: default signal handlers, no output, no core file.
 * Signals end the child, and so does the death of its parent. */
static void die_quietly(void) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGUSR1, SIGUSR2, SIGINT, SIGHUP};
    for (int i = 0; i < (int)(sizeof signals / sizeof *signals); i++) signal(signals[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
}

/* Waits for the child to end; false after `seconds` seconds. A child that neither ends nor computes was forked while
 * another thread held a lock (of the address sanitizer's allocator, say), or its disk does not answer: that says
 * nothing about the file. */
static bool ends(pid_t child, int64_t seconds, int *status) {
    const struct timespec pause = {0, 2 * 1000 * 1000};
    for (int64_t left = seconds * 500; left > 0; left--) {
        const pid_t ended = waitpid(child, status, WNOHANG);
        if (ended == child) return true;
        if (ended < 0 && errno != EINTR) return false;
        nanosleep(&pause, NULL);
    }
    kill(child, SIGKILL);
    while (waitpid(child, status, 0) < 0 && errno == EINTR) continue;
    return false;
}

/* Whether a signal is a request to end, which says nothing about the file: Ctrl-C and mpirun send it to every process
 * of a group. */
static bool is_request(int number) {
    return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGUSR1 || number == SIGUSR2;
}

/* The child's status; 0 if nothing is known. */
static int status_of_use(void (*use)(void *argument), void *argument, int64_t file_bytes) {
    int status = 0;
    const pid_t child = fork();
    if (child < 0) return 0;
    if (child == 0) {
        die_quietly();
        limit_processor_time(file_bytes);
        use(argument);
        _exit(0);
    }
    return ends(child, PATIENCE_SECONDS + BUSY * processor_seconds(file_bytes), &status) ? status : 0;
}

bool tokens_probe(void (*use)(void *argument), void *argument, int64_t file_bytes) {
    enum { TRIES = 3 };
    for (int i = 0; i < TRIES; i++) {
        const int status = status_of_use(use, argument, file_bytes);
        if (!WIFSIGNALED(status) || !is_request(WTERMSIG(status))) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return true;
}
