/* A device that runs the CUDA form of every kernel in the emulator; everything else is the CPU device's. */
#include "base/check.h"
#include "core/device.h"
#include "tile/emulator.h"
#include "tile/emulator_memory.h"

/* The program is linked with the emulated kernels of one element type only. */
#if defined(EMULATES_F32)
#define EMULATED(name) name##_emu_f32
static const DType emulated_type = F32;
#else
#define EMULATED(name) name##_emu_bf16
static const DType emulated_type = BF16;
#endif

#define KERNEL_ENTRY(name) EmulatorProgram EMULATED(name);
#include "core/kernels.def"
#undef KERNEL_ENTRY

static const struct {
    const char *name;
    EmulatorProgram *program;
} programs[KERNELS] = {
#define KERNEL_ENTRY(name) {#name, EMULATED(name)},
#include "core/kernels.def"
#undef KERNEL_ENTRY
};

static void emulator_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    CHECK(type == emulated_type, "the emulator has %s for elements of the other type", programs[kernel].name);
    emulator_run(programs[kernel].name, programs[kernel].program, grid.x, grid.y, grid.z, arguments);
}

static void release(void *memory, int64_t bytes) {
    (void)bytes;
    emulator_release(memory);
}

const Device *device_emulator(void) {
    const Device *cpu = device_cpu();
    static Device device;
    device = (Device){.name = "emulator",
                      .computes = true,
                      .host_memory = true,
                      .gpu = true,
                      .allocate = emulator_allocate,
                      .release = release,
                      .allocate_host = cpu->allocate_host,
                      .release_host = cpu->release_host,
                      .available = cpu->available,
                      .identity = cpu->identity,
                      .fill = cpu->fill,
                      .copy = cpu->copy,
                      .gemm = cpu->gemm,
                      .launch = emulator_launch,
                      .synchronize = cpu->synchronize};
    return &device;
}
