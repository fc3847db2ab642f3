#include "training/stop.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/launcher.h"

/* In seconds. mpirun kills the ranks after one second; half of it is left for the checkpoint. */
static const double short_step = 0.5;

bool stop_advice(double step_seconds, char text[512]) {
    if (step_seconds < short_step || !getenv("OMPI_COMM_WORLD_SIZE")) return false;
    bool is_mpirun = false;
    const int process = launcher_process(&is_mpirun);
    char target[32] = "on mpirun's process";
    if (is_mpirun) snprintf(target, sizeof target, "%d", process);
    snprintf(
        text, 512,
        "to stop, kill -USR1 %s: the run finishes the step, saves it and exits. Ctrl-C gives the ranks one second, but "
        "a step takes %.1f s: that step is lost, and everything since the last checkpoint if saving takes longer "
        "(mpirun --mca odls_base_sigkill_timeout 10 gives them 10 s)",
        target, step_seconds);
    return true;
}
