/* The machine under tile_emu.h: the instructions that a thread of an emulated program can execute. Only tests use
 * it. */
#ifndef FLAME_TILE_EMULATOR_H
#define FLAME_TILE_EMULATOR_H

#include <stdint.h>

enum { KERNEL_ARGUMENT_BYTES = 4096 }; /* that CUDA passes to a kernel at most */

typedef void EmulatorProgram(const void *arguments, int64_t x, int64_t y, int64_t z);

/* Runs every program of the grid. Ends the job if threads diverge at a barrier or a write falls outside of a tile's
 * columns. The environment variable FLAME_EMULATOR_SEED (default 1) sets the order of the threads. */
void emulator_run(const char *name, EmulatorProgram *program, int64_t x, int64_t y, int64_t z, const void *arguments);

/* The current thread, 0 .. 127. */
extern int emulator_thread;
/* The barrier of all threads of the program, __syncthreads(), after emulator_copy_wait_for(stages). */
void emulator_sync(int stages, const char *file, int line);
/* Shared memory of rows x stride entries, the same for all threads of the program, filled with NaN. */
void *emulator_shared_memory(const char *name, int64_t entry_size, int rows, int cols, int stride);
/* The x of the thread in the given lane of the warp; `lane` counts modulo 32. */
float emulator_shuffle(float x, int lane);
/* Returns the address. Ends the job unless it is a multiple of `bytes`, as a vector access needs on a GPU. */
const void *emulator_aligned(const void *address, int bytes);
/* The same for an instruction that accesses global memory only, such as st.global: the address must not be in shared
 * memory. */
const void *emulator_global(const void *address, int bytes);
/* cp.async.cg.shared.global: copies `bytes` bytes to 16 bytes of shared memory, whose rest becomes zero, at some time
 * before the thread's wait for the copy returns. */
void emulator_copy_start(void *to, const void *from, int bytes);
/* cp.async.commit_group: the copies since the previous call become a stage. */
void emulator_copy_commit(void);
/* cp.async.wait_group: waits for all but the thread's latest `stages` stages. With 0 it is cp.async.wait_all, which
 * also waits for copies that are in no stage yet. */
void emulator_copy_wait_for(int stages);
/* ldmatrix.sync.aligned.m8n8.x4.b16, or .trans: reads four matrices of 8 x 8. Lane 8 m + r of the warp passes the
 * address of row r of matrix m. Of each matrix a lane gets two neighbours in row (transposed: column) lane / 4. */
void emulator_matrix_read(uint32_t *x, const void *row, int transposed);
/* mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32: d += a b, in the lanes' shares that the PTX ISA lays out. */
void emulator_mma(float *d, const uint32_t *a, const uint32_t *b);
/* One float per warp, shared. */
float *emulator_scratch(void);

#endif
