/* A device that runs the CUDA form of every kernel in the emulator; everything else is the CPU device's. */
#include "base/check.h"
#include "core/device.h"
#include "tile/emulator.h"
#include "tile/emulator_memory.h"

#define KERNEL_ENTRY(name) EmulatorProgram name##_emu_bf16;
#include "core/kernels.def"
#undef KERNEL_ENTRY

static const struct {
    const char *name;
    EmulatorProgram *program;
} programs[KERNELS] = {
#define KERNEL_ENTRY(name) {#name, name##_emu_bf16},
#include "core/kernels.def"
#undef KERNEL_ENTRY
};

static void emulator_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    CHECK(type == BF16, "the emulator has %s for bf16 elements only", programs[kernel].name);
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
