/* Errors. Two kinds, kept apart:
 *   CHECK   a mistake in this program: says where, and ends the whole job.
 *   Status  the outside world (files, config, data, network): returned to the caller, logged once where it is decided.
 */
#ifndef FLAME_BASE_CHECK_H
#define FLAME_BASE_CHECK_H

/* What a function that meets the outside world returns, and what the process exits with. */
typedef enum Status {
    OK = 0,           /* done, or saved on request */
    BAD_INPUT = 1,    /* a file, a config value or data that cannot be used */
    USAGE = 2,        /* the command line */
    IO_ERROR = 3,     /* reading or writing failed */
    NUMERIC_STOP = 4, /* too many steps with a loss or gradient that is not finite */
    WATCHDOG = 5      /* a rank or a collective is stuck */
} Status;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                                   \
    } while (0)

/* Prints rank, place, condition and the message, then ends every rank of the job. Does not return. */
_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
