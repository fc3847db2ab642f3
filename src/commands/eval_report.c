#include "commands/eval_report.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "commands/output_file.h"

enum { LABEL_WIDTH = 22, REAL_DIGITS = 12 };

static double mean(double sum, double count) { return count > 0 ? sum / count : NAN; }
static double loss_of(const Tally *tally) { return mean(tally->loss, tally->targets); }
static double right_of(const Tally *tally) { return mean(tally->right, tally->targets); }
/* Bits per byte, or per token if the bytes are not known. */
static double bits_of(const EvalReport *report, const Tally *tally) {
    return mean(tally->loss / log(2), report->bytes_known ? tally->bytes : tally->targets);
}

static EvalDomain total_of(const EvalReport *report) {
    EvalDomain total = {.name = "total", .name_bytes = sizeof "total" - 1};
    for (int d = 0; d < report->domains; d++) {
        tally_add(&total.tallies, &report->domain[d].tallies);
        total.windows += report->domain[d].windows;
        total.tokens += report->domain[d].tokens;
        total.left_out += report->domain[d].left_out;
    }
    return total;
}

/* Prints a figure as wide as its column; blanks if there is none. */
static void print_cell(char *line, size_t size, int width, int digits, double value) {
    const size_t used = strlen(line);
    if (isnan(value))
        snprintf(line + used, size - used, "%*s", width, "");
    else
        snprintf(line + used, size - used, "%*.*f", width, digits, value);
}

static void print_row(const EvalReport *report, const char *label, int label_bytes, const Tally *tally,
                      double targets) {
    char line[256];
    snprintf(line, sizeof line, "%-*.*s", LABEL_WIDTH, label_bytes, label);
    print_cell(line, sizeof line, 14, 0, tally->targets);
    print_cell(line, sizeof line, 10, 1, 100 * mean(tally->targets, targets));
    print_cell(line, sizeof line, 11, 6, loss_of(tally));
    print_cell(line, sizeof line, 13, 4, exp(loss_of(tally)));
    print_cell(line, sizeof line, 16, 4, bits_of(report, tally));
    print_cell(line, sizeof line, 10, 2, 100 * right_of(tally));
    log_info("%s", line);
}

static void print_domain(const EvalReport *report, const EvalDomain *domain) {
    const Tallies *t = &domain->tallies;
    const Tally others = tally_rest(&t->all, &t->repeated);
    print_row(report, domain->name, domain->name_bytes, &t->all, t->all.targets);
    print_row(report, "  repeated bigrams", INT16_MAX, &t->repeated, t->all.targets);
    if (report->shown_known) {
        const Tally frequent = tally_rest(&t->repeated, &t->rare);
        print_row(report, "    rare in training", INT16_MAX, &t->rare, t->all.targets);
        print_row(report, "    frequent there", INT16_MAX, &frequent, t->all.targets);
    }
    print_row(report, "  other tokens", INT16_MAX, &others, t->all.targets);
}

/* The positions of a range that exist in a window, as "2-3". */
static void range_label(const EvalReport *report, int range, char label[48]) {
    const int64_t first = tally_first(range), next = tally_first(range + 1),
                  last = (next < report->context ? next : report->context) - 1;
    if (first == last)
        snprintf(label, 48, "  %lld", (long long)first);
    else
        snprintf(label, 48, "  %lld-%lld", (long long)first, (long long)last);
}

static int column_width(const EvalDomain *domain) { return domain->name_bytes > 8 ? domain->name_bytes + 2 : 10; }

/* Prints the loss of each range of positions, with a column for each domain. */
static void print_positions(const EvalReport *report, const EvalDomain *column, int columns) {
    char *text = NULL;
    size_t size = 0;
    FILE *line = open_memstream(&text, &size);
    CHECK_MEMORY(line, "no memory for a table");
    fprintf(line, "%-*s", LABEL_WIDTH, "loss by position");
    for (int c = 0; c < columns; c++)
        fprintf(line, "%*.*s", column_width(&column[c]), column[c].name_bytes, column[c].name);
    for (int range = 0; range < TALLY_POSITIONS && tally_first(range) < report->context; range++) {
        char label[48];
        range_label(report, range, label);
        fprintf(line, "\n%-*s", LABEL_WIDTH, label);
        for (int c = 0; c < columns; c++) {
            const Tally *tally = &column[c].tallies.position[range];
            if (tally->targets > 0)
                fprintf(line, "%*.6f", column_width(&column[c]), loss_of(tally));
            else
                fprintf(line, "%*s", column_width(&column[c]), "-");
        }
    }
    fclose(line);
    log_info("%s", text);
    free(text);
}

