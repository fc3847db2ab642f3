/* Counts what makes a kernel slow on a GPU, without one: runs a few programs of a launch in the emulator and watches
 * every access to memory. The kernels are compiled once more for this, with calls before each load and store
 * (-fsanitize=thread), and the emulator's functions are wrapped by the linker; neither knows of it. */
#ifndef TESTS_METER_METER_H
#define TESTS_METER_METER_H

#include <stdint.h>

#include "core/device.h"
#include "tile/emulator.h"

/* Means over the programs that ran, unless a total over the grid is named. */
typedef struct Meter {
    double programs;                  /* of the grid */
    double work, busiest;             /* of all threads; 128 times the busiest thread's, barrier interval by interval */
    double barriers, chain;           /* chain: round trips to memory and barriers that wait for each other */
    double cycles;                    /* of a program alone on an SM, from the latencies of its chain */
    double instructions, requests;    /* of warps; requests go to memory, global or shared */
    double mma;                       /* of warps: m16n8k16 */
    double read_bytes, written_bytes; /* global, in sectors of 32 bytes that leave the SM */
    double moved_bytes, vector_bytes; /* global, in sectors; those of accesses of 16 bytes by a lane, used in full */
    double wavefronts, extra_wavefronts; /* of shared memory; those that bank conflicts cause */
    double shared_bytes;
    double distinct_bytes; /* of the whole grid: global memory that it touches, each byte once */
} Meter;

/* Device memory, which costs nothing until it is touched; zero. NULL if there is no room. */
void *meter_allocate(int64_t bytes);
/* Gives everything back. */
void meter_release_all(void);

typedef struct MeterKernel {
    const char *name;
    EmulatorProgram *program;
    int64_t argument_bytes;
} MeterKernel;

/* Counts the launch. Launches of a kernel with the same grid and arguments, up to addresses, are run once. */
const Meter *meter_launch(MeterKernel kernel, Grid grid, const void *arguments);
/* Runs every program of the launch, for what it writes. */
void meter_run(MeterKernel kernel, Grid grid, const void *arguments);

/* A place in the code that accesses memory; sums over the programs that ran. */
typedef struct MeterLine {
    int code;                         /* bytes of the host's instructions from there to the next place */
    const void *site;                 /* the return address of the call before the access */
    double requests, lanes;           /* of warps; lanes that took part */
    double sectors, extra_wavefronts; /* of global memory; of shared memory, by bank conflicts */
    double waited;                    /* cycles that a thread waited for loads of which this was the first */
} MeterLine;

/* Shows the places of the first launch of a kernel, the costliest first. */
void meter_show_lines(const char *kernel, void (*show)(const MeterLine *line, int programs));

#endif
