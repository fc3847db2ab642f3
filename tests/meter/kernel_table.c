/* kernel_table CONFIG.yaml: counts, without a GPU, what each kernel of a training step does on one, and estimates its
 * time there. One micro-batch of 32,768 tokens, forward, backward and optimizer. */
#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/check.h"
#include "config/config.h"
#include "meter/device_meter.h"
#include "meter/estimate.h"
#include "models/model.h"
#include "training/session.h"
#include "training/setup.h"

enum { TOKENS = 32768, KEYS = 64, OPTIONS = 5, LINES_SHOWN = 40 };

static const char usage[] =
    "usage: kernel_table CONFIG.yaml [--seq-len N] [--kernels REGEX] [--registers kernels_cuda.txt] [--json FILE] "
    "[--lines KERNEL] "
    "[--section.key=value ...]\n"
    "       kernel_table --compare BEFORE.json AFTER.json\n";

/* All launches of a kernel in the step. Values are sums unless stated otherwise. */
typedef struct Row {
    const char *name;
    double launches, programs /* of the smallest launch */, waves /* of all programs */, per_sm, registers;
    Meter sum; /* over launches, of all programs; barriers and chain are the maximum of a program */
    double seconds, floor_seconds;
} Row;

static struct {
    Row row[KERNELS];
    double product_seconds, product_flops, products;
    double move_seconds, moved_bytes, moves;
    int registers[KERNELS]; /* 0: not known */
    bool counting;
} table;

static void add_scaled(Meter *sum, const Meter *m) {
    const double n = m->programs;
    sum->work += m->work * n;
    sum->busiest += m->busiest * n;
    sum->instructions += m->instructions * n;
    sum->requests += m->requests * n;
    sum->mma += m->mma * n;
    sum->read_bytes += m->read_bytes * n;
    sum->written_bytes += m->written_bytes * n;
    sum->moved_bytes += m->moved_bytes * n;
    sum->vector_bytes += m->vector_bytes * n;
    sum->wavefronts += m->wavefronts * n;
    sum->extra_wavefronts += m->extra_wavefronts * n;
    sum->distinct_bytes += m->distinct_bytes;
    sum->programs += n;
    sum->shared_bytes = m->shared_bytes;
    sum->barriers = fmax(sum->barriers, m->barriers);
    sum->chain = fmax(sum->chain, m->chain);
    sum->cycles = fmax(sum->cycles, m->cycles);
}

static void launched(Kernel kernel, const char *name, const Meter *m) {
    Row *row = &table.row[kernel];
    if (!table.counting) return;
    const int known = table.registers[kernel], registers = known ? known : m->mma > 0 ? 168 : 40;
    const int per_sm = estimate_programs_per_sm(registers, m->shared_bytes);
    row->name = name;
    row->programs = row->launches == 0 ? m->programs : fmin(row->programs, m->programs);
    row->launches++;
    row->per_sm = per_sm;
    row->registers = registers;
    row->waves += estimate_waves(m, per_sm);
    row->seconds += estimate_launch(m, per_sm);
    row->floor_seconds += fmax(m->distinct_bytes / MEMORY_RATE, m->mma * m->programs * 4096 / PRODUCT_RATE);
    add_scaled(&row->sum, m);
}

static void multiplied(const Gemm *gemm) {
    if (!table.counting) return;
    table.products++;
    table.product_flops += 2.0 * (double)gemm->m * (double)gemm->n * (double)gemm->k;
    table.product_seconds += estimate_product(gemm);
}

static void moved(double bytes) {
    if (!table.counting) return;
    table.moves++;
    table.moved_bytes += bytes;
    table.move_seconds += estimate_transfer(bytes);
}

static int kernel_named(const char *name) {
    static const char *const names[] = {
#define KERNEL_ENTRY(name) #name,
#include "core/kernels.def"
#undef KERNEL_ENTRY
    };
    for (int k = 0; k < KERNELS; k++)
        if (strcmp(names[k], name) == 0) return k;
    return -1;
}

/* Registers of the kernels on sm_90 with bf16 elements, from the table that the build for GPUs writes. */
static Status read_registers(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "kernel_table: %s: %s\n", path, strerror(errno));
        return IO_ERROR;
    }
    char line[256], name[64], type[16], gpu[16];
    int registers, found = 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%63s %15s %15s %d", name, type, gpu, &registers) != 4) continue;
        const int kernel = kernel_named(name);
        if (kernel < 0 || strcmp(type, "bf16") != 0 || strcmp(gpu, "sm_90") != 0) continue;
        table.registers[kernel] = registers;
        found++;
    }
    fclose(file);
    if (found) return OK;
    fprintf(stderr,
            "kernel_table: %s names no kernel for sm_90 with bf16 elements; it must be build/kernels_cuda.txt\n", path);
    return BAD_INPUT;
}

