/* Reading .safetensors files. A file is
 *     u64 little-endian N | N bytes of JSON | data
 * where the JSON maps each tensor's name to {"dtype", "shape", "data_offsets": [begin, end)} relative to the data.
 *
 * The reader is strict: a file is accepted only if every rule of the format holds (header inside the file, known
 * element types, shapes whose product does not overflow and matches the bytes, tensors that cover the data without a
 * hole, an overlap or a tail, no name twice). Callers need no further bounds checks. Data are read with pread, never
 * mapped: a file that shrinks while it is read is an error, not a SIGBUS. */
#ifndef FLAME_CHECKPOINT_SAFETENSORS_H
#define FLAME_CHECKPOINT_SAFETENSORS_H

#include <stdint.h>

#include "base/check.h"

typedef enum SafeType {
    SAFE_BOOL,
    SAFE_U8,
    SAFE_I8,
    SAFE_F8_E5M2,
    SAFE_F8_E4M3,
    SAFE_F8_E8M0,
    SAFE_F4,
    SAFE_F6_E2M3,
    SAFE_F6_E3M2,
    SAFE_I16,
    SAFE_U16,
    SAFE_F16,
    SAFE_BF16,
    SAFE_I32,
    SAFE_U32,
    SAFE_F32,
    SAFE_C64,
    SAFE_F64,
    SAFE_I64,
    SAFE_U64,
    SAFE_TYPES
} SafeType;

enum { SAFE_DIMS = 8 };

typedef struct SafeTensors SafeTensors;

typedef struct SafeTensor {
    const char *name; /* owned by the file */
    SafeType type;
    int dims; /* 0: a scalar, one element */
    int64_t shape[SAFE_DIMS], elements;
    int64_t offset; /* of its first byte in the file */
    int64_t bytes;
    const SafeTensors *file;
} SafeTensor;

/* "F32", "BF16", ... */
const char *safe_type_name(SafeType type);
int safe_type_bits(SafeType type);

/* BAD_INPUT if the file breaks a rule of the format, IO_ERROR if it cannot be read; both are logged. */
Status safetensors_open(const char *path, SafeTensors **file);
/* NULL is fine. Tensors of the file are invalid afterwards. */
void safetensors_close(SafeTensors *file);

const char *safetensors_path(const SafeTensors *file);
/* The tensors in the order of their offsets. */
int64_t safetensors_count(const SafeTensors *file);
const SafeTensor *safetensors_entry(const SafeTensors *file, int64_t index);
/* The tensor with this name, or NULL. */
const SafeTensor *safetensors_find(const SafeTensors *file, const char *name);
/* Offset of the data: size of the length and the JSON. */
int64_t safetensors_data_start(const SafeTensors *file);

/* Reads bytes [first, first + bytes) of the tensor's data. The range must lie inside the tensor. IO_ERROR is logged. */
Status safetensors_read(const SafeTensor *tensor, int64_t first, int64_t bytes, void *to);
/* Reads elements [first, first + count) and converts them to float, from F32, BF16, F16, F64, I64 or I32. BAD_INPUT
 * (logged) for other types. */
Status safetensors_read_floats(const SafeTensor *tensor, int64_t first, int64_t count, float *to);
/* Reads elements [first, first + count) of an I64 or I32 tensor. BAD_INPUT (logged) for other types. */
Status safetensors_read_integers(const SafeTensor *tensor, int64_t first, int64_t count, int64_t *to);

/* Formats a shape for messages: "[1024, 64]". */
void safetensors_shape_text(int dims, const int64_t *shape, char *text, int64_t size);

#endif
