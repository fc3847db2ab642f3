/* Included before a kernel file that is compiled for the meter: the emulator's form of kernels, and the size of each
 * kernel's arguments. */
#define TILE_EMULATOR
#define TILE_ELEMENT_BF16
#include "tile/tile.h"

#undef TILE_UNROLL /* unrolls as nvcc does, so that as few instructions remain for the indices of a thread */
#define TILE_UNROLL _Pragma("GCC unroll 64")

#undef KERNEL
#define KERNEL(name, Arguments)                                                                                        \
    static void name##_program(const Arguments a, int64_t program_x, int64_t program_y, int64_t program_z);            \
    void name##_emu_bf16(const void *arguments, int64_t x, int64_t y, int64_t z);                                      \
    void name##_emu_bf16(const void *arguments, int64_t x, int64_t y, int64_t z) {                                     \
        name##_program(*(const Arguments *)arguments, x, y, z);                                                        \
    }                                                                                                                  \
    extern const int64_t name##_argument_bytes;                                                                        \
    const int64_t name##_argument_bytes = sizeof(Arguments);                                                           \
    static void name##_program(const Arguments a, int64_t program_x __attribute__((unused)),                           \
                               int64_t program_y __attribute__((unused)), int64_t program_z __attribute__((unused)))
