/* The kernel language for NVIDIA GPUs from compute capability 8.0 on: a program is one block of 128 threads. All inline
 * assembly for GPUs is here. For the tests, emulator.c emulates barriers, accesses to memory, shuffles, ldmatrix and
 * mma. It does not emulate the approximate functions of one number: the emulator uses the CPU's functions of
 * tile_math.h, and tests/tile/test_tile_math_gpu.c checks the functions that tile_math.h builds on the approximate
 * ones. */
#ifndef FLAME_TILE_TILE_CUDA_H
#define FLAME_TILE_TILE_CUDA_H

enum { THREADS = 128 };

#define DEVICE static __device__ __forceinline__
#if defined(TILE_ELEMENT_F32)
#define KERNEL_SYMBOL(name) name##_cuda_f32
#else
#define KERNEL_SYMBOL(name) name##_cuda_bf16
#endif
#define TILE_UNROLL      _Pragma("unroll")
#define TILE_UNROLL_BY_2 _Pragma("unroll 2")
#define TILE_ROLLED      _Pragma("unroll 1")

/* A kernel file may define TILE_PROGRAMS, which limits registers so that this many programs fit on a multiprocessor. */
#if !defined(TILE_PROGRAMS)
#define TILE_PROGRAMS 1
#endif
/* It may also define TILE_PRODUCTS_IN_FULL, which unrolls products completely: starting the sums at 0 then costs
 * nothing, but the kernel takes more registers. */
#if defined(TILE_PRODUCTS_IN_FULL)
#define TILE_UNROLL_PRODUCT TILE_UNROLL
#else
#define TILE_UNROLL_PRODUCT TILE_UNROLL_BY_2
#endif

/* The entry point passes its arguments on without a copy. shared_used counts the bytes of the tiles declared so far;
 * the compiler turns it into constants. */
#define KERNEL(name, Arguments)                                                                                        \
    static __device__ __forceinline__ void name##_program(const Arguments &a, int64_t program_x, int64_t program_y,    \
                                                          int64_t program_z, int shared_used);                         \
    extern "C" __global__ void __launch_bounds__(THREADS, TILE_PROGRAMS)                                               \
        KERNEL_SYMBOL(name)(const __grid_constant__ Arguments a) {                                                     \
        name##_program(a, blockIdx.x, blockIdx.y, blockIdx.z, 0);                                                      \
    }                                                                                                                  \
    static __device__ __forceinline__ void name##_program(const Arguments &a, int64_t program_x, int64_t program_y,    \
                                                          int64_t program_z, int shared_used)

/* Shared memory is one block, whose size the host names at the launch. Each declaration writes its size into the PTX as
 * a comment, and the build adds these up (cmake/kernel_usage.awk). */
extern __shared__ __align__(128) unsigned char shared_bytes[];
#define shared_memory(name, entry_size, rows, cols, stride)                                                            \
    __extension__({                                                                                                    \
        enum { bytes_ = ((rows) * (stride) * (int)(entry_size) + 15) / 16 * 16 };                                      \
        asm volatile("// shared " name " %0" ::"n"((int)bytes_));                                                      \
        shared_used += bytes_;                                                                                         \
        (void *)(shared_bytes + shared_used - bytes_);                                                                 \
    })

DEVICE int thread_index() {
    const int thread = (int)threadIdx.x;
    __builtin_assume(thread >= 0 && thread < THREADS);
    return thread;
}

DEVICE float warp_shuffle(float x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
DEVICE float warp_shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }

DEVICE float *block_scratch() {
    __shared__ float scratch[THREADS / 32];
    return scratch;
}

typedef union __align__(16) Sixteen {
    uint32_t word[4];
    float value[4];
}
Sixteen;

DEVICE Sixteen sixteen_read(const void *from) {
    const uint4 x = *(const uint4 *)from;
    const Sixteen sixteen = {{x.x, x.y, x.z, x.w}};
    return sixteen;
}
DEVICE void sixteen_write(void *to, Sixteen x) {
    *(uint4 *)to = make_uint4(x.word[0], x.word[1], x.word[2], x.word[3]);
}
/* Writes to global memory. In assembly, because the compiler would split the access otherwise; without a memory
 * clobber, so that the loads of the next vectors may start before it. */
DEVICE void sixteen_store(void *to, Sixteen x) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(x.word[0]), "r"(x.word[1]), "r"(x.word[2]),
                 "r"(x.word[3]));
}
/* Reads global memory, and starts before the code written after it: the compiler delays other loads until their use. */
DEVICE Sixteen sixteen_load(const void *from) {
    Sixteen x;
    asm volatile("ld.global.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.word[0]), "=r"(x.word[1]), "=r"(x.word[2]), "=r"(x.word[3])
                 : "l"(from));
    return x;
}
DEVICE Sixteen eight_read(const void *from) {
    const uint2 x = *(const uint2 *)from;
    const Sixteen sixteen = {{x.x, x.y, 0, 0}};
    return sixteen;
}
DEVICE void eight_store(void *to, Sixteen x) {
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(x.word[0]), "r"(x.word[1]));
}
DEVICE void pair_write(void *to, int bytes, Sixteen x) {
    if (bytes == 4)
        *(uint32_t *)to = x.word[0];
    else
        *(uint2 *)to = make_uint2(x.word[0], x.word[1]);
}

DEVICE uint32_t shared_address(const void *shared) { return (uint32_t)__cvta_generic_to_shared(shared); }

/* Both numbers rounded to bf16, `low` in the lower half. */
DEVICE uint32_t round_pair(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* 2^x to 2 ulp, and 0 if that is below 2^-126. The exponentials of tile_math.h are built on it. */
DEVICE float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* 1 / x to 1 ulp (0 from 2^126 on) and 1 / sqrt(x) to 2 ulp, in one instruction each. The operator / and sqrtf compile
 * to branches, which would keep the work on a vector's elements from overlapping. */
DEVICE float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
DEVICE float reciprocal_root(float x) {
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* The smaller and the larger of two numbers, or NaN if one of them is NaN. */
DEVICE float lesser(float x, float bound) {
    float y;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(bound));
    return y;
}
DEVICE float greater(float x, float bound) {
    float y;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(bound));
    return y;
}

/* emulator_copy_start */
DEVICE void copy_start(void *to, const void *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
}

/* emulator_copy_wait */
DEVICE void copy_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/* emulator_copy_commit, emulator_copy_wait_for; `stages` is a constant. */
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
#define copy_wait_for(stages) asm volatile("cp.async.wait_group %0;" ::"n"((int)(stages)) : "memory")

/* emulator_sync */
DEVICE void sync() {
    copy_wait();
    __syncthreads();
}
#define sync_after(stages)                                                                                             \
    do {                                                                                                               \
        copy_wait_for(stages);                                                                                         \
        __syncthreads();                                                                                               \
    } while (0)

/* emulator_matrix_read. `volatile` keeps the reads where they are between the barriers. Without a memory clobber, the
 * compiler may move other accesses past them. */
DEVICE void matrix_read(uint32_t *x, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(shared_address(row)));
}
DEVICE void matrix_read_transposed(uint32_t *x, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(shared_address(row)));
}

/* emulator_mma */
DEVICE void warp_mma(float *d, const uint32_t *a, const uint32_t *b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#include "tile/tile_simt.h"

#endif