/* The step. */

static void random_tokens(const TrainConfig *config, const Session *session) {
    const HostBatch batch = runner_batch(session->runner);
    const int64_t T = config->training.seq_len;
    uint64_t random = 1;
    for (int64_t i = 0; i < TOKENS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        batch.tokens[i] = batch.labels[i] = (int32_t)((random >> 33) % (uint64_t)session->model->config.vocab_size);
        batch.segment[i] = 0;
        batch.position[i] = (int32_t)(i % T);
    }
}

static Status run_step(const TrainConfig *config, double *flops) {
    static const DeviceMeter observer = {launched, multiplied, moved};
    const Device *device = device_meter(&observer);
    Model *model = NULL;
    Status status = model_create(config->model, &model);
    if (status != OK) return status;
    RunnerOptions options = setup_runner(config, NULL);
    options.replay = false;
    const MemoryPlan plan = setup_memory(config, &options, model, 1, 1);
    *flops = setup_flops_per_token(&plan, config) * TOKENS;
    Session session = {0};
    status = session_open(&session, comm_self_create(), device, model, options, setup_sharding(config));
    if (status == OK) {
        const OptimizerOptions optimizer = setup_optimizer(config);
        random_tokens(config, &session);
        table.counting = true;
        runner_train(session.runner, true);
        optimizer_step(session.fsdp, &optimizer, 1, config->optimizer.lr, 1.0 / TOKENS);
        fsdp_end_step(session.fsdp);
        table.counting = false;
    }
    session_close(&session);
    return status;
}

/* The table. */

static double share(double part, double whole) { return whole > 0 ? 100 * part / whole : 100; }

static json_t *row_json(const Row *r) {
    const Meter *m = &r->sum;
    const double bytes = m->read_bytes + m->written_bytes;
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                     "kernel", r->name, "launches", r->launches, "programs", r->programs, "per_sm", r->per_sm,
                     "registers", r->registers, "shared_bytes", m->shared_bytes, "waves", r->waves / r->launches,
                     "lanes", share(m->work, m->busiest), "megabytes", bytes / 1e6, "bytes_over_least",
                     bytes / m->distinct_bytes, "vector_share", share(m->vector_bytes, m->moved_bytes), "conflicts",
                     m->wavefronts > 0 ? 100 * m->extra_wavefronts / m->wavefronts : 0.0, "mma", m->mma, "instructions",
                     m->instructions / m->programs, "cycles", m->cycles, "barriers", m->barriers, "chain", m->chain,
                     "ms", r->seconds * 1e3, "roofline", share(r->floor_seconds, r->seconds));
}

static int by_time(const void *a, const void *b) {
    const Row *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static void print_row(const json_t *r) {
    printf("%-28s %6.0f %8.0f %4.0f %8.2f %7.1f %9.1f %6.2f %6.1f %9.1f %10.3g %8.0f %8.0f %9.2f %6.1f\n",
           json_string_value(json_object_get(r, "kernel")), number(r, "launches"), number(r, "programs"),
           number(r, "per_sm"), number(r, "waves"), number(r, "lanes"), number(r, "megabytes"),
           number(r, "bytes_over_least"), number(r, "vector_share"), number(r, "conflicts"), number(r, "mma"),
           number(r, "barriers"), number(r, "chain"), number(r, "ms"), number(r, "roofline"));
}

static void print_table(const json_t *all) {
    size_t i;
    json_t *row;
    printf("%-28s %6s %8s %4s %8s %7s %9s %6s %6s %9s %10s %8s %8s %9s %6s\n", "kernel", "runs", "programs", "/SM",
           "waves", "lanes %", "MB", "/least", "16 B %", "banks %", "mma", "barriers", "chain", "ms", "roof %");
    json_array_foreach(json_object_get(all, "kernels"), i, row) print_row(row);
    printf("\n%-28s %6.0f %71s %9.2f  (%.0f TFLOP/s)\n", "products", number(all, "products"), "",
           number(all, "products_ms"), number(all, "products_tflop") / number(all, "products_ms") * 1e3);
    printf("%-28s %6.0f %71s %9.2f\n", "fills and copies", number(all, "moves"), "", number(all, "moves_ms"));
    printf("%-28s %78s %9.2f\n", "kernels", "", number(all, "kernels_ms"));
    printf("%-28s %78s %9.2f  %.0f tokens/s, %.1f %% of %.0f TFLOP/s\n", "step", "", number(all, "step_ms"),
           number(all, "tokens_per_second"), number(all, "mfu"), PRODUCT_RATE / 1e12);
}

static json_t *table_json(const char *config, double flops, const regex_t *wanted) {
    json_t *rows = json_array();
    double seconds = 0;
    qsort(table.row, KERNELS, sizeof table.row[0], by_time);
    for (int k = 0; k < KERNELS && table.row[k].launches > 0; k++) {
        seconds += table.row[k].seconds;
        if (!wanted || regexec(wanted, table.row[k].name, 0, NULL, 0) == 0)
            json_array_append_new(rows, row_json(&table.row[k]));
    }
    const double step = seconds + table.product_seconds + table.move_seconds;
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "config", config, "products",
                     table.products, "products_tflop", table.product_flops / 1e12, "products_ms",
                     table.product_seconds * 1e3, "moves", table.moves, "moves_ms", table.move_seconds * 1e3,
                     "kernels_ms", seconds * 1e3, "step_ms", step * 1e3, "tokens_per_second", TOKENS / step, "mfu",
                     100 * flops / step / PRODUCT_RATE, "kernels", rows);
}

