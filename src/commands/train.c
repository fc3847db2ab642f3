/* flame-c train (the default command) and flame-c plan: both begin with a configuration. */
#include "training/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "base/log.h"
#include "training/session.h"
#include "training/setup.h"

static void print_usage(const char *command) {
    printf("flame-c %s --config FILE [--section.key=value ...]\n\n", command);
    config_help(stdout);
}

/* Help is asked for before anything else happens; under mpirun one rank answers. */
static bool wants_help(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static Status load(int argc, char **argv, Comm *comm, TrainConfig *config, const Device **device) {
    Status status = agree(comm, config_load(argc - 1, argv + 1, config));
    if (status != OK) return status;
    status = agree(comm, config_validate(config, comm->size));
    if (status == OK) status = session_device(comm, config->device, device);
    if (status == OK)
        config_set_device(config, (*device)->nccl ? "cuda" : "cpu");
    else
        config_free(config);
    return status;
}

Status command_train(int argc, char **argv) {
    Comm *comm = NULL;
    const Device *device = NULL;
    TrainConfig config;
    Status status = comm_create(&comm);
    if (status != OK) return status;
    if (wants_help(argc, argv)) {
        if (comm->rank == 0) print_usage("train");
        comm_destroy(comm);
        return OK;
    }
    status = load(argc, argv, comm, &config, &device);
    if (status != OK) {
        comm_destroy(comm);
        return status;
    }
    status = train(&config, comm, device);
    config_free(&config);
    return status;
}

/* --ranks N: what a run on N ranks would need, without starting them. */
static int take_ranks(int *argc, char **argv) {
    int ranks = 1, kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (strncmp(argv[i], "--ranks=", 8) == 0)
            ranks = (int)strtol(argv[i] + 8, NULL, 10);
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return ranks;
}

Status command_plan(int argc, char **argv) {
    if (wants_help(argc, argv)) {
        printf("flame-c plan --config FILE [--ranks=N] [--device=cuda] [--section.key=value ...]\n\n"
               "Prints parameters, work per token and the memory of each rank (all on one host); allocates and trains"
               " nothing.\nWith --device=cuda it plans for GPUs, whether there are any or not.\n");
        return OK;
    }
    const int ranks = take_ranks(&argc, argv);
    if (ranks < 1) {
        log_error("plan: --ranks wants a number of at least 1");
        return USAGE;
    }
    TrainConfig config;
    Status status = config_load(argc - 1, argv + 1, &config);
    if (status != OK) return status;
    status = config_validate(&config, ranks);
    if (strcmp(config.device, "auto") == 0) config_set_device(&config, "cpu");
    Model *model = NULL;
    if (status == OK) status = model_create(config.model, &model);
    if (status == OK) {
        const MemoryPlan plan = setup_memory(&config, model, ranks, ranks);
        setup_print(&config, model, &plan, ranks);
    }
    model_destroy(model);
    config_free(&config);
    return status;
}
