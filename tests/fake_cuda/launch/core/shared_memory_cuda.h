/* In place of the generated header: fp32 takes twice the bytes that a thread block of an A100 can have, bf16 fits. */
enum {
#define KERNEL_ENTRY(name) name##_cuda_f32_shared = 326 << 10, name##_cuda_bf16_shared = 163 << 10,
#include "core/kernels.def"
#undef KERNEL_ENTRY
};
