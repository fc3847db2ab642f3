#include "reporting/metrics.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/number.h"
#include "reporting/earlier_lines.h"
#include "reporting/journal.h"
#include "reporting/tensorboard.h"

struct Metrics {
    Journal lines, text; /* metrics.jsonl and train.log */
    TensorBoard *board;
    MetricsOptions options;
    EarlierLines kept;
    bool terminal;
};

/* Whether standard output is a terminal. Open MPI connects ranks to a pseudo-terminal even if mpirun's output goes to a
 * file, so under Open MPI this looks at the output of mpirun, the parent process. */
static bool shows_on_terminal(void) {
    if (!isatty(STDOUT_FILENO)) return false;
    if (!getenv("OMPI_COMM_WORLD_SIZE")) return true;
    char output[64], target[64];
    snprintf(output, sizeof output, "/proc/%ld/fd/1", (long)getppid());
    const ssize_t length = readlink(output, target, sizeof target - 1);
    if (length < 0) return false;
    target[length] = 0;
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}

static Status open_files(Metrics *metrics, const MetricsOptions *options) {
    char path[4096];
    snprintf(path, sizeof path, "%s/metrics.jsonl", options->folder);
    metrics->kept = (EarlierLines){0};
    Status status = options->new_run ? earlier_lines_put_aside(path)
                                     : earlier_lines_keep(path, options->run, options->resumed_step, &metrics->kept);
    if (status == OK) status = journal_open(&metrics->lines, path, metrics->kept.bytes);
    if (status != OK) return status;
    snprintf(path, sizeof path, "%s/train.log", options->folder);
    status = journal_open(&metrics->text, path, -1);
    if (status != OK || !options->tb_folder) return status;
    snprintf(path, sizeof path, "%s/%s", options->folder, options->tb_folder);
    return tensorboard_open(path, options->resumed_step, &metrics->board);
}

Status metrics_open(const MetricsOptions *options, Metrics **metrics) {
    Metrics *made = calloc(1, sizeof *made);
    CHECK_MEMORY(made, "no memory for metrics");
    made->lines.fd = made->text.fd = -1;
    made->options = *options;
    made->terminal = shows_on_terminal();
    const Status status = open_files(made, &made->options);
    if (status == OK)
        *metrics = made;
    else
        metrics_close(made);
    return status;
}

/* Errors are ignored: some file systems cannot sync. */
void metrics_flush(Metrics *metrics) {
    if (!metrics) return;
    (void)fdatasync(metrics->lines.fd);
    tensorboard_flush(metrics->board);
}

static void close_files(Metrics *metrics) {
    journal_close(&metrics->lines);
    journal_close(&metrics->text);
    tensorboard_close(metrics->board);
    metrics->board = NULL;
}

Status metrics_rewind(Metrics *metrics, int64_t step) {
    metrics_flush(metrics);
    close_files(metrics);
    metrics->options.new_run = false;
    metrics->options.resumed_step = step;
    return open_files(metrics, &metrics->options);
}

void metrics_close(Metrics *metrics) {
    if (!metrics) return;
    close_files(metrics);
    free(metrics);
}

/* A JSON object under construction. The buffer is far longer than a line with all keys. */
typedef struct Object {
    char text[1024];
    size_t used;
} Object;

static void put_member(Object *object, const char *key, const char *value) {
    object->used += (size_t)snprintf(object->text + object->used, sizeof object->text - object->used, "%s\"%s\": %s",
                                     object->used ? ", " : "{", key, value);
}

static void put_integer(Object *object, const char *key, int64_t value) {
    char text[NUMBER_TEXT];
    snprintf(text, sizeof text, "%lld", (long long)value);
    put_member(object, key, text);
}

/* Writes null for NaN and infinity, which JSON lacks. */
static void put_real(Object *object, const char *key, double value) {
    char text[NUMBER_TEXT];
    put_member(object, key, isfinite(value) ? number_format(value, text) : "null");
}

/* Formats 1234567 as "1.23M". */
static void format_count(double count, char text[16]) {
    const char *unit = count >= 1e9 ? "G" : count >= 1e6 ? "M" : count >= 1e4 ? "k" : "";
    const double scale = count >= 1e9 ? 1e9 : count >= 1e6 ? 1e6 : count >= 1e4 ? 1e3 : 1;
    snprintf(text, 16, "%.*f%s", scale == 1 ? 0 : scale == 1e3 ? 1 : 2, count / scale, unit);
}

