/* Log messages. Errors and warnings go to standard error, prefixed with the rank; information comes from rank 0 only.
 *
 * A message that several ranks log is printed once: rank 0 prints its own messages immediately; the other ranks buffer
 * theirs until the next comm_worst, where rank 0 receives them and prints those that it has not printed yet. */
#ifndef FLAME_BASE_LOG_H
#define FLAME_BASE_LOG_H

#include <stdarg.h>
#include <stdint.h>

/* Sets the rank of this process, once the communicator is known. Until then it is rank 0 of 1. */
void log_set_rank(int rank, int size);
int log_rank(void);

/* Sets the function that ends all ranks: MPI_Abort. MPI may be called from one thread only, so this function is called
 * only on the thread that sets it here. */
void log_set_abort(void (*abort_job)(int code));
/* Sets a function that log_end_job calls first, on whichever thread that runs. NULL: none. */
void log_set_ending(void (*ending)(void));
/* Ends every rank with this exit code, without cleaning up. The caller has logged the reason. Any thread may call it,
 * even if other threads are stuck. If the function of log_set_abort must not be called on this thread, or hangs, only
 * this process ends, and its exit code makes the launcher end the other ranks. The first caller's code counts; later
 * messages are dropped. */
_Noreturn void log_end_job(int code);

/* Prints a line to standard output, on rank 0 only. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Print a line to standard error: "flame-c: warning: [rank 3] ...". Thread-safe. */
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For comm_worst: takes the buffered messages of this rank, each terminated by a zero byte. The caller frees them. NULL
 * and 0 bytes if there are none. */
char *log_take(int64_t *bytes);
/* Prints a message that log_take returned on rank `rank`. */
void log_repeat(int rank, const char *message);
/* Prints the buffered messages, before a rank ends without another comm_worst. */
void log_flush(void);

#endif
