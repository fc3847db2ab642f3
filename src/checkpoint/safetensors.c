#include "checkpoint/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dtype.h"
#include "base/log.h"
#include "base/files.h"

/* The reference implementation's limit. */
static const int64_t LARGEST_HEADER = 100000000;

static const struct {
    const char *name;
    int bits;
} types[SAFE_TYPES] = {
    [SAFE_BOOL] = {"BOOL", 8},       [SAFE_U8] = {"U8", 8},           [SAFE_I8] = {"I8", 8},
    [SAFE_F8_E5M2] = {"F8_E5M2", 8}, [SAFE_F8_E4M3] = {"F8_E4M3", 8}, [SAFE_F8_E8M0] = {"F8_E8M0", 8},
    [SAFE_F4] = {"F4", 4},           [SAFE_F6_E2M3] = {"F6_E2M3", 6}, [SAFE_F6_E3M2] = {"F6_E3M2", 6},
    [SAFE_I16] = {"I16", 16},        [SAFE_U16] = {"U16", 16},        [SAFE_F16] = {"F16", 16},
    [SAFE_BF16] = {"BF16", 16},      [SAFE_I32] = {"I32", 32},        [SAFE_U32] = {"U32", 32},
    [SAFE_F32] = {"F32", 32},        [SAFE_C64] = {"C64", 64},        [SAFE_F64] = {"F64", 64},
    [SAFE_I64] = {"I64", 64},        [SAFE_U64] = {"U64", 64}};

struct SafeTensors {
    char *path;
    int fd;
    int64_t data_start, count;
    SafeTensor *tensor;        /* by offset */
    const SafeTensor **sorted; /* by name */
    json_t *header;            /* owns the names */
};

const char *safe_type_name(SafeType type) { return types[type].name; }

int safe_type_bits(SafeType type) { return types[type].bits; }

/* The type with this name; SAFE_TYPES if there is none. */
static SafeType safe_type_of(const char *name) {
    int type = 0;
    while (type < SAFE_TYPES && strcmp(types[type].name, name) != 0) type++;
    return (SafeType)type;
}

const char *safetensors_path(const SafeTensors *file) { return file->path; }

int64_t safetensors_count(const SafeTensors *file) { return file->count; }

const SafeTensor *safetensors_entry(const SafeTensors *file, int64_t index) { return &file->tensor[index]; }

int64_t safetensors_data_start(const SafeTensors *file) { return file->data_start; }

void safetensors_shape_text(int dims, const int64_t *shape, char *text, int64_t size) {
    int64_t used = snprintf(text, (size_t)size, "[");
    for (int i = 0; i < dims && used < size; i++)
        used += snprintf(text + used, (size_t)(size - used), "%s%" PRId64, i ? ", " : "", shape[i]);
    if (used < size) snprintf(text + used, (size_t)(size - used), "]");
}

static Status refuse(const char *path, const char *reason) {
    log_error("%s is not a valid safetensors file: %s", path, reason);
    return BAD_INPUT;
}

static Status refuse_tensor(const char *path, const char *name, const char *reason) {
    log_error("%s is not a valid safetensors file: tensor %.200s: %s", path, name, reason);
    return BAD_INPUT;
}

static Status refuse_dtype(const char *path, const char *name, const char *dtype) {
    char reason[160];
    snprintf(reason, sizeof reason, "its dtype is %.80s, which the format does not have",
             dtype ? dtype : "not a string");
    return refuse_tensor(path, name, reason);
}

/* Reads an array of at most `limit` non-negative integers and returns their number; -1 if it is anything else. */
static int read_sizes(const json_t *array, int limit, int64_t *sizes) {
    if (!json_is_array(array) || json_array_size(array) > (size_t)limit) return -1;
    const int count = (int)json_array_size(array);
    for (int i = 0; i < count; i++) {
        const json_t *size = json_array_get(array, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0) return -1;
        sizes[i] = json_integer_value(size);
    }
    return count;
}

/* Computes elements and bytes. False if one does not fit in 63 bits, or if the elements do not fill whole bytes. Even
 * if one size is 0, the product of the others must not overflow, because readers disagree on what such a shape
 * means. */
static bool count_elements(SafeTensor *tensor) {
    bool empty = false;
    int64_t product = 1, bits;
    for (int i = 0; i < tensor->dims; i++) {
        if (tensor->shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(product, tensor->shape[i], &product))
            return false;
    }
    if (__builtin_mul_overflow(product, (int64_t)types[tensor->type].bits, &bits)) return false;
    tensor->elements = empty ? 0 : product;
    tensor->bytes = empty ? 0 : bits / 8;
    return empty || bits % 8 == 0;
}

