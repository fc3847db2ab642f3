#include "commands/configure.h"

#include <stdio.h>
#include <stdlib.h>

#include "parallel/agreement.h"
#include "training/origin.h"
#include "training/session.h"
#include "training/setup.h"

Status configs_agree(const TrainConfig *config, Comm *comm) {
    char *text = NULL;
    size_t bytes = 0;
    ConfigValue *tree = NULL;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_MEMORY(file, "out of memory");
    config_write(file, config);
    fclose(file);
    /* A command line can hold more than a file may, and then config.yaml could not be loaded again. */
    Status status = agree(comm, config_value_read_yaml("the configuration", text, bytes, &tree));
    free(text);
    if (status == OK) {
        Agreement *agreement = agreement_begin();
        agreement_add_tree(agreement, tree);
        status = agreement_end(agreement, comm, "start all ranks with the same configuration");
    }
    config_value_free(tree);
    return status;
}

Status configure(const Texts *keys, Comm *comm, TrainConfig *config, const Device **device) {
    Status status = agree(comm, config_load(keys->count, keys->item, config));
    if (status != OK) return status;
    status = configs_agree(config, comm);
    if (status == OK) status = agree(comm, config_validate(config, comm->size));
    setup_comm(config);
    if (status == OK) status = session_device(comm, config->device, device);
    if (status == OK) status = origin_fill_model(config, comm);
    if (status == OK)
        config_set_device(config, (*device)->nccl ? "cuda" : "cpu");
    else
        config_free(config);
    return status;
}
