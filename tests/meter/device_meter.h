/* A device that counts the launches of the program and computes nothing: a few programs of each kernel run in the
 * emulator; products, fills and large copies do not run. Small copies are made, so that tokens are real. */
#ifndef TESTS_METER_DEVICE_METER_H
#define TESTS_METER_DEVICE_METER_H

#include "core/device.h"
#include "meter/meter.h"

typedef struct DeviceMeter {
    void (*launched)(Kernel kernel, const char *name, const Meter *meter);
    void (*multiplied)(const Gemm *gemm);
    void (*moved)(double bytes); /* called for a fill or a copy, with the bytes read and written */
} DeviceMeter;

/* The device reports to `observer`, which the caller owns. */
const Device *device_meter(const DeviceMeter *observer);

#endif
