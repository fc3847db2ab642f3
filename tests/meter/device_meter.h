/* A device that counts the launches of the program and computes nothing: each kernel runs for a few programs in the
 * emulator, products, fills and large copies not at all. Small copies are made, so that tokens are real. */
#ifndef TESTS_METER_DEVICE_METER_H
#define TESTS_METER_DEVICE_METER_H

#include "core/device.h"
#include "meter/meter.h"

typedef struct DeviceMeter {
    void (*launched)(Kernel kernel, const char *name, const Meter *meter);
    void (*multiplied)(const Gemm *gemm);
    void (*moved)(double bytes); /* a fill or a copy: bytes read and written */
} DeviceMeter;

/* Reports to `observer`, which the caller keeps. */
const Device *device_meter(const DeviceMeter *observer);

#endif
