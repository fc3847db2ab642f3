/* Element types of tensors, and the bfloat16 conversions. */
#ifndef FLAME_BASE_DTYPE_H
#define FLAME_BASE_DTYPE_H

#include <stdint.h>
#include <string.h>

typedef enum DType { F32, BF16, I32, F64, DTYPES } DType;

typedef uint16_t bf16;

static inline int64_t dtype_size(DType type) { return type == F64 ? 8 : type == BF16 ? 2 : 4; }

/* The type named by an option or key: BF16 for "bfloat16", otherwise F32. */
static inline DType dtype_named(const char *name) { return strcmp(name, "bfloat16") == 0 ? BF16 : F32; }

static inline float bf16_to_float(bf16 x) {
    union {
        uint32_t bits;
        float value;
    } u;
    u.bits = (uint32_t)x << 16;
    return u.value;
}

/* Round to nearest, ties to even; a NaN stays a NaN. */
static inline bf16 float_to_bf16(float x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = x;
    uint32_t rounded = (u.bits + 0x7fffu + ((u.bits >> 16) & 1u)) >> 16;
    return (bf16)(x != x ? (u.bits >> 16) | 0x40u : rounded);
}

#endif
