/* Three kinds of errors:
 *   CHECK         bugs of this program: prints file and line, and ends the whole job.
 *   CHECK_MEMORY  the system refuses a small piece of memory or a thread: ends the whole job with BAD_INPUT. Large
 *                 pieces, which a configuration key can reduce, are taken with base/memory.h.
 *   Status        problems of the outside world (files, configuration, data, network): returned to the caller, and
 *                 logged once, by the function that detects them. */
#ifndef FLAME_BASE_CHECK_H
#define FLAME_BASE_CHECK_H

/* Result of a function, and exit code of the process. */
typedef enum Status {
    OK = 0,            /* success, and also a run that saved and stopped on request */
    BAD_INPUT = 1,     /* a file, a config value or data that cannot be used */
    USAGE = 2,         /* the command line */
    IO_ERROR = 3,      /* reading or writing failed */
    NUMERIC_STOP = 4,  /* steps that were skipped or rewound too often, or results that are not finite or differ */
    WATCHDOG = 5,      /* a rank or a collective is stuck */
    CHECK_FAILED = 70, /* a bug of this program */
    INTERRUPTED = 130  /* Ctrl-C; what was done so far is kept as a result, or removed */
} Status;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                                   \
    } while (0)

/* The message names what there is no memory for. */
#define CHECK_MEMORY(condition, ...)                                                                                   \
    do {                                                                                                               \
        if (!(condition)) memory_ended(__FILE__, __LINE__, __VA_ARGS__);                                               \
    } while (0)

/* Prints rank, file, line, condition and message, then ends every rank of the job. */
_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
_Noreturn void memory_ended(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