/* Before and after. */

static const json_t *row_of(const json_t *all, const char *name) {
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(all, "kernels"), i, row) {
        if (strcmp(json_string_value(json_object_get(row, "kernel")), name) == 0) return row;
    }
    return NULL;
}

static void print_pair(const json_t *a, const json_t *b, const char *key, int width, int digits) {
    char before[32] = "-", after[32] = "-";
    if (a) snprintf(before, sizeof before, "%.*f", digits, number(a, key));
    if (b) snprintf(after, sizeof after, "%.*f", digits, number(b, key));
    printf(" %*s | %-*s", width, before, width, after);
}

static const struct Column {
    const char *key, *title;
    int width, digits;
} columns[] = {{"programs", "programs", 7, 0},   {"waves", "waves", 6, 1},
               {"lanes", "lanes %", 5, 1},       {"bytes_over_least", "bytes/least", 5, 2},
               {"vector_share", "16 B %", 5, 1}, {"conflicts", "banks %", 5, 1},
               {"barriers", "barriers", 5, 0},   {"ms", "ms", 7, 2},
               {"roofline", "roof %", 5, 1}};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static void compare_row(const char *name, const json_t *a, const json_t *b) {
    printf("%-28s", name);
    for (int c = 0; c < COLUMNS; c++) print_pair(a, b, columns[c].key, columns[c].width, columns[c].digits);
    printf("\n");
}

static Status compare(const char *before_path, const char *after_path) {
    json_error_t error;
    json_t *before = json_load_file(before_path, 0, &error), *row;
    json_t *after = before ? json_load_file(after_path, 0, &error) : NULL;
    size_t i;
    if (!after) {
        fprintf(stderr, "kernel_table: %s: %s\n", before ? after_path : before_path, error.text);
        json_decref(before);
        return BAD_INPUT;
    }
    printf("%-28s", "before | after");
    for (int c = 0; c < COLUMNS; c++) printf(" %*s", 2 * columns[c].width + 3, columns[c].title);
    printf("\n");
    json_array_foreach(json_object_get(before, "kernels"), i, row) {
        const char *name = json_string_value(json_object_get(row, "kernel"));
        compare_row(name, row, row_of(after, name));
    }
    json_array_foreach(json_object_get(after, "kernels"), i, row) {
        const char *name = json_string_value(json_object_get(row, "kernel"));
        if (!row_of(before, name)) compare_row(name, NULL, row);
    }
    static const char *const totals[] = {"products_ms", "kernels_ms",        "moves_ms",
                                         "step_ms",     "tokens_per_second", "mfu"};
    for (size_t t = 0; t < sizeof totals / sizeof totals[0]; t++) {
        printf("%-28s", totals[t]);
        print_pair(before, after, totals[t], 10, 2);
        printf("\n");
    }
    json_decref(before);
    json_decref(after);
    return OK;
}

/* The lines of a kernel. */

extern const char __executable_start; /* defined by the linker */
static uintptr_t load_address(void) { return (uintptr_t)&__executable_start; }

/* Prints a line of source, or several if functions are inlined: the innermost is in the tile language, the last one in
 * the kernel. */
