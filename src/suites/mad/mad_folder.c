#include "suites/mad/mad_folder.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"

enum { PREFIX = 10, LENGTH_DIGITS = 12, T_MOST = 1 << 20 }; /* PREFIX: magic, version and length of the header */

typedef struct Array {
    char *path;
    int fd;
    int64_t rows, columns, start; /* start: offset of the data, in bytes */
} Array;

struct MadFolder {
    Array inputs, targets;
};

static Status refuse(const Array *array, const char *why) {
    log_error("%s %s; examples of MAD are NumPy files (format 1.0) of '<i8', (examples, length)", array->path, why);
    return BAD_INPUT;
}

static Status cannot_read(const char *path, int error) {
    log_error("%s cannot be read: %s", path, file_read_reason(error));
    return file_is_missing(error) ? BAD_INPUT : IO_ERROR;
}

/* Moves *text past `word` if it begins with it. */
static bool skip(const char **text, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0) return false;
    *text += length;
    return true;
}

static bool skip_number(const char **text, int64_t *number) {
    int digits = 0;
    for (*number = 0; **text >= '0' && **text <= '9' && digits < LENGTH_DIGITS; digits++)
        *number = 10 * *number + (*(*text)++ - '0');
    return digits > 0;
}

/* The text of the header is a Python dictionary, which NumPy always writes in this form. */
static Status read_header(Array *array, const char *text) {
    if (!skip(&text, "{'descr': ")) return refuse(array, "has a header that does not begin with 'descr'");
    if (!skip(&text, "'<i8', ")) return refuse(array, "has another dtype");
    if (!skip(&text, "'fortran_order': False, ")) return refuse(array, "is not in C order");
    if (!skip(&text, "'shape': (") || !skip_number(&text, &array->rows) || !skip(&text, ", ") ||
        !skip_number(&text, &array->columns) || !skip(&text, ")"))
        return refuse(array, "has another shape");
    if (!skip(&text, ", }")) return refuse(array, "has a header with more entries");
    text += strspn(text, " ");
    return strcmp(text, "\n") == 0 ? OK : refuse(array, "has a header that does not end as it should");
}

/* Checks that the shape fits the size of the file exactly. */
static Status check_shape(const Array *array, int64_t bytes) {
    if (array->rows < 1 || array->columns < 1 || array->columns > T_MOST)
        return refuse(array, "has an impossible shape");
    const int64_t row = array->columns * (int64_t)sizeof(int64_t), data = bytes - array->start;
    return data % row == 0 && data / row == array->rows ? OK
                                                        : refuse(array, "has a size that is not that of its shape");
}

static Status read_shape(Array *array, int64_t bytes) {
    unsigned char prefix[PREFIX];
    if (bytes < PREFIX) return refuse(array, "is too short");
    int error = file_read(array->fd, prefix, PREFIX, 0);
    if (error) return cannot_read(array->path, error);
    if (memcmp(prefix, "\x93NUMPY\x01\x00", 8) != 0) return refuse(array, "is no NumPy file of that format");
    const int64_t length = prefix[8] | prefix[9] << 8;
    array->start = PREFIX + length;
    if (array->start > bytes) return refuse(array, "ends in its header");
    char *text = calloc((size_t)length + 1, 1);
    CHECK_MEMORY(text, "out of memory");
    error = file_read(array->fd, text, length, PREFIX);
    Status status = error ? cannot_read(array->path, error) : OK;
    if (status == OK && (int64_t)strlen(text) != length) status = refuse(array, "has a zero byte in its header");
    if (status == OK) status = read_header(array, text);
    if (status == OK) status = check_shape(array, bytes);
    free(text);
    return status;
}

static Status array_open(const char *folder, const char *part, const char *name, Array *array) {
    char *below = path_join(folder, part);
    int64_t bytes;
    array->path = path_join(below, name);
    free(below);
    const int error = file_open_read(array->path, &array->fd, &bytes);
    if (!error) return read_shape(array, bytes);
    array->fd = -1;
    return cannot_read(array->path, error);
}

static void array_close(Array *array) {
    if (array->path && array->fd >= 0) close(array->fd);
    free(array->path);
}

Status mad_folder_open(const char *folder, const char *part, MadFolder **opened) {
    MadFolder *f = calloc(1, sizeof *f);
    CHECK_MEMORY(f, "out of memory");
    Status status = array_open(folder, part, "inputs.npy", &f->inputs);
    if (status == OK) status = array_open(folder, part, "targets.npy", &f->targets);
    if (status == OK && (f->inputs.rows != f->targets.rows || f->inputs.columns != f->targets.columns))
        status = refuse(&f->targets, "has another shape than the inputs");
    if (status == OK)
        *opened = f;
    else
        mad_folder_close(f);
    return status;
}

void mad_folder_close(MadFolder *folder) {
    if (!folder) return;
    array_close(&folder->inputs);
    array_close(&folder->targets);
    free(folder);
}

int64_t mad_folder_examples(const MadFolder *folder) { return folder->inputs.rows; }

int64_t mad_folder_length(const MadFolder *folder) { return folder->inputs.columns; }

static int64_t little_endian(const unsigned char byte[8]) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | byte[i];
    return (int64_t)value;
}

/* Reads a row of ids. `ignored` is a value that is allowed too: IGNORED_LABEL, or an id if none is. */
static Status read_row(const Array *array, int64_t number, int64_t tokens, int64_t ignored, int32_t *ids) {
    const int64_t bytes = array->columns * 8;
    unsigned char *row = malloc((size_t)bytes);
    CHECK_MEMORY(row, "out of memory");
    const int error = file_read(array->fd, row, bytes, array->start + number * bytes);
    Status status = error ? cannot_read(array->path, error) : OK;
    for (int64_t t = 0; t < array->columns && status == OK; t++) {
        const int64_t id = little_endian(row + 8 * t);
        ids[t] = (int32_t)id;
        if ((id >= 0 && id < tokens) || id == ignored) continue;
        log_error("%s: example %lld has the id %lld at position %lld, which is not in the vocabulary of %lld tokens",
                  array->path, (long long)number, (long long)id, (long long)t, (long long)tokens);
        status = BAD_INPUT;
    }
    free(row);
    return status;
}

Status mad_folder_example(const MadFolder *folder, int64_t number, int64_t tokens, Example example) {
    CHECK(number >= 0 && number < folder->inputs.rows, "example %lld of %lld", (long long)number,
          (long long)folder->inputs.rows);
    const Status status = read_row(&folder->inputs, number, tokens, 0, example.inputs);
    return status == OK ? read_row(&folder->targets, number, tokens, IGNORED_LABEL, example.labels) : status;
}

static bool has_part(const char *path, const char *split) {
    (void)path;
    (void)split;
    return false;
}

static Status open_part(const char *path, const char *split, void **file) {
    MadFolder *folder = NULL;
    const Status status = mad_folder_open(path, split, &folder);
    *file = folder;
    return status;
}

static void close_part(void *file) { mad_folder_close(file); }
static int64_t examples_of(const void *file) { return mad_folder_examples(file); }
static int64_t length_of(const void *file) { return mad_folder_length(file); }

static Status example_of(const void *file, int64_t number, int64_t tokens, Example example) {
    return mad_folder_example(file, number, tokens, example);
}

static const char *const endings[] = {"/inputs.npy", "/targets.npy", NULL};

const TaskFiles mad_files = {endings, has_part, open_part, close_part, examples_of, length_of, example_of};