static void format_line(const Metrics *metrics, const StepMetrics *s, char line[512]) {
    char rate[16], eta[32] = "", skipped[48] = "", teacher[40] = "";
    format_count(s->tokens_per_second, rate);
    if (s->eta_seconds >= 0 && s->eta_seconds < 1e9) {
        const long long left = (long long)(s->eta_seconds + 0.5);
        snprintf(eta, sizeof eta, "  eta %lld:%02lld:%02lld", left / 3600, left / 60 % 60, left % 60);
    }
    if (s->skipped_steps > 0) snprintf(skipped, sizeof skipped, "  skipped %lld", (long long)s->skipped_steps);
    if (s->has_teacher) snprintf(teacher, sizeof teacher, "  teacher KL %.4f", s->teacher_kl);
    const double data = s->step_seconds > 0 ? 100 * s->data_seconds / s->step_seconds : 0;
    snprintf(line, 512,
             "step %6lld/%lld  loss %.4f%s  grad norm %.3f  lr %.2e  %s tokens/s  MFU %.1f%%  memory %.0f MB  data "
             "%.1f%%%s%s",
             (long long)s->step, (long long)metrics->options.steps, s->loss, teacher, s->grad_norm, s->lr, rate,
             100 * s->mfu, (double)s->memory_bytes / 1e6, data, eta, skipped);
}

/* A text of any length. The caller frees it. */
static char *format(const char *form, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *form, ...) {
    char *text = NULL;
    size_t bytes = 0;
    va_list arguments;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "no memory for a line");
    va_start(arguments, form);
    vfprintf(file, form, arguments);
    va_end(arguments);
    CHECK_MEMORY(fclose(file) == 0, "no memory for a line");
    return text;
}

/* A text as JSON, in which it is one line. The caller frees it. */
static char *quoted(const char *text, int64_t bytes) {
    json_t *string = json_stringn(text, (size_t)bytes);
    char *json = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    CHECK(json, "a text for the log that is not UTF-8");
    json_decref(string);
    return json;
}

/* Appends an object without its closing brace to metrics.jsonl. The first one names the run. */
static void append_line(Metrics *metrics, const char *object) {
    const char *run = metrics->lines.end == 0 ? metrics->options.run : "";
    char *name = quoted(run, (int64_t)strlen(run));
    char *line = run[0] ? format("%s, \"run\": %s}\n", object, name) : format("%s}\n", object);
    journal_append(&metrics->lines, line, strlen(line));
    free(line);
    free(name);
}

/* Prints a line to standard output and train.log. On a terminal it replaces the progress line. */
static void print_line(Metrics *metrics, const char *line) {
    char *text = format("%s\n", line);
    journal_append(&metrics->text, text, strlen(text));
    printf("%s%s", metrics->terminal ? "\033[K" : "", text);
    fflush(stdout);
    free(text);
}

void metrics_step(Metrics *metrics, const StepMetrics *s) {
    if (!metrics) return;
    char line[512];
    format_line(metrics, s, line);
    print_line(metrics, line);
    Object object = {.used = 0};
    put_integer(&object, "step", s->step);
    put_integer(&object, "tokens", s->tokens);
    put_real(&object, "loss", s->loss);
    if (s->has_teacher) put_real(&object, "teacher_kl", s->teacher_kl);
    put_real(&object, "grad_norm", s->grad_norm);
    put_real(&object, "lr", s->lr);
    put_real(&object, "tokens_per_second", s->tokens_per_second);
    put_real(&object, "mfu", s->mfu);
    put_real(&object, "step_seconds", s->step_seconds);
    put_real(&object, "data_seconds", s->data_seconds);
    put_integer(&object, "memory_bytes", s->memory_bytes);
    put_integer(&object, "skipped_steps", s->skipped_steps);
    if (s->passed_over > 0) put_integer(&object, "passed_over", s->passed_over);
    append_line(metrics, object.text);
    const Scalar scalars[] = {
        {"loss/train", s->loss},
        {"grad_norm", s->grad_norm},
        {"lr", s->lr},
        {"speed/tokens_per_second", s->tokens_per_second},
        {"speed/mfu", s->mfu},
        {"speed/step_seconds", s->step_seconds},
        {"speed/data_seconds", s->data_seconds},
        {"memory_bytes", (double)s->memory_bytes},
        {"skipped_steps", (double)s->skipped_steps},
        {"tokens", (double)s->tokens},
    };
    tensorboard_scalars(metrics->board, s->step, scalars, sizeof scalars / sizeof scalars[0]);
    if (s->has_teacher) tensorboard_scalars(metrics->board, s->step, &(Scalar){"loss/teacher_kl", s->teacher_kl}, 1);
}

