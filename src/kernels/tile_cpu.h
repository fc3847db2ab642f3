/* The kernel language for the host's cores: a program is plain loops, which the compiler vectorises.
 * Compiled once per element type: TILE_ELEMENT_F32 or TILE_ELEMENT_BF16. */
#ifndef FLAME_KERNELS_TILE_CPU_H
#define FLAME_KERNELS_TILE_CPU_H

#define DEVICE static inline __attribute__((always_inline, unused))

#if defined(TILE_ELEMENT_BF16)
typedef bf16 element;
#define KERNEL_SYMBOL(name) name##_cpu_bf16
DEVICE float to_float(element x) { return bf16_to_float(x); }
DEVICE element to_element(float x) {
    union {
        float value;
        uint32_t bits;
    } u;
    u.value = x;
    return (bf16)((u.bits + 0x7fffu + ((u.bits >> 16) & 1u)) >> 16);
}
#else
typedef float element;
#define KERNEL_SYMBOL(name) name##_cpu_f32
DEVICE float to_float(element x) { return x; }
DEVICE element to_element(float x) { return x; }
#endif

/* KERNEL(name, Arguments) { body }: the body sees `a` (the arguments, by value) and program_x, program_y, program_z. */
#define KERNEL(name, Arguments)                                                                                        \
    static inline void name##_program(const Arguments a, int64_t program_x, int64_t program_y, int64_t program_z);     \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z);                                  \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z) {                                 \
        name##_program(*(const Arguments *)arguments, x, y, z);                                                        \
    }                                                                                                                  \
    static inline void name##_program(const Arguments a, int64_t program_x __attribute__((unused)),                    \
                                      int64_t program_y __attribute__((unused)),                                       \
                                      int64_t program_z __attribute__((unused)))

/* Maps. EACH(i, n) { ... }: the body for i = 0 .. n-1, in any order, by all threads of the program; index i always goes
 * to the same thread. SUM(s, i, n, expression): s += the sum over i, known to all threads. MAXIMUM likewise. */
#define TILE_PRAGMA(text) _Pragma(#text)
#define EACH(i, n) _Pragma("omp simd") for (int64_t i = 0; i < (n); i++)
#define SUM(s, i, n, ...)                                                                                              \
    do {                                                                                                               \
        float sum_ = 0;                                                                                                \
        TILE_PRAGMA(omp simd reduction(+ : sum_)) for (int64_t i = 0; i < (n); i++) sum_ += (__VA_ARGS__);             \
        s += sum_;                                                                                                     \
    } while (0)
#define MAXIMUM(s, i, n, ...)                                                                                          \
    do {                                                                                                               \
        float maximum_ = s;                                                                                            \
        TILE_PRAGMA(omp simd reduction(max : maximum_)) for (int64_t i = 0; i < (n); i++) {                            \
            const float value_ = (__VA_ARGS__);                                                                        \
            maximum_ = value_ > maximum_ ? value_ : maximum_;                                                          \
        }                                                                                                              \
        s = maximum_;                                                                                                  \
    } while (0)

/* All threads of the program have come here; what they wrote to memory and shared tiles is visible to all. */
#define sync() ((void)0)

#endif