void eval_report_print(const EvalReport *report) {
    const bool several = report->domains > 1;
    EvalDomain column[report->domains + 1];
    memcpy(column, report->domain, (size_t)report->domains * sizeof *column);
    column[report->domains] = total_of(report);
    const int columns = report->domains + several;
    log_info("checkpoint  %s", report->checkpoint);
    char pieces[64] = "";
    if (report->context > report->seq_len)
        snprintf(pieces, sizeof pieces, ", %lld at a time", (long long)report->seq_len);
    log_info("windows     of %lld tokens%s%s, %s", (long long)report->context, pieces,
             report->varlen ? ", documents alone" : "", report->dtype);
    const EvalDomain *total = &column[report->domains];
    if (total->left_out > 0)
        log_info("left out    %lld of %lld tokens, behind the last window of each file", (long long)total->left_out,
                 (long long)total->tokens);
    log_info("\n%-*s%14s%10s%11s%13s%16s%10s", LABEL_WIDTH, "data", "targets", "share %", "loss", "perplexity",
             report->bytes_known ? "bits per byte" : "bits per token", "right %");
    for (int c = 0; c < columns; c++) print_domain(report, &column[c]);
    log_info("%s", "");
    print_positions(report, column, columns);
}

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *tally_json(const EvalReport *report, const Tally *tally) {
    json_t *json =
        json_pack("{s:I,s:o,s:o,s:o,s:o}", "targets", (json_int_t)tally->targets, "loss", number(loss_of(tally)),
                  "perplexity", number(exp(loss_of(tally))), report->bytes_known ? "bits_per_byte" : "bits_per_token",
                  number(bits_of(report, tally)), "right", number(right_of(tally)));
    CHECK_MEMORY(json, "no memory for JSON");
    if (report->bytes_known) json_object_set_new(json, "bytes", json_integer((json_int_t)tally->bytes));
    return json;
}

static json_t *domain_json(const EvalReport *report, const EvalDomain *domain) {
    const Tallies *t = &domain->tallies;
    const Tally others = tally_rest(&t->all, &t->repeated);
    json_t *json = json_pack("{s:s%}", "name", domain->name, (size_t)domain->name_bytes), *positions = json_array();
    CHECK_MEMORY(json && positions, "no memory for JSON");
    if (domain->path) json_object_set_new(json, "file", json_string(domain->path));
    json_object_set_new(json, "windows", json_integer(domain->windows));
    json_object_set_new(json, "left_out", json_integer(domain->left_out));
    json_object_update_new(json, tally_json(report, &t->all));
    json_object_set_new(json, "repeated_bigrams", tally_json(report, &t->repeated));
    if (report->shown_known) {
        const Tally frequent = tally_rest(&t->repeated, &t->rare);
        json_object_set_new(json, "rare_repeated_bigrams", tally_json(report, &t->rare));
        json_object_set_new(json, "frequent_repeated_bigrams", tally_json(report, &frequent));
    }
    json_object_set_new(json, "other_tokens", tally_json(report, &others));
    for (int range = 0; range < TALLY_POSITIONS && tally_first(range) < report->context; range++) {
        const int64_t next = tally_first(range + 1), end = next < report->context ? next : report->context;
        json_t *position = json_pack("{s:I,s:I}", "first", (json_int_t)tally_first(range), "last", (json_int_t)end - 1);
        json_object_update_new(position, tally_json(report, &t->position[range]));
        json_array_append_new(positions, position);
    }
    json_object_set_new(json, "positions", positions);
    return json;
}

Status eval_report_write(const EvalReport *report, const char *path) {
    const EvalDomain total = total_of(report);
    json_t *json = json_pack("{s:s,s:s,s:I,s:I,s:b,s:[]}", "checkpoint", report->checkpoint, "dtype", report->dtype,
                             "seq_len", (json_int_t)report->seq_len, "context", (json_int_t)report->context, "varlen",
                             report->varlen, "domains");
    CHECK_MEMORY(json, "no memory for JSON");
    if (report->shown_known) json_object_set_new(json, "rare_at_most", json_integer(report->rare));
    for (int d = 0; d < report->domains; d++)
        json_array_append_new(json_object_get(json, "domains"), domain_json(report, &report->domain[d]));
    json_object_set_new(json, "total", domain_json(report, &total));
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(REAL_DIGITS));
    CHECK_MEMORY(text, "no memory for JSON");
    const Status status = output_write(path, text, (int64_t)strlen(text));
    free(text);
    json_decref(json);
    return status;
}