void metrics_live(Metrics *metrics, const StepMetrics *step) {
    if (!metrics || !metrics->terminal) return;
    char line[512];
    format_line(metrics, step, line);
    printf("%s\033[K\r", line);
    fflush(stdout);
}

bool metrics_has_validation(const Metrics *metrics) { return metrics && metrics->kept.validation; }

bool metrics_has_previews(const Metrics *metrics) { return metrics && metrics->kept.previews; }

void metrics_validation(Metrics *metrics, int64_t step, int64_t tokens, double val_loss) {
    if (!metrics) return;
    char line[128];
    snprintf(line, sizeof line, "step %6lld/%lld  validation loss %.4f  perplexity %.2f", (long long)step,
             (long long)metrics->options.steps, val_loss, exp(val_loss));
    print_line(metrics, line);
    Object object = {.used = 0};
    put_integer(&object, "step", step);
    put_integer(&object, "tokens", tokens);
    put_real(&object, "val_loss", val_loss);
    append_line(metrics, object.text);
    tensorboard_scalars(metrics->board, step, &(Scalar){"loss/validation", val_loss}, 1);
}

static void append_preview(Metrics *metrics, const Preview *p, const char *prompt, const char *text) {
    char *line = format("{\"step\": %lld, \"tokens\": %lld, \"kind\": \"sample\", \"prompt\": %s, \"text\": %s",
                        (long long)p->step, (long long)p->tokens, prompt, text);
    append_line(metrics, line);
    free(line);
}

static void show_preview(Metrics *metrics, const Preview *p) {
    char tag[32], *both = malloc((size_t)(p->prompt_bytes + p->text_bytes) + 1);
    CHECK_MEMORY(both, "no memory for a text");
    memcpy(both, p->prompt, (size_t)p->prompt_bytes);
    memcpy(both + p->prompt_bytes, p->text, (size_t)p->text_bytes);
    snprintf(tag, sizeof tag, "samples/%lld", (long long)p->number);
    tensorboard_text(metrics->board, p->step, tag, both, p->prompt_bytes + p->text_bytes);
    free(both);
}

void metrics_preview(Metrics *metrics, const Preview *p) {
    if (!metrics) return;
    char *prompt = quoted(p->prompt, p->prompt_bytes), *text = quoted(p->text, p->text_bytes);
    char *line =
        format("step %6lld/%lld  %s goes on %s", (long long)p->step, (long long)metrics->options.steps, prompt, text);
    print_line(metrics, line);
    append_preview(metrics, p, prompt, text);
    show_preview(metrics, p);
    free(prompt);
    free(text);
    free(line);
}

void metrics_note(Metrics *metrics, const char *format, ...) {
    if (!metrics) return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    print_line(metrics, line);
}

static double real_of(const json_t *line, const char *key) {
    const json_t *value = json_object_get(line, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static FILE *open_lines(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, "rb");
}

bool metrics_read(const char *folder, const char *name, int64_t step, double *loss, double *grad_norm) {
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file = open_lines(folder, name);
    while (file && getline(&line, &room, file) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        if (json_object_get(object, "grad_norm") && json_integer_value(json_object_get(object, "step")) == step) {
            *loss = real_of(object, "loss");
            *grad_norm = real_of(object, "grad_norm");
            found = true;
        }
        json_decref(object);
    }
    if (file) fclose(file);
    free(line);
    return found;
}

int64_t metrics_last_step(const char *folder, const char *name) {
    char *line = NULL;
    size_t room = 0;
    int64_t last = 0;
    FILE *file = open_lines(folder, name);
    if (!file) return -1;
    while (getline(&line, &room, file) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        const int64_t step = json_integer_value(json_object_get(object, "step"));
        if (step > last) last = step;
        json_decref(object);
    }
    fclose(file);
    free(line);
    return last;
}

int64_t memory_peak(void) {
    /* getrusage would include the program that ran in this process before exec. */
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long long kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lld kB", &kilobytes) == 1) break;
    if (file) fclose(file);
    struct rusage usage;
    if (kilobytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0) kilobytes = usage.ru_maxrss;
    return (int64_t)kilobytes * 1024;
}
