/* The CUDA form of the kernel language without a GPU: the threads of a program are fibers of one host thread, scheduled
 * in the worst order that the barriers allow (emulator.c). */
#ifndef FLAME_TILE_TILE_EMU_H
#define FLAME_TILE_TILE_EMU_H

#include <string.h>

#include "tile/emulator.h"

enum { THREADS = 128 };

#define DEVICE static inline __attribute__((unused))
#if defined(TILE_ELEMENT_F32)
#define KERNEL_SYMBOL(name) name##_emu_f32
#else
#define KERNEL_SYMBOL(name) name##_emu_bf16
#endif
#define TILE_UNROLL
#define TILE_UNROLL_BY_2
#define TILE_UNROLL_PRODUCT
#define TILE_ROLLED
#define thread_index() emulator_thread
#define sync()         emulator_sync(0, __FILE__, __LINE__)
#define sync_after(n)  emulator_sync(n, __FILE__, __LINE__)
#define copy_commit    emulator_copy_commit
#define shared_memory  emulator_shared_memory
#define warp_shuffle   emulator_shuffle
#define warp_mma       emulator_mma
#define block_scratch  emulator_scratch
#define copy_start     emulator_copy_start
#define copy_wait()    emulator_copy_wait_for(0)

#define warp_shuffle_xor(x, mask)      emulator_shuffle(x, (emulator_thread % 32) ^ (mask))
#define matrix_read(x, row)            emulator_matrix_read(x, row, 0)
#define matrix_read_transposed(x, row) emulator_matrix_read(x, row, 1)

typedef union __attribute__((may_alias)) Sixteen {
    uint32_t word[4];
    float value[4];
} Sixteen;

DEVICE Sixteen sixteen_read(const void *from) { return *(const Sixteen *)emulator_aligned(from, 16); }
DEVICE void sixteen_write(void *to, Sixteen x) { *(Sixteen *)emulator_aligned(to, 16) = x; }
DEVICE Sixteen sixteen_load(const void *from) { return *(const Sixteen *)emulator_global(from, 16); }
DEVICE void sixteen_store(void *to, Sixteen x) { *(Sixteen *)emulator_global(to, 16) = x; }
DEVICE Sixteen eight_read(const void *from) {
    Sixteen x = {{0}};
    memcpy(&x, emulator_aligned(from, 8), 8);
    return x;
}
DEVICE void eight_store(void *to, Sixteen x) { memcpy((void *)emulator_global(to, 8), &x, 8); }
DEVICE void pair_write(void *to, int bytes, Sixteen x) {
    memcpy((void *)emulator_aligned(to, bytes), &x, (size_t)bytes);
}
DEVICE uint32_t round_pair(float low, float high) {
    return (uint32_t)float_to_bf16(low) | (uint32_t)float_to_bf16(high) << 16;
}

#define KERNEL(name, Arguments)                                                                                        \
    _Static_assert(sizeof(Arguments) <= KERNEL_ARGUMENT_BYTES, "CUDA refuses so many bytes of arguments");             \
    static void name##_program(const Arguments a, int64_t program_x, int64_t program_y, int64_t program_z);            \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z);                                  \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z) {                                 \
        name##_program(*(const Arguments *)arguments, x, y, z);                                                        \
    }                                                                                                                  \
    static void name##_program(const Arguments a, int64_t program_x __attribute__((unused)),                           \
                               int64_t program_y __attribute__((unused)), int64_t program_z __attribute__((unused)))

#include "tile/tile_simt.h"

#endif
