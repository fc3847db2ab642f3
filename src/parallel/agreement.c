#define _GNU_SOURCE /* dl_iterate_phdr, vasprintf */
#include "parallel/agreement.h"

#include <inttypes.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/files.h"
#include "base/log.h"
#include "core/device.h"

/* `text` has a line for each key: KEY, a tab, the value. */
struct Agreement {
    FILE *file;
    char *text;
    size_t bytes;
};

Agreement *agreement_begin(void) {
    Agreement *agreement = calloc(1, sizeof *agreement);
    CHECK_MEMORY(agreement, "out of memory");
    agreement->file = open_memstream(&agreement->text, &agreement->bytes);
    CHECK_MEMORY(agreement->file, "out of memory");
    return agreement;
}

void agreement_add(Agreement *agreement, const char *key, const char *format, ...) {
    char *value = NULL;
    va_list arguments;
    va_start(arguments, format);
    CHECK_MEMORY(vasprintf(&value, format, arguments) >= 0, "no memory for a value");
    va_end(arguments);
    fprintf(agreement->file, "%s\t", key);
    for (const char *c = value; *c; c++) {
        if (*c == '\n' || *c == '\\') fputc('\\', agreement->file);
        fputc(*c == '\n' ? 'n' : *c, agreement->file);
    }
    fputc('\n', agreement->file);
    free(value);
}

static void add_value(Agreement *agreement, const char *key, const ConfigValue *value) {
    if (value->type != VALUE_MAPPING) {
        fprintf(agreement->file, "%s\t", key);
        config_value_write(agreement->file, value, -1);
        fputc('\n', agreement->file);
        return;
    }
    char name[CONFIG_DEPTH * (KEY_BYTES + 1)];
    for (int i = 0; i < value->count; i++) {
        snprintf(name, sizeof name, "%s%s%s", key, *key ? "." : "", value->item[i]->key);
        add_value(agreement, name, value->item[i]);
    }
}

void agreement_add_tree(Agreement *agreement, const ConfigValue *tree) { add_value(agreement, "", tree); }

/* This also reads the gaps between constants, which the address sanitizer poisons. */
__attribute__((no_sanitize("address"))) static void copy_bytes(char *to, const volatile char *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
}

static uint32_t crc_of_memory(uint32_t crc, const char *at, int64_t count) {
    enum { PIECE = 1 << 14 };
    char piece[PIECE];
    for (int64_t done = 0; done < count; done += PIECE) {
        const int64_t bytes = count - done < PIECE ? count - done : PIECE;
        copy_bytes(piece, at + done, bytes);
        crc = crc_update(crc, piece, bytes);
    }
    return crc;
}

/* Adds the read-only segments of the program, code and constants, to a CRC. dl_iterate_phdr calls this for the program
 * first; returning 1 ends the iteration. */
static int add_segments(struct dl_phdr_info *object, size_t size, void *crc) {
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
        const char *at = (const char *)object->dlpi_addr + segment->p_vaddr;
        *(uint32_t *)crc = crc_of_memory(*(uint32_t *)crc, at, (int64_t)segment->p_filesz);
    }
    return 1;
}

void agreement_add_build(Agreement *agreement) {
    uint32_t crc = 0;
    dl_iterate_phdr(add_segments, &crc);
    agreement_add(agreement, "the program", "flame-c %s, build %08" PRIx32, FLAME_VERSION, crc);
    agreement_add(agreement, "the product libraries", "%s", device_cpu_libraries());
}

void agreement_add_file(Agreement *agreement, const char *path) {
    enum { SAMPLE = 1 << 20 };
    int fd;
    int64_t bytes = 0;
    uint32_t crc = 0;
    char *sample = malloc(SAMPLE);
    CHECK_MEMORY(sample, "out of memory");
    int error = file_open_read(path, &fd, &bytes);
    if (!error) {
        const int64_t part = bytes < SAMPLE ? bytes : SAMPLE;
        error = file_read(fd, sample, part, 0);
        crc = crc_update(0, sample, part);
        if (!error) error = file_read(fd, sample, part, bytes - part);
        crc = crc_update(crc, sample, part);
        file_close(fd);
    }
    free(sample);
    if (error)
        agreement_add(agreement, path, "%s", strerror(error));
    else
        agreement_add(agreement, path, "%" PRId64 " bytes with the CRC %08" PRIx32, bytes, crc);
}

enum { SHOWN = 500 }; /* bytes of a value in a message */

/* The length of a line without its line break. */
static int length_of(const char *line) { return (int)strcspn(line, "\n"); }
static const char *next_line(const char *line) {
    line += length_of(line);
    return *line ? line + 1 : line;
}

/* The value in `list` of the key in `line`; "nothing" if the list does not have the key. */
static const char *value_in(const char *list, const char *line) {
    const size_t key = strcspn(line, "\t") + 1;
    for (; *list; list = next_line(list))
        if (strncmp(list, line, key) == 0) return list + key;
    return "nothing";
}

/* A line of `list` whose key has another value in `other`, or NULL. */
static const char *find_difference(const char *list, const char *other) {
    for (; *list; list = next_line(list)) {
        const char *value = list + strcspn(list, "\t") + 1, *found = value_in(other, list);
        if (length_of(value) != length_of(found) || strncmp(value, found, (size_t)length_of(value)) != 0) return list;
    }
    return NULL;
}

static void log_difference(const Comm *comm, const char *first, const char *mine, const char *advice) {
    const char *line = find_difference(first, mine);
    if (!line) line = find_difference(mine, first);
    if (!line) line = mine; /* the same keys and values, in another order */
    const char *a = value_in(first, line), *b = value_in(mine, line);
    const int a_bytes = length_of(a), b_bytes = length_of(b);
    log_error("the ranks differ: %.*s is %.*s on rank 0 and %.*s on rank %d; %s", (int)strcspn(line, "\t"), line,
              a_bytes < SHOWN ? a_bytes : SHOWN, a, b_bytes < SHOWN ? b_bytes : SHOWN, b, comm->rank, advice);
}

Status agreement_end(Agreement *agreement, Comm *comm, const char *advice) {
    fclose(agreement->file);
    int64_t bytes = (int64_t)agreement->bytes + 1;
    comm->f->broadcast(comm, &bytes, sizeof bytes, 0);
    char *first = malloc((size_t)bytes);
    CHECK_MEMORY(first && agreement->text, "out of memory");
    if (comm->rank == 0) memcpy(first, agreement->text, (size_t)bytes);
    comm->f->broadcast(comm, first, bytes, 0);
    const bool differs = strcmp(first, agreement->text) != 0;
    if (comm_is_first(comm, differs)) log_difference(comm, first, agreement->text, advice);
    free(first);
    free(agreement->text);
    free(agreement);
    return comm_worst(comm, differs ? BAD_INPUT : OK);
}

Status agreement_start(const char *command, Comm **comm) {
    Status status = comm_create(comm);
    if (status != OK) return status;
    Agreement *agreement = agreement_begin();
    agreement_add_build(agreement);
    agreement_add(agreement, "the command", "%s", command);
    status = agreement_end(agreement, *comm, "start all ranks with the same program and command");
    if (status == OK) return OK;
    comm_destroy(*comm);
    *comm = NULL;
    return status;
}
