#include "commands/start.h"

#include <stdio.h>

#include "parallel/agreement.h"

static void add_texts(Agreement *agreement, const char *label, const Texts *texts) {
    char numbered[128];
    for (int i = 0; i < texts->count; i++) {
        snprintf(numbered, sizeof numbered, "%s (%d)", label, i + 1);
        agreement_add(agreement, texts->count > 1 ? numbered : label, "%s", texts->item[i]);
    }
}

static void add_option(Agreement *agreement, const Option *option, const void *values) {
    const void *place = (const char *)values + option->offset;
    char label[96];
    snprintf(label, sizeof label, "%s%s", option->name[0] ? "--" : "", option->name[0] ? option->name : option->value);
    switch (option_kind(option)) {
    case OPTION_FLAG:
        agreement_add(agreement, label, "%s", *(const bool *)place ? "true" : "false");
        break;
    case OPTION_TEXT:
    case OPTION_CHOICE:
        if (*(const char *const *)place) agreement_add(agreement, label, "%s", *(const char *const *)place);
        break;
    case OPTION_TEXTS:
        add_texts(agreement, label, place);
        break;
    case OPTION_INTEGER:
    case OPTION_SIZE:
        agreement_add(agreement, label, "%lld", (long long)*(const int64_t *)place);
        break;
    case OPTION_REAL:
        agreement_add(agreement, label, "%.17g", *(const double *)place);
        break;
    default: /* OPTION_KEY */
        break;
    }
}

Status command_start(const Command *command, const void *values, Comm **comm) {
    Status status = agreement_start(command->name, comm);
    if (status != OK) return status;
    Agreement *agreement = agreement_begin();
    for (int i = 0; i < command->option_count; i++) add_option(agreement, &command->options[i], values);
    status = agreement_end(agreement, *comm, "start all ranks with the same arguments");
    if (status == OK) return OK;
    comm_destroy(*comm);
    *comm = NULL;
    return status;
}