static Status read_entry(const char *path, const char *name, const json_t *entry, SafeTensor *tensor) {
    const json_t *type = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_object(entry) || json_object_size(entry) != 3 || !type || !shape || !offsets)
        return refuse_tensor(path, name, "its entry must have exactly dtype, shape and data_offsets");
    tensor->name = name;
    tensor->type = json_is_string(type) ? safe_type_of(json_string_value(type)) : SAFE_TYPES;
    if (tensor->type == SAFE_TYPES) return refuse_dtype(path, name, json_string_value(type));
    tensor->dims = read_sizes(shape, SAFE_DIMS, tensor->shape);
    if (tensor->dims < 0) return refuse_tensor(path, name, "the shape must be at most 8 non-negative integers");
    if (!count_elements(tensor))
        return refuse_tensor(path, name, "the shape has too many elements, or the elements do not fill whole bytes");
    int64_t range[2];
    if (read_sizes(offsets, 2, range) != 2 || range[0] > range[1])
        return refuse_tensor(path, name, "data_offsets must be two integers, begin <= end");
    if (range[1] - range[0] != tensor->bytes)
        return refuse_tensor(path, name, "data_offsets do not fit the shape and dtype");
    tensor->offset = range[0];
    return OK;
}

static Status check_metadata(const char *path, const json_t *metadata) {
    if (!json_is_object(metadata)) return refuse(path, "__metadata__ must be an object");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value)) return refuse(path, "__metadata__ must map strings to strings");
    }
    return OK;
}

static int compare_offsets(const void *a, const void *b) {
    const SafeTensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const SafeTensor *const *)a)->name, (*(const SafeTensor *const *)b)->name);
}

/* Sorts the tensors by offset, checks that they cover the data exactly, and makes offsets relative to the file. */
static Status place_tensors(SafeTensors *file, int64_t data_bytes) {
    qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, compare_offsets);
    int64_t end = 0;
    for (int64_t i = 0; i < file->count; i++) {
        SafeTensor *tensor = &file->tensor[i];
        if (tensor->offset != end)
            return refuse_tensor(file->path, tensor->name,
                                 tensor->offset < end ? "its data overlap another tensor's"
                                                      : "there is a hole before its data");
        end += tensor->bytes;
        if (end > data_bytes) return refuse_tensor(file->path, tensor->name, "its data lie beyond the end of the file");
        tensor->offset += file->data_start;
        tensor->file = file;
        file->sorted[i] = tensor;
    }
    if (end != data_bytes) return refuse(file->path, "it ends with bytes that belong to no tensor");
    qsort(file->sorted, (size_t)file->count, sizeof *file->sorted, compare_names);
    return OK;
}

static Status parse_header(SafeTensors *file, const char *text, int64_t bytes, int64_t data_bytes) {
    if (bytes == 0 || text[0] != '{') return refuse(file->path, "the header must begin with {");
    json_error_t error;
    file->header = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
    if (!file->header) {
        char reason[JSON_ERROR_TEXT_LENGTH + 80];
        snprintf(reason, sizeof reason, "its header is not JSON: %s (byte %d)", error.text, error.position + 8);
        return refuse(file->path, reason);
    }
    for (int64_t i = error.position; i < bytes; i++)
        if (text[i] != ' ')
            return refuse(file->path, "the JSON of the header is followed by something other than spaces");
    const size_t entries = json_object_size(file->header);
    file->tensor = calloc(entries + 1, sizeof *file->tensor);
    file->sorted = calloc(entries + 1, sizeof *file->sorted);
    CHECK_MEMORY(file->tensor && file->sorted, "no memory for the tensors of %s", file->path);
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry) {
        const Status status = strcmp(name, "__metadata__") == 0
                                  ? check_metadata(file->path, entry)
                                  : read_entry(file->path, name, entry, &file->tensor[file->count++]);
        if (status) return status;
    }
    return place_tensors(file, data_bytes);
}

static Status cannot_read(const char *path, int error) {
    log_error("reading %s: %s", path, strerror(error));
    return IO_ERROR;
}

static Status read_header(SafeTensors *file, int64_t file_bytes) {
    unsigned char length[8];
    char reason[160];
    if (file_bytes < 8) return refuse(file->path, "it is shorter than 8 bytes");
    int error = file_read(file->fd, length, 8, 0);
    if (error) return cannot_read(file->path, error);
    uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; i--) header_bytes = header_bytes << 8 | length[i];
    if (header_bytes > (uint64_t)(file_bytes - 8)) {
        snprintf(reason, sizeof reason, "its header should have %" PRIu64 " bytes, but the file has %" PRId64 " in all",
                 header_bytes, file_bytes);
        return refuse(file->path, reason);
    }
    if (header_bytes > (uint64_t)LARGEST_HEADER) return refuse(file->path, "its header is longer than 100 MB");
    char *text = malloc(header_bytes + 1);
    error = text ? file_read(file->fd, text, (int64_t)header_bytes, 8) : ENOMEM;
    file->data_start = 8 + (int64_t)header_bytes;
    const Status status = error ? cannot_read(file->path, error)
                                : parse_header(file, text, (int64_t)header_bytes, file_bytes - file->data_start);
    free(text);
    return status;
}

