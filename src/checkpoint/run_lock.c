#define _GNU_SOURCE
#include "checkpoint/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/files.h"

enum { NAME_BYTES = 192, HOLDER_BYTES = 512 };

static const char file_name[] = ".lock";

struct RunLock {
    int fd;
    bool first; /* this rank is rank 0, which has written the file */
    char name[NAME_BYTES];
};

static void pause_briefly(void) {
    const struct timespec time = {0, 50 * 1000 * 1000};
    nanosleep(&time, NULL);
}

/* flock with a timeout of `patience` seconds. Returns 0 or an errno; EWOULDBLOCK: another process has the lock. */
static int lock_file(int fd, int operation, double patience) {
    const double end = seconds_now() + patience;
    for (;;) {
        if (flock(fd, operation | LOCK_NB) == 0) return 0;
        if (errno != EINTR && (errno != EWOULDBLOCK || seconds_now() >= end)) return errno;
        pause_briefly();
    }
}

static bool locks_unsupported(int error) { return error == ENOSYS || error == EOPNOTSUPP || error == ENOLCK; }

static void read_holder(int fd, char *holder) {
    const ssize_t bytes = pread(fd, holder, HOLDER_BYTES - 1, 0);
    holder[bytes > 0 ? bytes : 0] = 0;
    holder[strcspn(holder, "\n")] = 0;
}

/* Writes one line about this job into the lock file, for the message of the job that finds it locked. */
static int write_holder(RunLock *lock) {
    char host[128] = "unknown", date[40], line[HOLDER_BYTES];
    struct timespec time;
    struct tm utc;
    gethostname(host, sizeof host - 1);
    for (char *c = host; *c; c++)
        if (*c == '/') *c = '_';
    clock_gettime(CLOCK_REALTIME, &time);
    gmtime_r(&time.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", &utc);
    snprintf(lock->name, sizeof lock->name, "%s-%ld-%" PRIx64, host, (long)getpid(),
             (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec);
    const int length = snprintf(line, sizeof line, "host %s, process %ld, started %s\n", host, (long)getpid(), date);
    if (ftruncate(lock->fd, 0) != 0) return errno;
    return file_write(lock->fd, line, length, 0);
}

/* Rank 0: takes the exclusive lock, which fails while another job runs, then turns it into a shared one. */
static Status acquire_first(RunLock *lock, const char *folder, const char *path, double patience) {
    char holder[HOLDER_BYTES];
    int error = folder_create_all(folder);
    if (!error) {
        lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (lock->fd < 0) error = errno;
    }
    if (!error) error = lock_file(lock->fd, LOCK_EX, patience);
    if (error == EWOULDBLOCK) {
        read_holder(lock->fd, holder);
        log_error("another job is running in %s (%s). Wait for it, stop it, or choose another job.dump_folder", folder,
                  holder[0] ? holder : "its lock file is empty");
        return BAD_INPUT;
    }
    if (locks_unsupported(error)) {
        log_warning("the file system of %s does not support locks: make sure that no second job runs there", folder);
        error = 0;
    }
    lock->first = !error;
    if (!error) error = write_holder(lock);
    /* The conversion is not atomic. If another job takes the exclusive lock in between, this call fails. */
    if (!error) error = lock_file(lock->fd, LOCK_SH, 0);
    if (!error || locks_unsupported(error)) return OK;
    log_error("locking %s: %s", path, strerror(error));
    return IO_ERROR;
}

/* The other ranks add shared locks of their own. */
static Status join(RunLock *lock, const char *path) {
    lock->fd = open(path, O_RDWR | O_CLOEXEC);
    const int error = lock->fd < 0 ? errno : lock_file(lock->fd, LOCK_SH, 0);
    if (!error || locks_unsupported(error)) return OK;
    log_error("locking %s: %s. All hosts must see the same job.dump_folder", path, strerror(error));
    return IO_ERROR;
}

Status run_lock_acquire(Comm *comm, const char *folder, double patience, RunLock **result) {
    RunLock *lock = calloc(1, sizeof *lock);
    CHECK_MEMORY(lock, "no memory for the run lock");
    lock->fd = -1;
    char *path = path_join(folder, file_name);
    Status status = comm_worst(comm, comm->rank == 0 ? acquire_first(lock, folder, path, patience) : OK);
    if (status == OK) {
        comm->f->broadcast(comm, lock->name, sizeof lock->name, 0);
        status = comm_worst(comm, comm->rank == 0 ? OK : join(lock, path));
    }
    free(path);
    if (status) {
        run_lock_release(lock);
        lock = NULL;
    }
    *result = lock;
    return status;
}

const char *run_lock_name(const RunLock *lock) { return lock->name; }

void run_lock_release(RunLock *lock) {
    if (!lock) return;
    if (lock->first && ftruncate(lock->fd, 0) != 0) log_warning("emptying the lock file: %s", strerror(errno));
    if (lock->fd >= 0) close(lock->fd);
    free(lock);
}
