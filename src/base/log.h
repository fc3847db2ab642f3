/* Messages for people. Errors and warnings go to standard error with the rank; information only from rank 0.
 *
 * A message that every rank has is printed once: rank 0 prints what it says at once, the other ranks keep theirs until
 * the ranks meet in comm_worst, where rank 0 prints those that are new. */
#ifndef FLAME_BASE_LOG_H
#define FLAME_BASE_LOG_H

#include <stdarg.h>
#include <stdint.h>

/* Who is speaking; called once after the communicator is known. Before that the process is rank 0 of 1. */
void log_set_rank(int rank, int size);
int log_rank(void);

/* What ends every rank when CHECK fails: MPI_Abort where there is MPI, else exit. */
void log_set_abort(void (*abort_job)(int code));
/* Ends every rank with this exit code, without tidying up; the reason has been logged. */
_Noreturn void log_end_job(int code);

/* Rank 0 only, standard output. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Any rank, standard error, one line each: "flame-c: warning: [rank 3] ...". Any thread. */
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For comm_worst. The messages of this rank since the last call, a zero byte behind each; the caller frees them. NULL
 * and 0 bytes if there are none. */
char *log_take(int64_t *bytes);
/* Prints a message that log_take gave on rank `rank`. */
void log_repeat(int rank, const char *message);
/* Prints what this rank has kept, before it ends without meeting the others. */
void log_flush(void);

#endif