Status safetensors_open(const char *path, SafeTensors **result) {
    *result = NULL;
    int fd;
    int64_t bytes;
    const int error = file_open_read(path, &fd, &bytes);
    if (error) {
        log_error("opening %s: %s", path, file_read_reason(error));
        return file_is_missing(error) ? BAD_INPUT : IO_ERROR;
    }
    SafeTensors *file = calloc(1, sizeof *file);
    CHECK_MEMORY(file, "no memory to open %s", path);
    file->fd = fd;
    file->path = strdup(path);
    CHECK_MEMORY(file->path, "no memory to open %s", path);
    const Status status = read_header(file, bytes);
    if (status)
        safetensors_close(file);
    else
        *result = file;
    return status;
}

void safetensors_close(SafeTensors *file) {
    if (!file) return;
    close(file->fd);
    json_decref(file->header);
    free(file->tensor);
    free(file->sorted);
    free(file->path);
    free(file);
}

const SafeTensor *safetensors_find(const SafeTensors *file, const char *name) {
    int64_t low = 0, high = file->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(name, file->sorted[middle]->name);
        if (order == 0) return file->sorted[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

Status safetensors_read(const SafeTensor *tensor, int64_t first, int64_t bytes, void *to) {
    CHECK(first >= 0 && bytes >= 0 && first <= tensor->bytes && bytes <= tensor->bytes - first,
          "bytes %" PRId64 "+%" PRId64 " of tensor %s, which has %" PRId64, first, bytes, tensor->name, tensor->bytes);
    const int error = file_read(tensor->file->fd, to, bytes, tensor->offset + first);
    if (!error) return OK;
    log_error("reading tensor %s of %s: %s", tensor->name, tensor->file->path,
              error == ENODATA ? "the file was truncated while it was open" : strerror(error));
    return IO_ERROR;
}

static float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 1023u;
    union {
        uint32_t bits;
        float value;
    } u;
    if (exponent == 0) { /* zero and subnormal: mantissa * 2^-24, exact */
        u.value = (float)mantissa * 0x1p-24f;
        u.bits |= sign;
    } else {
        u.bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13;
    }
    return u.value;
}

static void convert(SafeType type, const void *from, int64_t count, float *to) {
    for (int64_t i = 0; i < count; i++) switch (type) {
        case SAFE_F32:
            to[i] = ((const float *)from)[i];
            break;
        case SAFE_BF16:
            to[i] = bf16_to_float(((const bf16 *)from)[i]);
            break;
        case SAFE_F16:
            to[i] = half_to_float(((const uint16_t *)from)[i]);
            break;
        case SAFE_F64:
            to[i] = (float)((const double *)from)[i];
            break;
        case SAFE_I64:
            to[i] = (float)((const int64_t *)from)[i];
            break;
        default:
            to[i] = (float)((const int32_t *)from)[i];
            break;
        }
}

static Status refuse_type(const SafeTensor *tensor, const char *wanted) {
    log_error("tensor %s of %s has dtype %s; expected %s", tensor->name, tensor->file->path,
              safe_type_name(tensor->type), wanted);
    return BAD_INPUT;
}

enum { CONVERT_ELEMENTS = 4096 }; /* elements converted at a time, in a buffer on the stack */

Status safetensors_read_floats(const SafeTensor *tensor, int64_t first, int64_t count, float *to) {
    const SafeType type = tensor->type;
    if (type == SAFE_F32) return safetensors_read(tensor, 4 * first, 4 * count, to);
    if (type != SAFE_BF16 && type != SAFE_F16 && type != SAFE_F64 && type != SAFE_I64 && type != SAFE_I32)
        return refuse_type(tensor, "F32, BF16, F16, F64, I64 or I32");
    const int64_t size = types[type].bits / 8;
    double buffer[CONVERT_ELEMENTS];
    for (int64_t i = 0; i < count; i += CONVERT_ELEMENTS) {
        const int64_t part = count - i < CONVERT_ELEMENTS ? count - i : CONVERT_ELEMENTS;
        const Status status = safetensors_read(tensor, (first + i) * size, part * size, buffer);
        if (status) return status;
        convert(type, buffer, part, to + i);
    }
    return OK;
}

Status safetensors_read_integers(const SafeTensor *tensor, int64_t first, int64_t count, int64_t *to) {
    if (tensor->type == SAFE_I64) return safetensors_read(tensor, 8 * first, 8 * count, to);
    if (tensor->type != SAFE_I32) return refuse_type(tensor, "I64 or I32");
    /* Reads the 32-bit numbers into the upper half of `to`, then widens them in place from the front. */
    const Status status = safetensors_read(tensor, 4 * first, 4 * count, (char *)to + 4 * count);
    if (status) return status;
    for (int64_t i = 0; i < count; i++) {
        int32_t narrow;
        memcpy(&narrow, (char *)to + 4 * (count + i), sizeof narrow);
        to[i] = narrow;
    }
    return OK;
}
