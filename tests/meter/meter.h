/* Counts, without a GPU, what makes a kernel slow on one: runs a few programs of a launch in the emulator and observes
 * every access to memory. For this, the kernels are compiled once more with calls before each load and store
 * (-fsanitize=thread), and the linker wraps the emulator's functions. Neither source is changed. */
#ifndef TESTS_METER_METER_H
#define TESTS_METER_METER_H

#include <stdint.h>

#include "core/device.h"
#include "tile/emulator.h"

/* Means over the programs that ran, unless stated otherwise. */
typedef struct Meter {
    double programs;                  /* number of programs of the grid */
    double work, busiest;             /* of all threads; 128 times the busiest thread's, barrier interval by interval */
    double barriers, chain;           /* chain: round trips to memory and barriers that wait for each other */
    double cycles;                    /* time of a program alone on an SM, from the latencies of its chain */
    double instructions, requests;    /* per warp; requests are accesses to global or shared memory */
    double mma;                       /* m16n8k16 products of warps */
    double read_bytes, written_bytes; /* global memory, in sectors of 32 bytes that leave the SM */
    double moved_bytes,
        vector_bytes; /* global memory, in sectors; those of accesses of 16 bytes per lane, used in full */
    double wavefronts, extra_wavefronts; /* of shared memory; those caused by bank conflicts */
    double shared_bytes;
    double distinct_bytes; /* global memory that the whole grid accesses, each byte counted once */
} Meter;

/* Allocates device memory filled with zeros, which takes no memory of the host until it is accessed. NULL if there is
 * no room. */
void *meter_allocate(int64_t bytes);
/* Releases all memory of meter_allocate. */
void meter_release_all(void);

typedef struct MeterKernel {
    const char *name;
    EmulatorProgram *program;
    int64_t argument_bytes;
} MeterKernel;

/* Counts the launch. Launches that differ only in the addresses among the arguments are run once. The result belongs to
 * the meter. */
const Meter *meter_launch(MeterKernel kernel, Grid grid, const void *arguments);
/* Runs every program of the launch, because its output is needed. */
void meter_run(MeterKernel kernel, Grid grid, const void *arguments);

/* A place in the code that accesses memory; sums over the programs that ran. */
typedef struct MeterLine {
    int code;                         /* bytes of the host's instructions from there to the next place */
    const void *site;                 /* the return address of the call before the access */
    double requests, lanes;           /* of warps; lanes that took part */
    double sectors, extra_wavefronts; /* of global memory; of shared memory, by bank conflicts */
    double waited;                    /* cycles that a thread waited for a group of loads that began with this one */
} MeterLine;

/* Shows the places of the first launch of a kernel, the costliest first. */
void meter_show_lines(const char *kernel, void (*show)(const MeterLine *line, int programs));

#endif
