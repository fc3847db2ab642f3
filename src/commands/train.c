/* flame-c train (the default command) and flame-c plan: both read a configuration. */
#include "training/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/start.h"
#include "commands/configure.h"
#include "base/log.h"
#include "training/origin.h"
#include "training/session.h"
#include "training/setup.h"
#include "training/teacher.h"

typedef struct Train {
    Texts keys;
} Train;

static const Option train_options[] = {CONFIG_OPTIONS};

static Status run_train(void *values) {
    const Train *task = values;
    Comm *comm = NULL;
    const Device *device = NULL;
    TrainConfig config;
    Status status = command_start(&train_command, task, &comm);
    if (status != OK) return status;
    status = configure(&task->keys, comm, &config, &device);
    if (status != OK) {
        comm_destroy(comm);
        return status;
    }
    status = train(&config, comm, device);
    config_free(&config);
    return status;
}

/* Prints help on the keys of all sections (topic NULL), of one section, or of a mixer's model. */
static bool print_keys(FILE *file, const char *topic) {
    const Mixer *mixer = topic ? mixer_find(topic) : NULL;
    if (mixer || (topic && strcmp(topic, "model") == 0)) {
        if (!mixer) config_help(file, topic);
        model_config_help(file, mixer);
        return true;
    }
    if (topic) return config_help(file, topic);
    fputs("\nKeys, in a YAML file under their section, or as --section.key VALUE; --help=SECTION prints one section,\n"
          "--help=model the keys of all models, --help=gla those of one:\n\n",
          file);
    return config_help(file, NULL);
}

const Command train_command = {
    .name = "train",
    .summary = "train a model (the default command)",
    .text = "Starts a run in job.dump_folder, or resumes it. On eight ranks: mpirun -np 8 flame-c --config FILE.\n",
    .options = train_options,
    .option_count = LENGTH(train_options),
    .values_size = sizeof(Train),
    .takes_keys = true,
    .keys = offsetof(Train, keys),
    .topic = print_keys,
    .run = run_train,
};

typedef struct Plan {
    int64_t ranks;
    Texts keys;
} Plan;

static const Option plan_options[] = {
    CONFIG_OPTIONS,
    {"ranks", OPTION_INTEGER, "N", "1", 1, 1e6, "plan a run of N ranks on one host", offsetof(Plan, ranks)},
};

/* Prints the memory plan. If it is for one rank on a CPU, the memory of this host counts; that of other hosts is not
 * known. */
static void print_plan(const TrainConfig *config, Model *model, Model *teacher, Comm *self, int ranks) {
    const bool here = ranks == 1 && strcmp(config->device, "cpu") == 0;
    RunnerOptions options = setup_runner(config, teacher);
    if (here) setup_recompute(config, model, self, device_cpu(), &options);
    const MemoryPlan plan = setup_memory(config, &options, model, ranks, ranks);
    setup_print(config, &options, model, &plan, ranks);
    if (!here) setup_print_choices(config, &options, model, ranks);
}

static Status run_plan(void *values) {
    const Plan *task = values;
    const int ranks = (int)task->ranks;
    TrainConfig config;
    Status status = config_load(task->keys.count, task->keys.item, &config);
    if (status != OK) return status;
    status = config_validate_sizes(&config, ranks);
    if (strcmp(config.device, "auto") == 0) config_set_device(&config, "cpu");
    Model *model = NULL;
    Model *teacher = NULL;
    Comm *self = comm_self_create();
    if (status == OK) status = origin_fill_model(&config, self);
    if (status == OK) status = model_create(config.model, &model);
    if (status == OK) status = teacher_read(&config, model, self, &teacher);
    if (status == OK) print_plan(&config, model, teacher, self, ranks);
    comm_destroy(self);
    model_destroy(model);
    model_destroy(teacher);
    config_free(&config);
    return status;
}

const Command plan_command = {
    .name = "plan",
    .summary = "print parameters, memory and work of a configuration without training it",
    .text = "Prints parameters, work per token and the memory of each rank. Allocates and trains nothing and reads no "
            "data.\n"
            "--device cuda plans for GPUs, also on a machine without one.\n",
    .options = plan_options,
    .option_count = LENGTH(plan_options),
    .values_size = sizeof(Plan),
    .takes_keys = true,
    .keys = offsetof(Plan, keys),
    .run = run_plan,
};