static void show_line(const MeterLine *line, int programs) {
    static int shown;
    char command[512], text[4096] = "", place[256];
    if (shown++ >= LINES_SHOWN) return;
    if (shown == 1) printf("%9s %6s %8s %9s %9s\n", "requests", "lanes", "sectors", "conflicts", "waited");
    snprintf(command, sizeof command, "addr2line -s -i -e %s %#lx", "/proc/$PPID/exe",
             (unsigned long)((uintptr_t)line->site - 1 - load_address()));
    FILE *lines = popen(command, "r");
    while (lines && fgets(place, sizeof place, lines)) {
        place[strcspn(place, " \n")] = 0;
        if (strlen(text) + strlen(place) + 4 > sizeof text) break;
        strcat(strcat(text, *text ? " < " : ""), place);
    }
    if (lines) pclose(lines);
    printf("%9.0f %6.1f %8.1f %9.0f %9.0f  %s\n", line->requests / programs, line->lanes / line->requests,
           line->sectors / line->requests, line->extra_wavefronts / programs, line->waited / programs, text);
}

/* The command line. */

typedef struct CommandLine {
    const char *config, *kernels, *registers, *json, *seq_len, *lines, *compare[2];
    char *key[KEYS];
    int keys;
} CommandLine;

static bool parse(int argc, char **argv, CommandLine *c) {
    const struct {
        const char *name;
        const char **value;
    } options[] = {{"--seq-len", &c->seq_len},
                   {"--kernels", &c->kernels},
                   {"--registers", &c->registers},
                   {"--lines", &c->lines},
                   {"--json", &c->json}};
    if (argc == 4 && strcmp(argv[1], "--compare") == 0) {
        c->compare[0] = argv[2];
        c->compare[1] = argv[3];
        return true;
    }
    for (int i = 1; i < argc; i++) {
        size_t o = 0;
        while (o < OPTIONS && strcmp(argv[i], options[o].name) != 0) o++;
        if (o < OPTIONS) {
            if (++i == argc) return false;
            *options[o].value = argv[i];
        } else if (argv[i][0] == '-') {
            if (c->keys == KEYS) return false;
            c->key[c->keys++] = argv[i];
        } else if (!c->config) {
            c->config = argv[i];
        } else {
            return false;
        }
    }
    return c->config;
}

/* Reads the configuration, and sets the number of sequences of a micro-batch such that it has 32,768 tokens. */
static Status load(const CommandLine *c, TrainConfig *config) {
    char seq_len[64], *arguments[KEYS + 3] = {"--config", (char *)c->config};
    int count = 2;
    for (int i = 0; i < c->keys; i++) arguments[count++] = c->key[i];
    if (c->seq_len) {
        snprintf(seq_len, sizeof seq_len, "--training.seq_len=%s", c->seq_len);
        arguments[count++] = seq_len;
    }
    const Status status = config_load(count, arguments, config);
    if (status != OK) return status;
    if (TOKENS % config->training.seq_len != 0) {
        fprintf(stderr, "kernel_table: %d tokens are not a multiple of the sequence length %lld\n", TOKENS,
                (long long)config->training.seq_len);
        config_free(config);
        return BAD_INPUT;
    }
    config->training.batch_size = TOKENS / config->training.seq_len;
    config_set_device(config, "cuda");
    return OK;
}

static Status count_step(const CommandLine *c) {
    if (c->lines && kernel_named(c->lines) < 0) {
        fprintf(stderr, "kernel_table: --lines %s: there is no such kernel in core/kernels.def\n", c->lines);
        return USAGE;
    }
    if (c->lines) meter_show_lines(c->lines, show_line);
    regex_t wanted;
    TrainConfig config;
    double flops = 0;
    if (c->kernels && regcomp(&wanted, c->kernels, REG_EXTENDED | REG_NOSUB) != 0) {
        fprintf(stderr, "kernel_table: --kernels %s is not a regular expression\n", c->kernels);
        return USAGE;
    }
    Status status = c->registers ? read_registers(c->registers) : OK;
    if (status == OK) status = load(c, &config);
    if (status != OK) return status;
    status = run_step(&config, &flops);
    if (status == OK) {
        json_t *all = table_json(c->config, flops, c->kernels ? &wanted : NULL);
        print_table(all);
        if (c->json && json_dump_file(all, c->json, JSON_COMPACT | JSON_REAL_PRECISION(6)) != 0) {
            fprintf(stderr, "kernel_table: writing %s: %s\n", c->json, strerror(errno));
            status = IO_ERROR;
        }
        json_decref(all);
    }
    config_free(&config);
    if (c->kernels) regfree(&wanted);
    return status;
}

int main(int argc, char **argv) {
    CommandLine c = {0};
    if (!parse(argc, argv, &c)) {
        fputs(usage, stderr);
        return USAGE;
    }
    return c.compare[0] ? compare(c.compare[0], c.compare[1]) : count_step(&c);
}
