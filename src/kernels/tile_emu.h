/* The CUDA form of the kernel language on a machine without a GPU: the threads of a program are fibers of one host
 * thread, run in an order that is as unkind as the barriers allow (device_emulator.c). bf16 elements only. */
#ifndef FLAME_KERNELS_TILE_EMU_H
#define FLAME_KERNELS_TILE_EMU_H

#if !defined(TILE_ELEMENT_BF16)
#error "the emulator has bf16 elements only"
#endif

#include "kernels/device_emulator.h"

enum { THREADS = 128 };

#define DEVICE              static inline __attribute__((unused))
#define KERNEL_SYMBOL(name) name##_emu_bf16
#define TILE_UNROLL
#define thread_index()   emulator_thread
#define sync()           emulator_sync(__FILE__, __LINE__)
#define shared_memory    emulator_shared_memory
#define warp_shuffle_xor emulator_shuffle_xor
#define warp_mma         emulator_mma
#define block_scratch    emulator_scratch

#define KERNEL(name, Arguments)                                                                                        \
    static void name##_program(const Arguments a, int64_t program_x, int64_t program_y, int64_t program_z);            \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z);                                  \
    void KERNEL_SYMBOL(name)(const void *arguments, int64_t x, int64_t y, int64_t z) {                                 \
        name##_program(*(const Arguments *)arguments, x, y, z);                                                        \
    }                                                                                                                  \
    static void name##_program(const Arguments a, int64_t program_x __attribute__((unused)),                           \
                               int64_t program_y __attribute__((unused)), int64_t program_z __attribute__((unused)))

#include "kernels/tile_simt.h"

#endif
