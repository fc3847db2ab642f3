/* Reports what flame-c eval has found, as a table and as JSON. */
#ifndef FLAME_COMMANDS_EVAL_REPORT_H
#define FLAME_COMMANDS_EVAL_REPORT_H

#include "base/check.h"
#include "training/tally.h"

typedef struct EvalDomain {
    const char *name;
    int name_bytes; /* length of the name, which does not end with a zero byte */
    const char *path;
    int64_t windows, tokens, left_out; /* left_out: tokens behind the last window, which are not scored */
    Tallies tallies;
} EvalDomain;

typedef struct EvalReport {
    const char *checkpoint, *dtype;
    int64_t seq_len, context; /* tokens that the model reads at a time; tokens of a window */
    bool varlen;
    bool bytes_known; /* otherwise all Tally.bytes are 0 */
    bool shown_known; /* otherwise all Tallies.rare are 0 */
    int64_t rare;     /* bigrams that training has shown at most this often are rare */
    EvalDomain *domain;
    int domains;
} EvalReport;

/* Prints the table with log_info. */
void eval_report_print(const EvalReport *report);
/* Writes everything as one JSON object to `path`, or leaves nothing there. IO_ERROR (logged). */
Status eval_report_write(const EvalReport *report, const char *path);

#endif
