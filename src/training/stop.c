#include "training/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Seconds. mpirun kills the ranks after a second; this leaves as much for the checkpoint. */
static const double short_step = 0.5;

/* The process id of mpirun if it is the parent of this process; 0 if one of its daemons is. */
static int mpirun_process(void) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
    FILE *file = fopen(path, "r");
    const bool known = file && fscanf(file, "%31s", name) == 1;
    if (file) fclose(file);
    return known && (strcmp(name, "mpirun") == 0 || strcmp(name, "orterun") == 0) ? (int)getppid() : 0;
}

bool stop_advice(double step_seconds, char text[512]) {
    if (step_seconds < short_step || !getenv("OMPI_COMM_WORLD_SIZE")) return false;
    const int process = mpirun_process();
    char target[32] = "on mpirun's process";
    if (process) snprintf(target, sizeof target, "%d", process);
    snprintf(
        text, 512,
        "to stop, kill -USR1 %s: the run finishes the step, saves it and exits. Ctrl-C gives the ranks one second, but "
        "a step takes %.1f s: that step is lost, and everything since the last checkpoint if saving takes longer "
        "(mpirun --mca odls_base_sigkill_timeout 10 gives them 10 s)",
        target, step_seconds);
    return true;
}
